"""The desk at which one file goes through its steps: what they work with, and what they leave."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from transload.errors import Rejected
from transload.ledger.processing import Found
from transload.model import Name, Spooled
from transload.owed import groups_of
from transload.steps import FileView, Output, Verdict

if TYPE_CHECKING:
    from transload.ledger import Claim
    from transload.ledger.processing import Item
    from transload.spool.parts import StreamPart
    from transload.steps import Step
    from transload.workplace import Workplace


def scratch(work: Workplace) -> Path:
    """The folder in which each worker of this node has one for its steps."""
    return work.config.data / "scratch"


def desks(work: Workplace) -> list[Path]:
    """The folders in it; who has one has joined the ledger before."""
    with suppress(FileNotFoundError):
        return list(scratch(work).iterdir())
    return []


@dataclass(frozen=True, slots=True)
class Piece:
    """A file between two steps; `spooled.part` is empty where its bytes are those that arrived."""

    view: FileView
    spooled: Spooled
    member: bool = False

    def is_whole(self, item: Item) -> bool:
        """Whether it is still what arrived, under its name."""
        return not self.spooled.part and not self.member and self.view.name == item.entry.name


class Sheet:
    """One file that a step writes."""

    def __init__(self, part: StreamPart, output: Output) -> None:
        """Into `part`."""
        self._part = part
        self.output = output

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; raises Full when there is no room."""
        self._part.write(data)


class Desk:
    """A Scratch for one arrival; what steps have left on it goes with it, but for the bytes that `keep_bytes` took."""

    def __init__(self, work: Workplace, claim: Claim, item: Item) -> None:
        """For `item`, in the hands of `claim`."""
        self._work, self._claim, self.item = work, claim, item
        self._folder: Path | None = None
        self._written: dict[str, Spooled] = {}
        self._found: list[Found] = []
        self.first = self._piece = self._arrived()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._tell()
        finally:
            self._work.spool.forget(self._written.values())
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _arrived(self) -> Piece:
        """The file as it arrived."""
        item, entry = self.item, self.item.entry
        path = Path(self._work.spool.path(item.sha256))
        groups = groups_of(self._work.route(self._claim.route).source, entry.name, entry.path)
        view = FileView(
            item.id,
            self._claim.route,
            entry.name,
            entry.size or 0,
            item.sha256,
            path,
            entry.modified,
            item.version,
            item.first_seen,
            groups=groups,
        )
        return Piece(view, Spooled("", entry.size or 0, item.sha256))

    def does(self, step: Step, piece: Piece) -> list[Piece]:
        """What a step makes of a piece."""
        self._piece = piece
        made = []
        try:
            for output in step(piece.view, self):
                made.append(self._made(piece, output))
                self._piece = piece
        except Rejected as error:
            if not self.item.released:
                raise
            # Somebody has answered for it: the file goes on as it is.
            self.note(Verdict("released", "goes on", {"in spite of": str(error)}))
            made = [piece]
        self._tell()
        return made

    def _made(self, piece: Piece, output: Output) -> Piece:
        member = piece.member or output.member
        depth = piece.view.depth + output.member
        if output.path is None:
            return Piece(replace(piece.view, name=output.name, depth=depth), piece.spooled, member)
        spooled = self._written[str(output.path)]
        view = replace(piece.view, name=output.name, path=output.path, size=spooled.size, sha256=spooled.sha256)
        return Piece(replace(view, modified=output.modified, depth=depth), spooled, member)

    def keep_bytes(self, wanted: Iterable[Spooled]) -> list[Spooled]:
        """These are to be committed: they stay when the desk is cleared."""
        parts = {one.part for one in wanted if one.part}
        return [self._written.pop(part) for part in parts]

    # What steps see

    @property
    def folder(self) -> Path:
        """A folder for the steps alone."""
        if self._folder is None:
            base = scratch(self._work) / self._work.worker
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(dir=base))
        return self._folder

    def keep(self, file: FileView, name: Name | None = None) -> Output:
        """The file's own bytes, under another name where one is given."""
        return Output(name or file.name, None, file.size, file.sha256, file.modified)

    def write(self, name: Name, data: bytes | Iterable[bytes], *, modified: int | None = None, member: bool = False) -> Output:
        """A new file of these bytes."""
        with self.create(name, modified=modified, member=member) as sink:
            for piece in [data] if isinstance(data, bytes) else data:
                sink.write(piece)
        return sink.output

    @contextmanager
    def create(self, name: Name, *, modified: int | None = None, member: bool = False) -> Iterator[Sheet]:
        """The same, written piece by piece."""
        part = self._work.spool.fresh()
        sheet = Sheet(part, Output(name, modified=modified, member=member))
        try:
            yield sheet
        except BaseException:
            part.drop()
            raise
        spooled = part.done()
        self._written[spooled.part] = spooled
        sheet.output = replace(sheet.output, path=Path(spooled.part), size=spooled.size, sha256=spooled.sha256)

    def note(self, verdict: Verdict) -> None:
        """Write down what was found."""
        self._found.append(Found(self.item.id, self._piece.view.sha256, verdict.what, verdict.found, verdict.facts))

    def known(self, what: str, sha256: str) -> Verdict | None:
        """What was found out about these bytes before."""
        for one in reversed(self._found):
            if (one.what, one.sha256) == (what, sha256):
                return Verdict(what, one.found, one.facts)
        found = self._work.ledger.processing.verdict(what, sha256)
        return None if found is None else Verdict(what, *found)

    def beside(self, name: Name) -> FileView | None:
        """The file of that name that the same route received last, if its bytes are here."""
        entry = replace(self.item.entry, name=name)
        row = self._work.ledger.processing.latest(self._claim.route, self.item.source, entry.path, self._work.node)
        if row is None:
            return None
        number, size, sha256, modified, version, received = row
        path = Path(self._work.spool.path(sha256))
        return FileView(number, self._claim.route, name, size, sha256, path, modified, version, received) if path.exists() else None

    def go_on(self) -> None:
        """Raise Lost when the work is to be put back."""
        self._work.go_on()

    def _tell(self) -> None:
        if self._found:
            found, self._found = self._found, []
            self._work.ledger.processing.found(self._claim.id, found)
