"""Listings of folders, whole or not at all."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO

from transload.errors import Missing, Refused, Rejected, TransloadError, Unreachable
from transload.listing import Fact, Unread, listed, mlsd
from transload.model import Entry, Name, spell
from transload.remotes.ftp.data import Data
from transload.remotes.ftp.replies import UNKNOWN, Reply, fault
from transload.remotes.ftp.wire import Seen, Wire, joined

MAX_ENTRIES = 10_000_000
MAX_LINE = 65_536
MAX_DEPTH = 64
_IN_MEMORY = 16_777_216
_EMPTY = re.compile(rb"no (?:such )?files|no match|empty", re.IGNORECASE)


class Listings:
    """How one server lists folders; `refused` gets a line for every name that cannot be used."""

    def __init__(self, wire: Wire, mode: str, refused: list[str]) -> None:
        """`mode` is auto, mlsd or list."""
        self._wire = wire
        self._mlsd = mode == "mlsd" or (mode == "auto" and b"MLST" in wire.features)
        self._auto = mode == "auto"
        self._hidden = True
        self.refused = refused
        self._count = 0
        self._seen: set[bytes | None] = set()

    def entries(self, folder: str, *, recursive: bool) -> Iterator[Entry]:
        """Every file below `folder`, or `folder` itself when it is a file."""
        wire, root = self._wire, self._wire.folder(folder)
        self._count = 0
        with wire.telling():
            entered = self._enter(root)
        if not entered.ok:
            yield self._alone(folder, root, entered)
            return
        self._seen = {self._number(root)} if recursive else set()
        waiting = [(b"", 0)]
        while waiting:
            below, depth = waiting.pop()
            with wire.telling():
                again = self._enter(joined(root, below)) if below else entered
            if not again.ok:
                self.refused.append(f"{spell(below)}: {fault(again, 'entering the folder')}")
                continue
            for fact in self._read():
                if isinstance(fact, Unread):
                    self.refused.append(f"a line that cannot be read: {spell(fact.line[:300])!r}")
                elif fact.kind == "dir":
                    if recursive and self._harmless(fact, depth):
                        waiting.append((joined(below, fact.name), depth + 1))
                elif fact.kind != "other":
                    yield from self._entry(folder, root, below, fact)

    def _enter(self, path: bytes) -> Reply:
        wire = self._wire
        if wire.absolute:
            return wire.control.one(b"CWD " + wire.sayable(path))
        reply = wire.control.one(b"CWD " + wire.home) if wire.home else None
        return wire.control.one(b"CWD " + wire.sayable(path)) if path else reply or Reply(250, (b"250 here",))

    def _alone(self, folder: str, path: bytes, entered: Reply) -> Entry:
        """The one entry of a folder that is a file."""
        with self._wire.telling():
            seen = self._wire.look_anyhow(self._wire.sayable(path))
        if seen is None:
            raise fault(entered, f"{self._wire.where}: listing {folder!r}")
        parent, _, base = folder.rstrip("/").rpartition("/")
        settles = self._mlsd and seen.modified is not None
        return Entry(
            parent or ("/" if folder.startswith("/") else ""), Name(base), seen.size, seen.modified, seen.precision, settles=settles
        )

    def _number(self, folder: bytes) -> bytes | None:
        """The server's number for a folder, where it tells one: some show a link to a folder as a folder."""
        wire = self._wire
        if not self._mlsd or b"unique" not in wire.features.get(b"MLST", b"").lower():
            return None
        with wire.telling():
            reply = wire.control.one(b"MLST " + folder)
        facts = [mlsd(line.lstrip(b" ")) for line in reply.lines[1:-1]]
        return next((fact.unique for fact in facts if isinstance(fact, Fact)), None)

    def _harmless(self, fact: Fact, depth: int) -> bool:
        """Whether a folder can be entered: it is not one that we came through, and not too far down."""
        if depth >= MAX_DEPTH:
            self.refused.append(f"{spell(fact.name)}: a folder more than {MAX_DEPTH} levels down")
            return False
        if fact.unique is not None and fact.unique in self._seen:
            self.refused.append(f"{spell(fact.name)}: leads to a folder that is listed already")
            return False
        self._seen.add(fact.unique)
        return self._checked(b"", fact.name) is not None

    def _checked(self, below: bytes, name: bytes) -> Name | None:
        """The name, or None when it cannot be used, which is remembered."""
        try:
            if b"/" in name:
                message = f"{spell(name[:200])!r} is not a safe name: it holds a slash"
                raise Rejected(message)
            return Name(self._wire.heard(joined(below, self._wire.sayable(name))))
        except (Rejected, Refused) as error:
            self.refused.append(str(error))
            return None

    def _entry(self, folder: str, root: bytes, below: bytes, fact: Fact) -> Iterator[Entry]:
        name = self._checked(below, fact.name)
        if name is None:
            return
        size, modified, precision = fact.size, fact.modified, fact.precision
        settles = self._mlsd and fact.modified is not None
        if fact.kind == "link":
            seen = self._followed(joined(root, joined(below, fact.name)))
            if seen is None:
                return
            size, modified, precision, settles = *seen, False
        yield Entry(folder, name, size, modified, precision, settles=settles)

    def _followed(self, path: bytes) -> Seen | None:
        """What a link leads to, when that is a file."""
        wire = self._wire
        if not wire.tells:
            self.refused.append(f"{spell(path)}: the server cannot tell where the link leads")
            return None
        try:
            with wire.telling():
                return wire.look_plainly(path)
        except TransloadError as error:
            if isinstance(error, Unreachable):
                raise
            self.refused.append(f"{spell(path)}: {error}")
            return None

    def _read(self) -> Iterator[Fact | Unread]:
        """The facts of the folder that we are in; every byte of the listing is here before the first is given."""
        with self._wire.telling():
            lines = self._text()
            if not self._wire.absolute:
                # Files are fetched from where we are, perhaps before the next name is asked for.
                self._enter(b"")
        with lines:
            if not self._mlsd:
                yield from listed(_stripped(lines), datetime.now(UTC))
                return
            for line in _stripped(lines):
                fact = mlsd(line)
                if fact is not None:
                    yield fact

    def _text(self) -> IO[bytes]:
        if self._mlsd:
            text = self._received(b"MLSD")
            if not isinstance(text, Reply):
                return text
            if not self._auto or text.code not in UNKNOWN:
                raise fault(text, f"{self._wire.where}: listing")
            self._mlsd = False
        if self._hidden:
            # Names with a leading dot are shown by `ls -a`, which then shows "." too; a server that takes "-a" for a name does not.
            text = self._received(b"LIST -a")
            if not isinstance(text, Reply):
                if _shows_itself(text):
                    return text
                text.close()
            self._hidden = False
        text = self._received(b"LIST")
        if not isinstance(text, Reply):
            return text
        error = fault(text, f"{self._wire.where}: listing")
        # We are in the folder, so it is there: a server may say "no files" where it means that it is empty.
        if isinstance(error, Missing) or _EMPTY.search(b" ".join(text.lines)):
            return tempfile.TemporaryFile()
        raise error

    def _received(self, command: bytes) -> IO[bytes] | Reply:
        """The whole text of a listing; the answer instead when the server says no. Raises when it was cut."""
        data = self._wire.start(command)
        if isinstance(data, Reply):
            return data
        text: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        try:
            ended = self._copy(data, text)
            reply = data.read_done()
            if not reply.ok or not ended or not data.whole:
                message = f"the listing was cut: {reply.text!r}"
                raise Unreachable(message)
        except BaseException:
            data.close()
            text.close()
            raise
        text.seek(0)
        return text

    def _copy(self, data: Data, text: IO[bytes]) -> bool:
        """Copy the listing, with an eye on hostile lengths; whether its last line has an end."""
        block, view = self._wire.block, memoryview(self._wire.block)
        ended, long = True, 0
        while got := data.read_into(block):
            text.write(view[:got])
            at = block.rfind(b"\n", 0, got)
            long = got - at - 1 if at >= 0 else long + got
            self._count += block.count(b"\n", 0, got)
            ended = at == got - 1
            if long > MAX_LINE or self._count > MAX_ENTRIES:
                message = f"the listing has no end: more than {MAX_ENTRIES} names, or a line of more than {MAX_LINE} bytes"
                raise Refused(message)
        return ended


def _stripped(lines: IO[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")


def _shows_itself(text: IO[bytes]) -> bool:
    """Whether the listing has a line for the folder itself."""
    found = any(line.rstrip(b"\r\n").endswith(b" .") for line, _ in zip(text, range(100), strict=False))
    text.seek(0)
    return found
