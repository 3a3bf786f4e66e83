"""Notes beside parts: with one, a part outlives its process, until whoever knows what it is for claims it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from transload.spool.telling import telling

_NOTE = ".note"
_BOOT = "boot"


class Orphan(NamedTuple):
    """A part whose process is gone, and what it is for."""

    part: str
    about: dict[str, str]
    modified: float
    """When it was last written, in seconds since 1970."""


@cache
def boot() -> str:
    """What tells this run of the machine from all others."""
    # What was written before the machine went down may have a size but no bytes: such parts are never found again.
    with telling():
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def write(part: str, about: Mapping[str, str]) -> None:
    """Put a note beside the part at `part`. Raises OSError as it comes."""
    with open(part + _NOTE, "w", encoding="ascii") as file:
        json.dump({**about, _BOOT: boot()}, file)


def remove(part: str) -> None:
    """Remove the note of a part; harmless where there is none."""
    with suppress(FileNotFoundError):
        os.unlink(part + _NOTE)


def noted(corner: str) -> list[Orphan]:
    """The parts in a folder that have a note. Those from before the machine went down have none that counts."""
    try:
        parts = [name.removesuffix(_NOTE) for name in os.listdir(corner) if name.endswith(_NOTE)]
    except FileNotFoundError:
        return []
    return [one for part in parts if (one := _read(f"{corner}/{part}"))]


def names_of(orphans: list[Orphan]) -> set[str]:
    """What their files are called, notes among them."""
    return {os.path.basename(one.part) + suffix for one in orphans for suffix in ("", _NOTE)}


def _read(part: str) -> Orphan | None:
    try:
        modified = os.stat(part).st_mtime
        about = json.loads(Path(part + _NOTE).read_bytes())
    except (FileNotFoundError, ValueError):  # it has gone its way, or the note was never finished
        return None
    return Orphan(part, about, modified) if about.pop(_BOOT, None) == boot() else None
