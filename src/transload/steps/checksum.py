"""The step `checksum`: a file must be what the checksum says that was sent along."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field

from transload.checksums import KINDS, LIST, LISTS, SIDECAR, SUFFIXES, Kind, Sum, digests, kind_of, said_of, told
from transload.errors import Busy, Rejected, Waiting
from transload.model import Name, spell
from transload.steps.base import FileView, Output, Scratch, Step, Verdict
from transload.units import Duration, show_size

_MICRO = 1_000_000


class _Said(NamedTuple):
    """What one sidecar says of a file."""

    sidecar: FileView
    kind: Kind
    digest: str
    whole: bool


def _list_name(text: str) -> str:
    if "/" in text or kind_of(text.encode()) is None:
        message = f"wants the name of a file that ends with one of {', '.join(suffix.decode() for suffix in SUFFIXES.values())}"
        raise ValueError(message)
    return text


_ListName = Annotated[str, AfterValidator(_list_name)]


class Checksum(Step):
    """Refuse a file that is not what the checksum says that was sent along.

    It stands beside the file, in an archive too: `report.csv.sha256` (.sha512, .sha1, .md5, .sfv), or a list such as
    `SHA256SUMS` or `report.sfv`. All that are there must agree. A file whose checksum is still to come waits for it.
    """

    kind: Literal["checksum"] = "checksum"
    kinds: tuple[Kind, ...] = Field(KINDS, min_length=1, description="Which are looked for; the first is the one that is waited for.")
    lists: tuple[_ListName, ...] = Field((), description="More lists in the file's folder, by name, such as all.sfv.")
    required: bool = Field(default=True, description="Whether a file without a checksum waits for it; false lets it pass.")
    wait: Duration = Field(
        3600.0, description="How long a file waits for its checksum; one that came first is kept for it as long as spool's `keep` says."
    )
    sidecars: Literal["drop", "keep"] = Field(
        "drop", description="Whether checksums go on as files of their own; what is dropped stays at the source, whatever `after` says."
    )

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        """The file as it is; nothing for a checksum that is dropped.

        Raises Rejected for a file that is not what is said of it, and Waiting while nothing is said, until `wait` has
        passed since it was first asked: the file's own time says nothing of when it came.
        """
        if kind_of(file.name.base) in self.kinds:
            if self.sidecars == "keep":
                yield work.keep(file)
            return
        said = list(self._said(file, work))
        if not said and self.required:
            raise self._waiting(file, work)
        self._compare(file, said, work)
        if not said:
            work.note(Verdict("checksum", "none"))
        yield work.keep(file)

    def _said(self, file: FileView, work: Scratch) -> Iterator[_Said]:
        """All that is said of the file."""
        for kind, base, whole in self._places(file.name):
            sidecar = _beside(file.name, base, work)
            digest = _digest(sidecar, kind, file.name.base, whole=whole) if sidecar is not None else ""
            if sidecar is not None and digest:
                yield _Said(sidecar, kind, digest, whole)

    def _places(self, name: Name) -> Iterator[tuple[Kind, bytes, bool]]:
        """Where a checksum may stand: its kind, its name, and whether it is a list."""
        for kind in self.kinds:
            for suffix in (SUFFIXES[kind], SUFFIXES[kind].upper()):
                yield kind, name.base + suffix, False
            lists = (*LISTS[kind], *(one.encode() for one in self.lists if kind_of(one.encode()) == kind))
            if kind == "crc32" and name.stem != name.base:
                lists += (name.stem + SUFFIXES[kind],)
            yield from ((kind, base, True) for base in dict.fromkeys(lists))

    def _compare(self, file: FileView, said: list[_Said], work: Scratch) -> None:
        known: dict[Kind, str] = {"sha256": file.sha256}
        others = {one.kind for one in said} - {"sha256"}
        if others:
            with file.open() as opened:
                known |= digests(opened, others, work.go_on)
        for one in said:
            by, ours = one.sidecar.name, known[one.kind]
            work.note(Verdict("checksum", "ok" if ours == one.digest else "differs", {"by": by.text, "kind": one.kind}))
            if ours != one.digest:
                message = f"its {one.kind} is {_shown(ours)}, but {spell(by.base)} says {_shown(one.digest)}"
                raise self._waiting(file, work, message, by.raw) if _may_be_old(file, one) else Rejected(message)

    def _waiting(self, file: FileView, work: Scratch, message: str = "", name: bytes | None = None) -> Waiting:
        """The same moment however often it is asked: what was noted of this arrival is the memory."""
        name = name or file.name.raw + SUFFIXES[self.kinds[0]]
        message = message or f"waits for its checksum, {spell(name.rpartition(b'/')[2])} or another"
        what = f"checksum-{file.id}"
        before = work.known(what, file.sha256)
        if before is not None:
            return Waiting(message, name, int(before.facts["until"]))
        until = round((time.time() + self.wait) * _MICRO)
        work.note(Verdict(what, "awaited", {"by": spell(name), "until": str(until)}))
        return Waiting(message, name, until)


def _beside(name: Name, base: bytes, work: Scratch) -> FileView | None:
    try:
        return work.beside(name.beside(base))
    except Rejected:  # too long for a name: there is no such file
        return None


def _digest(sidecar: FileView, kind: Kind, base: bytes, *, whole: bool) -> str:
    """What a sidecar says of the file `base`; nothing where it says nothing of it."""
    sums = _read(sidecar, kind, LIST if whole else SIDECAR)
    said = said_of(sums, base)
    if not said and not whole and len(sums) == 1:
        return sums[0].digest  # made under another name, such as that of the upload
    if len(said) > 1:
        raise Rejected(f"{spell(sidecar.name.base)} has more than one checksum for {spell(base)}")
    return next(iter(said), "")


def _read(sidecar: FileView, kind: Kind, most: int) -> list[Sum]:
    shown = spell(sidecar.name.base)
    if sidecar.size > most:
        raise Rejected(f"{shown} is too long to be a checksum: {show_size(sidecar.size)}, the most is {show_size(most)}")
    try:
        with sidecar.open() as opened:
            return told(opened.read(most), kind)
    except OSError as error:
        raise Busy(f"{shown} cannot be read: {error.strerror}") from error


def _may_be_old(file: FileView, said: _Said) -> bool:
    """Whether it may be that of an earlier file of the same name, whose new one is still to come."""
    return file.version > 1 and said.sidecar.id < file.id and (said.whole or said.sidecar.version < file.version)


def _shown(digest: str) -> str:
    return f"{digest[:16]}..." if len(digest) > 16 else digest
