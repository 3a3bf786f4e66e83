"""The quarantine's own copies: bytes under their hash in a folder that nobody else reads, nothing ever overwritten."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from transload import disk
from transload.errors import Missing, Rejected
from transload.model import Spooled
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
        beside = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            with source.open("rb") as given, beside.open("wb") as file:
                os.fchmod(file.fileno(), 0o400)
                disk.copy(given.fileno(), file.fileno(), os.fstat(given.fileno()).st_size)
                os.fsync(file.fileno())
            os.rename(beside, place)
            _sync(place.parent)
        except OSError as error:
            beside.unlink(missing_ok=True)
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
        found = hashlib.sha256()
        try:
            with place.open("rb") as file:
                while block := file.read(disk.BLOCK):
                    found.update(block)
                    part.write(block)
        except BaseException:
            part.drop()
            raise
        spooled: Spooled = part.done()
        if found.hexdigest() != sha256:
            spool.forget([spooled])
            message = f"{place} has other bytes than were put there: they are left alone"
            raise Rejected(message)
        with spool.accepting():
            spool.commit([spooled])

    def remove(self, sha256: str) -> None:
        """Forget these bytes; harmless when they are not here."""
        self._place(sha256).unlink(missing_ok=True)

    def all(self) -> list[str]:
        """The hashes of all that is here."""
        return sorted(path.name for path in self._folder.glob("??/[0-9a-f]*"))

    def _place(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
