"""Downloads: one file after another, each looked at again while the next is being asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transload.errors import Changed, Full, Permanent, Refused, TransloadError, Unreachable
from transload.model import Entry, Fetched
from transload.remotes.ftp.data import BLOCK, Data
from transload.remotes.ftp.relisting import relisted
from transload.remotes.ftp.replies import UNKNOWN, Reply, fault, time_in
from transload.remotes.ftp.wire import Seen, Wire

if TYPE_CHECKING:
    from transload.protocols import Part, Spool

_SEAM = 65_536
_MICRO = 1_000_000
_COARSE = 60


@dataclass(slots=True)
class _Got:
    """A file whose bytes are here, and whose last look is still to come."""

    entry: Entry
    questions: list[bytes]
    before: int | None
    count: int = 0
    data: bytes = b""
    part: Part | None = None
    resumed: bool = False
    whole: bool = True


def fetched(wire: Wire, entries: Iterable[Entry], spool: Spool) -> Iterator[Fetched]:
    """One outcome per entry; the last look at a file travels with the first command for the next one."""
    got: _Got | None = None
    try:
        for entry in entries:
            try:
                path = wire.sayable(wire.place(entry))
            except Refused as error:
                yield Fetched(entry, error=error)
                continue
            after, before = got.questions if got else [], _time_question(wire, entry, path)
            with wire.telling():
                answers, port = wire.passive.ports(after + before)
            if got:
                done, got = got, None
                yield _outcome(wire, done, answers[: len(after)], spool)
            now = _Got(entry, wire.questions(path), _time_told(wire, before, answers[len(after) :]))
            failed = _receive(wire, path, port, now, spool)
            if failed:
                yield Fetched(entry, error=failed)
            else:
                got = now
        if got:
            with wire.telling():
                answers = wire.control.ask(*got.questions)
            done, got = got, None
            yield _outcome(wire, done, answers, spool)
    finally:
        if got and got.part:
            got.part.keep()


def _time_question(wire: Wire, entry: Entry, path: bytes) -> list[bytes]:
    """For a file whose listing tells no time that can be compared: what tells the time before the download."""
    if entry.settles:
        return []
    if b"MLST" in wire.features and wire.can(b"MLST"):
        return [b"MLST " + path]
    return [b"MDTM " + path] if wire.can(b"MDTM") else []


def _time_told(wire: Wire, questions: list[bytes], answers: list[Reply]) -> int | None:
    if questions and questions[0].startswith(b"MDTM"):
        wire.note(b"MDTM", answers[0])
        return time_in(answers[0])
    seen = wire.seen(questions, answers) if questions else None
    return seen.modified if seen else None


def _receive(wire: Wire, path: bytes, port: int, got: _Got, spool: Spool) -> TransloadError | None:
    """Read the file into `got`; the error where only this file failed. Raises when the connection is lost."""
    if got.entry.size is not None and got.entry.size <= BLOCK:
        return _transfer(wire, path, port, got)
    got.part = spool.part(got.entry)
    try:
        error = _resumed(wire, path, port, got) if got.part.offset else _transfer(wire, path, port, got)
    except BaseException as failed:
        _put_away(got, failed)
        raise
    if error:
        _put_away(got, error)
    return error


def _put_away(got: _Got, error: BaseException, *, doubtful: bool = False) -> None:
    """What is to happen to the bytes of a file that failed: kept where the rest can follow, unless they are in doubt or in the way."""
    doubtful = doubtful or isinstance(error, Changed | Full | Permanent) or got.entry.size is None or got.count > got.entry.size
    if got.part and not doubtful:
        got.part.keep()
    elif got.part:
        got.part.drop()


def _resumed(wire: Wire, path: bytes, port: int, got: _Got) -> TransloadError | None:
    """Go on where an earlier try was cut, if the bytes before the seam are the same; from the beginning if not."""
    part = got.part
    assert part is not None  # noqa: S101
    seam = bytes(part.tail(min(_SEAM, part.offset)))
    at = part.offset - len(seam)
    if wire.can(b"REST"):
        with wire.telling():
            data = wire.passive.begin(b"RETR " + path, port, at) if at else wire.passive.begin(b"RETR " + path, port)
        if isinstance(data, Data):
            if _meets(wire, data, seam):
                got.count, got.resumed = part.offset, True
                return _received(wire, data, got)
            part.restart()
            with wire.telling():
                data.close()
                data.last_word()
        elif data.code in UNKNOWN:
            wire.lacks.add(b"REST")
        with wire.telling():
            wire.control.one(b"REST 0")
    part.restart()
    return _transfer(wire, path, port, got)


def _meets(wire: Wire, data: Data, seam: bytes) -> bool:
    """Whether the transfer begins with the bytes of the seam, which are read."""
    view, at = memoryview(seam), 0
    with wire.telling():
        while at < len(seam):
            block = memoryview(wire.block)[: len(seam) - at]
            got = data.read_into(block)
            if not got or block[:got] != view[at : at + got]:
                return False
            at += got
    return True


def _transfer(wire: Wire, path: bytes, port: int, got: _Got) -> TransloadError | None:
    with wire.telling():
        data = wire.passive.begin(b"RETR " + path, port)
    if isinstance(data, Reply):
        return fault(data, f"fetching {got.entry.text}")
    return _received(wire, data, got)


def _received(wire: Wire, data: Data, got: _Got) -> TransloadError | None:
    try:
        broken = _read(wire, data, got)
        with wire.telling():
            reply = data.read_done()
    except BaseException:
        data.close()
        raise
    got.whole = data.whole
    if reply.ok and not broken:
        return None
    return Unreachable(_ended(got, broken)) if broken else fault(reply, f"fetching {got.entry.text}")


def _read(wire: Wire, data: Data, got: _Got) -> str:
    """Read to the end, or past the size that was told; why the line broke, if it did."""
    block, view = wire.block, memoryview(wire.block)
    limit = got.entry.size
    write = got.part.write if got.part else None
    while True:
        try:
            count = data.read_into(block)
        except TimeoutError as error:
            raise Unreachable(f"{wire.where}: {_ended(got, 'silence')}") from error
        except OSError as error:
            return error.strerror or str(error)
        if not count:
            return ""
        got.count += count
        if write:
            write(view[:count])
        else:
            got.data += view[:count]
        if limit is not None and got.count > limit:
            return ""


def _ended(got: _Got, why: str) -> str:
    told = "" if got.entry.size is None else f" of {got.entry.size}"
    return f"{got.entry.text} ended after {got.count}{told} bytes" + (f": {why}" if why else "")


def _outcome(wire: Wire, got: _Got, answers: list[Reply], spool: Spool) -> Fetched:
    try:
        with wire.telling():
            seen = wire.seen(got.questions, answers)
            error = _verdict(wire, got, seen)
        if error:
            # Resumed, ended well, and yet not whole: the seam was not what it seemed.
            _put_away(got, error, doubtful=got.resumed)
            return Fetched(got.entry, error=error)
        return Fetched(got.entry, spooled=got.part.done() if got.part else spool.put(got.entry, got.data))
    except BaseException:
        if got.part:
            got.part.drop()
        raise


def _verdict(wire: Wire, got: _Got, seen: Seen | None) -> TransloadError | None:
    """What is wrong with what was read, now that the file was looked at again."""
    entry, count = got.entry, got.count
    if _moved(got, seen) or (seen and entry.size not in (None, count) and seen.size not in (None, entry.size)):
        return Changed(f"{entry.text} changed while it was being fetched")
    if entry.size not in (None, count):
        now = relisted(wire, entry) if seen is None or seen.size is None else entry
        return Unreachable(_ended(got, "")) if now and now.size == entry.size else Changed(f"{entry.text} changed since it was listed")
    if seen and seen.size is not None and seen.size != count:
        return _disagreement(wire, got, seen.size)
    if not got.whole and (entry.size is None and (seen is None or seen.size is None)):
        return Unreachable(_ended(got, "the TLS connection was cut"))
    return None


def _moved(got: _Got, seen: Seen | None) -> bool:
    """Whether the file's time is another now."""
    if seen is None or seen.modified is None:
        return False
    if not got.entry.settles:
        return got.before is not None and got.before != seen.modified
    modified = got.entry.modified
    return modified is not None and abs(modified - seen.modified) >= max(got.entry.precision, seen.precision) * _MICRO


def _disagreement(wire: Wire, got: _Got, size: int) -> TransloadError | None:
    """SIZE says another number than the bytes that came: the listing decides whether the file changed or SIZE lies."""
    entry = got.entry
    if entry.size is None:
        return Unreachable(_ended(got, f"the server now says {size}"))
    now = relisted(wire, entry) if entry.precision >= _COARSE else None
    if now and now.size == entry.size and now.modified == entry.modified:
        return None
    return Changed(f"{entry.text} changed while it was being fetched: {entry.size} bytes were listed, now {size}")
