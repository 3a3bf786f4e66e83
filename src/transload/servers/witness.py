"""Files that say of another file that it is whole: markers by their names, sidecars by the checksum in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from transload.errors import Rejected
from transload.marks import marker_of, name_in
from transload.model import Name

if TYPE_CHECKING:
    from transload.ledger.taking import Row
    from transload.names import Template

SUFFIXES = (".sha256", ".sha512", ".sha1", ".md5")
_DIGITS = {".md5": 32, ".sha1": 40, ".sha256": 64, ".sha512": 128}
_LONGEST = 64 * 1024


class Witness(Protocol):
    """Who can look at the other uploads of a user, and into their bytes."""

    def at(self, user: str, path: Name) -> Row | None:
        """The whole file that is there."""

    def under(self, user: str, folder: bytes) -> Sequence[Row]:
        """All that is in a folder, and below."""

    def read(self, row: Row, most: int) -> bytes:
        """The first bytes of a file."""

    def digest(self, row: Row, kind: str) -> str:
        """The checksum of a file, in hex."""


def marked_by(template: Template, row: Row, witness: Witness) -> list[Row]:
    """The files whose marker `row` is."""
    path = Name(row.path)
    base = name_in(template, path)
    if base is not None:
        with suppress(Rejected):
            found = witness.at(row.user, path.beside(base))
            return [found] if found is not None else []
        return []
    folder = b"" if "/" in template.text else path.folder
    return [one for one in witness.under(row.user, folder) if one.id != row.id and marker_of(template, Name(one.path)) == path]


def suffix_of(path: Name) -> str:
    """The suffix that makes a sidecar of it, or nothing."""
    low = path.base.decode("utf-8", "surrogateescape").lower()
    return next((suffix for suffix in SUFFIXES if low.endswith(suffix) and len(low) > len(suffix)), "")


def sidecars_of(row: Row, witness: Witness) -> list[tuple[Row, str]]:
    """The sidecars beside a file, each with the suffix that makes it one."""
    path, found = Name(row.path), []
    for suffix in SUFFIXES:
        for spelled in (suffix, suffix.upper()):
            with suppress(Rejected):
                one = witness.at(row.user, path.beside(path.base + spelled.encode()))
                if one is not None:
                    found.append((one, suffix))
    return found


def spoken_for(row: Row, witness: Witness) -> list[Row]:
    """The file whose sidecar `row` is."""
    path = Name(row.path)
    with suppress(Rejected):
        found = witness.at(row.user, path.beside(path.base[: -len(suffix_of(path))]))
        return [found] if found is not None else []
    return []


def fault(row: Row, sidecar: Row, suffix: str, witness: Witness) -> str | None:
    """Why the file is not what its sidecar says, nothing where it is; None where the sidecar says nothing that can be read."""
    said = _checksum(witness.read(sidecar, _LONGEST), suffix)
    if said is None:
        return None
    is_ = row.sha256 if suffix == ".sha256" else witness.digest(row, suffix[1:])
    name = Name(sidecar.path).base.decode("utf-8", "replace")
    return "" if is_ == said else f"its {suffix[1:]} is {is_[:16]}..., but {name} says {said[:16]}..."


def _checksum(data: bytes, suffix: str) -> str | None:
    """The checksum in a sidecar: `hash  name`, `SHA256 (name) = hash`, or alone."""
    digits = _DIGITS[suffix]
    found = re.search(rb"(?<![0-9A-Fa-f])[0-9A-Fa-f]{%d}(?![0-9A-Fa-f])" % digits, data)
    return found[0].decode().lower() if found else None


def checksum(file: object, kind: str) -> str:
    """The checksum of an open file."""
    return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()  # type: ignore[arg-type]


__all__ = [
    "SUFFIXES",
    "Witness",
    "checksum",
    "fault",
    "marked_by",
    "sidecars_of",
    "spoken_for",
    "suffix_of",
]
