"""Our own ways in: FTP, FTPS and SFTP servers that say "yes" only when it is true."""
