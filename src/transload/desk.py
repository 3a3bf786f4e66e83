"""The desk at which one file goes through its steps: what they work with, and what they leave."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Hashable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from transload.errors import Busy, Missing, Rejected
from transload.ledger.processing import Found
from transload.model import Name, Spooled
from transload.owed import groups_of
from transload.steps import FileView, Output, Verdict
from transload.units import printable

if TYPE_CHECKING:
    from transload.ledger import Claim
    from transload.ledger.processing import Item
    from transload.spool import Spool
    from transload.spool.parts import StreamPart
    from transload.steps import Step
    from transload.steps.base import H, Held
    from transload.workplace import Workplace

_SMALL = 1 << 16


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


def _mark(piece: Piece) -> tuple[int, ...]:
    """What changes whenever somebody writes to its bytes."""
    with suppress(FileNotFoundError):
        status = os.stat(piece.view.path)
        return status.st_ino, status.st_size, status.st_mtime_ns
    return ()


def _check(step: Step, piece: Piece) -> None:
    """Somebody wrote to the bytes: what has another hash is removed, for it would go on under the name of what was looked at."""
    path = piece.view.path
    with suppress(FileNotFoundError), path.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() == piece.view.sha256:
            return
        path.unlink(missing_ok=True)
    what = f"its bytes, which nobody may change, were changed or removed while it was in the step {step.kind}"
    raise Missing(f"{what}, and are gone: mend the step, and have the file sent or fetched again")


class Sheet:
    """One file that a step writes; what comes in one small piece is stored at once, when it is whole."""

    def __init__(self, spool: Spool, output: Output, written: dict[str, Spooled]) -> None:
        """Into `spool`; once it is whole it is one of those `written`."""
        self._spool, self._written = spool, written
        self._first: bytes | None = None
        self._part: StreamPart | None = None
        self.output = output

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, _error: object, _trace: object) -> None:
        part, output = self._part, self.output
        if kind is not None:
            if part is not None:
                part.drop()
            return
        spooled = part.done() if part is not None else self._spool.small(self._first or b"")
        self._written[spooled.part] = spooled
        self.output = Output(output.name, Path(spooled.part), spooled.size, spooled.sha256, output.modified, output.member)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; raises Full when there is no room."""
        if self._part is None:
            if self._first is None and len(data) <= _SMALL:
                self._first = bytes(data)
                return
            self._part = self._spool.fresh()
            if self._first is not None:
                self._part.write(self._first)
                self._first = None
        self._part.write(data)


class Shelf:
    """What the desks of one batch have in common: what was found out about bytes, and what steps keep open until the batch is over."""

    def __init__(self, work: Workplace, claim: Claim) -> None:
        """For the files of `claim`."""
        self._processing, self._claim = work.ledger.processing, claim.id
        self._looked_up: set[str] = set()
        self._known: dict[tuple[str, str], Verdict] = {}
        self._found: list[Found] = []
        self._held: dict[Hashable, Held] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as open_still:
            for one in self._held.values():
                open_still.callback(one.close)

    def look_up(self, hashes: Iterable[str], *, anew: bool = False) -> None:
        """Ask the ledger about these bytes, in one question; `anew`: and forget what it said of others."""
        if anew:
            self.write_down()
            self._looked_up.clear()
            self._known.clear()
        wanted = list(dict.fromkeys(one for one in hashes if one not in self._looked_up))
        if wanted:
            self._looked_up.update(wanted)
            for (sha256, what), told in self._processing.verdicts(wanted).items():
                self._learn(sha256, Verdict(what, *told))

    def known(self, what: str, sha256: str) -> Verdict | None:
        """What was found out about these bytes: the worst that ever was, else the latest."""
        self.look_up([sha256])
        return self._known.get((sha256, what))

    def note(self, found: Found) -> None:
        """To be written down by `write_down`, before anything is made of it."""
        self._found.append(found)
        self._learn(found.sha256, Verdict(found.what, found.found, found.facts))

    def _learn(self, sha256: str, verdict: Verdict) -> None:
        before = self._known.get((sha256, verdict.what))
        if before is None or before.found != "infected":
            self._known[sha256, verdict.what] = verdict

    def write_down(self) -> None:
        """All that was noted is in the ledger."""
        if self._found:
            found, self._found = self._found, []
            self._processing.found(self._claim, found)

    def held(self, key: Hashable, make: Callable[[], H]) -> H:
        """What `make` opens, once."""
        if key not in self._held:
            self._held[key] = make()
        return cast("H", self._held[key])


