"""The folders of a new spool."""

from __future__ import annotations

from pathlib import Path

from transload import disk
from transload.spool.locks import Turnstile


def lay_out(folder: Path) -> None:
    """Make them, durably; harmless when they are there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    Turnstile(folder).make()
    for number in range(256):
        (folder / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
    disk_of = disk.Volume(str(folder))
    try:
        disk_of.sync(2, disk.opened([str(folder), str(folder.parent)]))
    finally:
        disk_of.close()
    # Last, so that what begins with it is whole.
    (folder / "parts").mkdir(mode=0o700, exist_ok=True)
