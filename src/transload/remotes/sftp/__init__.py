"""SFTP servers: asyncssh does SSH, the file protocol on top of it is our own."""

from __future__ import annotations

from transload.remotes.sftp.session import SftpSession
from transload.remotes.sftp.settings import Algorithms, Jump, SftpRemote

__all__ = ["Algorithms", "Jump", "SftpRemote", "SftpSession", "host_key_of"]


def host_key_of(remote: SftpRemote) -> str:
    """The host key that the server shows now, as the line for `host_key`; nobody is logged in. Raises Unreachable."""
    from transload.remotes.sftp.login import shown_by

    return shown_by(remote)
