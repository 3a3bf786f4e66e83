"""Our FTP server: its protocol, and the evidence of how a connection ended. All else is behind the gate."""

from __future__ import annotations

from transload.servers.ftp.door import FtpDoor

__all__ = ["FtpDoor"]
