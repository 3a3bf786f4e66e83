"""The quarantine's own copies: bytes under their hash in a folder that nobody else reads, nothing ever overwritten."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from transload import disk
from transload.errors import Missing, Rejected
from transload.spool import Spool


class Vault:
    """Bytes that are kept apart, in `folder` (mode 0700), each once under its SHA-256."""

    def __init__(self, folder: Path) -> None:
        """Made on first use."""
        self._folder = folder

    def keep(self, sha256: str, source: Path) -> None:
        """A copy of these bytes is here, durably, when this returns; harmless when it was before."""
        place = self._place(sha256)
        if place.exists():
            return
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        descriptor, beside = tempfile.mkstemp(dir=place.parent, prefix=".")
        try:
            with source.open("rb") as given, os.fdopen(descriptor, "wb"):
                os.fchmod(descriptor, 0o400)
                disk.copy(given.fileno(), descriptor, os.fstat(given.fileno()).st_size)
                os.fsync(descriptor)
            os.rename(beside, place)
            disk.sync_folder(place.parent)
        except OSError as error:
            Path(beside).unlink(missing_ok=True)
            raise disk.told(error, place.name.encode()) from error

    def back(self, sha256: str, spool: Spool) -> None:
        """Put these bytes into the spool again, if need be; Missing when they are not here, Rejected when they are others."""
        place = self._place(sha256)
        if Path(spool.path(sha256)).exists():
            return
        if not place.exists():
            message = f"its bytes are not in the quarantine of this machine: {place}"
            raise Missing(message)
        part = spool.fresh(place.stat().st_size)
        try:
            with place.open("rb") as file:
                while block := file.read(disk.BLOCK):
                    part.write(block)
        except BaseException:
            part.drop()
            raise
        spooled = part.done()
        if spooled.sha256 != sha256:
            spool.forget([spooled])
            message = f"{place} has other bytes than were put there: they are left alone"
            raise Rejected(message)
        with spool.accepting():
            spool.commit([spooled])

    def remove(self, sha256: str) -> None:
        """Forget these bytes; harmless when they are not here."""
        self._place(sha256).unlink(missing_ok=True)

    def _place(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256
