"""Files that say of another file that it is whole: markers by their names, sidecars by the checksum in them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from transload.checksums import SIDECAR, Kind, Sum, said_of, told
from transload.checksums import SUFFIXES as _SUFFIXES
from transload.errors import Rejected
from transload.marks import marker_of, name_in
from transload.model import Name, spell

if TYPE_CHECKING:
    from transload.ledger.taking import Row
    from transload.names import Template

KINDS: tuple[Kind, ...] = ("sha256", "sha512", "sha1", "md5")
SUFFIXES = tuple(_SUFFIXES[kind].decode() for kind in KINDS)


class Witness(Protocol):
    """Who can look at the other uploads of a user, and into their bytes."""

    def at(self, user: str, path: Name) -> Row | None:
        """The whole file that is there."""

    def under(self, user: str, folder: bytes) -> Sequence[Row]:
        """All that is in a folder, and below."""

    def read(self, row: Row, most: int) -> bytes:
        """The first bytes of a file."""

    def digest(self, row: Row, kind: Kind) -> str:
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


def sidecars_of(row: Row, witness: Witness) -> list[tuple[Row, Kind]]:
    """The sidecars beside a file, each with the kind of its checksum."""
    path, found = Name(row.path), list[tuple["Row", Kind]]()
    for kind, suffix in zip(KINDS, SUFFIXES, strict=True):
        for spelled in (suffix, suffix.upper()):
            with suppress(Rejected):
                one = witness.at(row.user, path.beside(path.base + spelled.encode()))
                if one is not None:
                    found.append((one, kind))
    return found


def spoken_for(row: Row, witness: Witness) -> list[Row]:
    """The file whose sidecar `row` is."""
    path = Name(row.path)
    with suppress(Rejected):
        found = witness.at(row.user, path.beside(path.base[: -len(suffix_of(path))]))
        return [found] if found is not None else []
    return []


def fault(row: Row, sidecar: Row, kind: Kind, witness: Witness) -> str | None:
    """Why the file is not what its sidecar says, nothing where it is; None where the sidecar says nothing of it."""
    path, beside = Name(row.path), spell(Name(sidecar.path).base)
    said = _said(told(witness.read(sidecar, SIDECAR), kind), path.base) if sidecar.size <= SIDECAR else frozenset()
    if not said:
        return None
    if len(said) > 1:
        return f"{beside} has more than one checksum for it"
    is_, (says,) = row.sha256 if kind == "sha256" else witness.digest(row, kind), said
    return "" if is_ == says else f"its {kind} is {is_[:16]}..., but {beside} says {says[:16]}..."


def _said(sums: Sequence[Sum], base: bytes) -> frozenset[str]:
    """What is said of the file `base`: by its name, or by a checksum that stands alone."""
    alone = len(sums) == 1 and sums[0].name is None
    return frozenset({sums[0].digest}) if alone else said_of(sums, base)


__all__ = [
    "SUFFIXES",
    "Witness",
    "fault",
    "marked_by",
    "sidecars_of",
    "spoken_for",
    "suffix_of",
]
