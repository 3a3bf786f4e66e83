"""SFTP."""

from __future__ import annotations

from transload.servers.sftp.door import SftpDoor

__all__ = ["SftpDoor"]