class Desk:
    """A Scratch for one arrival; what steps have left on it goes with it, but for the bytes that `keep_bytes` took."""

    def __init__(self, work: Workplace, claim: Claim, item: Item, shelf: Shelf) -> None:
        """For `item`, in the hands of `claim`."""
        self._work, self._claim, self.item, self._shelf = work, claim, item, shelf
        self._folder: Path | None = None
        self._written: dict[str, Spooled] = {}
        self._pieces: dict[bytes, Piece] = {}
        self.first = self._piece = self._arrived()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._work.spool.forget(self._written.values())
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _arrived(self) -> Piece:
        """The file as it arrived."""
        item, entry = self.item, self.item.entry
        path = Path(self._work.spool.path(item.sha256))
        groups = groups_of(self._work.route(self._claim.route).source, entry.name, entry.path)
        facts = (entry.name, entry.size or 0, item.sha256, path, entry.modified, item.version, item.first_seen)
        view = FileView(item.id, self._claim.route, *facts, groups=groups)
        return Piece(view, Spooled("", entry.size or 0, item.sha256))

    def lay_out(self, pieces: Iterable[Piece]) -> None:
        """These go into the next step, one after another; each may look at the others."""
        self._pieces = {piece.view.name.raw: piece for piece in pieces}

    def does(self, step: Step, piece: Piece) -> list[Piece]:
        """What a step makes of a piece; raises Missing when its bytes are not what they were after that."""
        self._piece = piece
        made, before = [], _mark(piece)
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
        finally:
            if _mark(piece) != before:
                _check(step, piece)
        return made

    def _made(self, piece: Piece, output: Output) -> Piece:
        member = piece.member or output.member
        depth = piece.view.depth + output.member
        if output.path is None:
            return Piece(replace(piece.view, name=output.name, depth=depth), piece.spooled, member)
        if (spooled := self._written.get(str(output.path))) is None:
            raise Busy("it lets on a file that work.write did not give, or that is not whole")
        view = replace(
            piece.view,
            name=output.name,
            path=output.path,
            size=spooled.size,
            sha256=spooled.sha256,
            modified=output.modified,
            depth=depth,
        )
        return Piece(view, spooled, member)

    def keep_bytes(self, wanted: Iterable[Spooled]) -> list[Spooled]:
        """These are to be committed: they stay when the desk is cleared."""
        parts = {one.part for one in wanted if one.part}
        return [self._written.pop(part) for part in parts]

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

    def create(self, name: Name, *, modified: int | None = None, member: bool = False) -> Sheet:
        """The same, written piece by piece."""
        return Sheet(self._work.spool, Output(name, modified=modified, member=member), self._written)

    def note(self, verdict: Verdict) -> None:
        """Write down what was found."""
        again = self.item.reason is not None
        facts = {printable(str(key)): printable(str(value)) for key, value in verdict.facts.items()}
        told = printable(str(verdict.what)), printable(str(verdict.found)), facts
        self._shelf.note(Found(self.item.id, self._piece.view.sha256, *told, again))

    def known(self, what: str, sha256: str) -> Verdict | None:
        """What was found out about these bytes before."""
        return self._shelf.known(what, sha256)

    def beside(self, name: Name) -> FileView | None:
        """The file of that name that came out of the same archive, else that the same route received last, if its bytes are here."""
        if name.raw in self._pieces:
            return self._pieces[name.raw].view
        entry = replace(self.item.entry, name=name)
        row = self._work.ledger.processing.latest(self._claim.route, self.item.source, entry.path, self._work.node)
        if row is None:
            return None
        number, size, sha256, modified, version, received = row
        path = Path(self._work.spool.path(sha256))
        return FileView(number, self._claim.route, name, size, sha256, path, modified, version, received) if path.exists() else None

    def held(self, key: Hashable, make: Callable[[], H]) -> H:
        """What `make` opens, once for all files of the batch."""
        return self._shelf.held(key, make)

    def go_on(self) -> None:
        """Raise Lost when the work is to be put back."""
        self._work.go_on()
