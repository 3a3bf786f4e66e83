"""One logged-in connection and what is known of the server at its other end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from transload.errors import Denied, Missing, Refused
from transload.listing import Fact, mlsd
from transload.model import Entry, Name, spell, to_datetime
from transload.remotes.ftp.control import FORBIDDEN, IAC, Control
from transload.remotes.ftp.data import BLOCK, Data, Passive
from transload.remotes.ftp.relisting import listed_at
from transload.remotes.ftp.replies import UNKNOWN, Reply, fault, size_in, telling, time_in


class Seen(NamedTuple):
    """What a server says of one file now."""

    size: int | None
    modified: int | None
    precision: float


class Wire:
    """A control connection after the login, with data connections, and the names of the server."""

    def __init__(self, control: Control, where: str, encoding: str) -> None:
        """`where` begins every message."""
        self.control = control
        self.passive = Passive(control)
        self.where = where
        self.encoding = encoding
        self.features: dict[bytes, bytes] = {}
        self.lacks: set[bytes] = set()
        self.base = b""
        self.home = b""
        self.block = bytearray(BLOCK)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Foreign errors become ours."""
        with telling(self.where):
            yield

    # Names

    def said(self, raw: bytes) -> bytes:
        """A name's bytes as the server spells them; Refused when it cannot."""
        if self.encoding == "utf-8" or raw.isascii():
            return raw
        try:
            wire = raw.decode("utf-8", "surrogateescape").encode(self.encoding, "surrogateescape")
        except UnicodeEncodeError:
            wire = b""
        if self._back(wire) != raw:
            message = f"{spell(raw)!r} cannot be written in {self.encoding}, which is the encoding set for this remote"
            raise Refused(message)
        return wire

    def spelled(self, name: Name) -> bytes:
        """A name of ours as the server can hold it: what its encoding lacks is spelled %XX, uniquely."""
        if self.encoding == "utf-8":
            return name.raw
        lacking = {char for char in name.raw.decode("utf-8", "surrogateescape") if not _has(self.encoding, char)}
        return name.spelled("".join(lacking)).encode(self.encoding)

    def heard(self, wire: bytes) -> bytes:
        """The server's bytes as a name's; Refused when there would be no way back."""
        if self.encoding == "utf-8" or wire.isascii():
            return wire
        raw = self._back(wire)
        if raw.decode("utf-8", "surrogateescape").encode(self.encoding, "surrogateescape") != wire:
            message = f"{spell(wire)!r} is not in {self.encoding}, which is the encoding set for this remote"
            raise Refused(message)
        return raw

    def _back(self, wire: bytes) -> bytes:
        return wire.decode(self.encoding, "surrogateescape").encode("utf-8", "surrogateescape")

    def folder(self, folder: str) -> bytes:
        """The path of an operator's folder on the server."""
        raw = self.said(folder.encode("utf-8", "surrogateescape"))
        if raw.startswith(b"/"):
            return raw.rstrip(b"/") or b"/"
        return joined(self.base, raw.strip(b"/") if raw != b"." else b"")

    def path(self, name: Name) -> bytes:
        """The path of a name of ours below the base."""
        return joined(self.base, self.spelled(name))

    def place(self, entry: Entry) -> bytes:
        """The path of a listed file."""
        return joined(self.folder(entry.folder), self.said(entry.name.raw))

    def sayable(self, path: bytes) -> bytes:
        """A path that a command can carry; Refused when it holds a line end or NUL."""
        if FORBIDDEN.search(path):
            message = f"{spell(path)!r} cannot be said over FTP: it holds a line end or NUL"
            raise Refused(message)
        if IAC in path and self.control.doubles is None:
            with self.telling():
                self.control.learn_doubling()
        return path

    @property
    def absolute(self) -> bool:
        """Whether the server's paths are like those of Unix."""
        return self.base.startswith(b"/")

    # What is there

    def can(self, verb: bytes) -> bool:
        """Whether the server has not yet said that it does not know `verb`."""
        return verb not in self.lacks

    def note(self, verb: bytes, reply: Reply) -> None:
        """Remember a verb that the server does not know."""
        if reply.code in UNKNOWN:
            self.lacks.add(verb)

    def questions(self, path: bytes) -> list[bytes]:
        """The commands that tell size and time of a file."""
        if b"MLST" in self.features and self.can(b"MLST"):
            return [b"MLST " + path]
        return [verb + b" " + path for verb in (b"SIZE", b"MDTM") if self.can(verb)]

    def seen(self, questions: list[bytes], replies: list[Reply]) -> Seen | None:
        """What the answers to `questions` tell; None when no such file is there. Raises Denied."""
        size = modified = None
        precision, there = 1.0, False
        for question, reply in zip(questions, replies, strict=True):
            verb = question[:4]
            self.note(verb, reply)
            if verb == b"MLST":
                return self._mlst(reply)
            there = there or reply.code == 213
            size = size_in(reply) if verb == b"SIZE" else size
            modified = time_in(reply) if verb == b"MDTM" else modified
        if there:
            return Seen(size, modified, precision)
        for reply in replies:
            error = fault(reply, "looking")
            if isinstance(error, Denied):
                raise error
        return None

    def _mlst(self, reply: Reply) -> Seen | None:
        if reply.code != 250:
            error = fault(reply, "looking")
            if isinstance(error, Missing | Refused):
                return None
            raise error
        facts = [fact for fact in (mlsd(line.lstrip(b" ")) for line in reply.lines[1:-1]) if isinstance(fact, Fact)]
        if not facts or facts[0].kind in ("dir", "other"):
            return None
        return Seen(facts[0].size, facts[0].modified, facts[0].precision)

    def look(self, path: bytes) -> Seen | None:
        """Size and time of a file now; None when it is not there, or when the server has no way to tell (see `tells`)."""
        questions = self.questions(path)
        seen = self.seen(questions, self.control.ask(*questions))
        # A server that lists MLST among its features and then does not know it.
        return self.look(path) if seen is None and questions[:1] == [b"MLST " + path] and not self.can(b"MLST") else seen

    def look_plainly(self, path: bytes) -> Seen | None:
        """The same by SIZE and MDTM alone, which follow links where MLST may not."""
        questions = [verb + b" " + path for verb in (b"SIZE", b"MDTM") if self.can(verb)]
        return self.seen(questions, self.control.ask(*questions)) if questions else self.look(path)

    def look_anyhow(self, path: bytes) -> Seen | None:
        """The same, settled by a listing where no command tells."""
        seen = self.look(path)
        if seen is not None or self.tells:
            return seen
        fact = listed_at(self, path)
        return Seen(fact.size, fact.modified, fact.precision) if fact else None

    def exists(self, path: bytes) -> bool:
        """Whether a file is there."""
        return self.look_anyhow(path) is not None

    @property
    def tells(self) -> bool:
        """Whether the server knows a command that tells of one file."""
        return bool(self.questions(b"x"))

    # Times set

    def time_setting(self, path: bytes, modified: int | None) -> bytes:
        """The command that gives a file its time: MFMT, or MDTM with a time where a server takes that; nothing where neither is known."""
        if modified is None or self._timer not in self.features or not self.can(b"set " + self._timer):
            return b""
        return self._timer + b" " + to_datetime(modified).strftime("%Y%m%d%H%M%S").encode().zfill(14) + b" " + path

    def note_setting(self, reply: Reply) -> None:
        """Remember that the server does not let us set times."""
        if not reply.ok:
            self.lacks.add(b"set " + self._timer)

    @property
    def _timer(self) -> bytes:
        return b"MFMT" if b"MFMT" in self.features else b"MDTM"

    # Data

    def start(self, command: bytes, offset: int = 0) -> Data | Reply:
        """Begin a transfer; the answer instead when the server says no."""
        _, port = self.passive.ports([])
        return self.passive.begin(command, port, offset)

    def is_folder(self, path: bytes) -> bool:
        """Whether a folder is there."""
        if not self.control.one(b"CWD " + path).ok:
            return False
        if not self.absolute and self.home:
            self.do(b"CWD " + self.home, f"{self.where}: going back")
        return True

    def make_folder(self, folder: bytes) -> bool:
        """Make a folder and those above it; whether it is there now, made here or by another connection at the same moment."""
        if not folder or folder == b"/" or self.control.one(b"MKD " + folder).ok or self.is_folder(folder):
            return True
        return self.make_folder(folder.rpartition(b"/")[0]) and (self.control.one(b"MKD " + folder).ok or self.is_folder(folder))

    def do(self, command: bytes, what: str) -> Reply:
        """A command that must succeed."""
        reply = self.control.one(command)
        if not reply.ok:
            raise fault(reply, what)
        return reply


def _has(encoding: str, char: str) -> bool:
    try:
        return bool(char.encode(encoding))
    except UnicodeEncodeError:
        return False


def joined(folder: bytes, name: bytes) -> bytes:
    """A path of two parts, either of which may be empty."""
    if not folder or not name:
        return folder or name
    return folder + name if folder.endswith(b"/") else folder + b"/" + name
