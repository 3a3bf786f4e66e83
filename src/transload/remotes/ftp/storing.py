"""Uploads: whole under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader

from transload.errors import Busy, Conflict, Denied, Missing, Permanent, Refused, Rejected, Transient, TransloadError, Unreachable
from transload.model import Name, Parcel, Receipt, Staged, Verify, spell, unspell
from transload.remotes.base import Moved
from transload.remotes.ftp.hashing import hashed, read_back
from transload.remotes.ftp.relisting import listed_at
from transload.remotes.ftp.replies import Reply, fault
from transload.remotes.ftp.wire import Seen, Wire

_OVERLAP = 65_536
_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(slots=True)
class _Put:
    """A parcel whose bytes are all there, and which is still to be looked at."""

    parcel: Parcel
    path: bytes
    setting: bytes
    questions: list[bytes]


def temporary(wire: Wire, key: str, name: Name) -> bytes:
    """The temporary path of a parcel, beside its final one."""
    return wire.sayable(wire.path(name.beside(f".{key}.part".encode())))


def staged(wire: Wire, parcels: Iterable[Parcel], moved: Moved) -> Iterator[Staged]:
    """One outcome per parcel; the check of one travels with the first command for the next. `moved` hears of blocks first."""
    put: _Put | None = None
    for parcel in parcels:
        try:
            now = _put(wire, parcel)
        except (Refused, Rejected) as error:
            yield Staged(parcel, error=error)
            continue
        with wire.telling():
            answers, port = wire.passive.ports(put.questions if put else [])
        if put:
            done, put = put, None
            yield _outcome(wire, done, answers)
        failed = _sent(wire, now, port, moved)
        if failed:
            yield Staged(parcel, error=failed)
        else:
            put = now
    if put:
        with wire.telling():
            answers = wire.control.ask(*put.questions)
        yield _outcome(wire, put, answers)


def _put(wire: Wire, parcel: Parcel) -> _Put:
    """The upload of a parcel, with the commands that follow it: the time set, then size and time looked at."""
    path = temporary(wire, parcel.key, parcel.name)
    wire.sayable(wire.path(parcel.name))
    setting = wire.time_setting(path, parcel.modified)
    looking = [] if parcel.verify is Verify.NONE else [question for question in wire.questions(path) if not question.startswith(b"MDTM")]
    return _Put(parcel, path, setting, ([setting] if setting else []) + looking)


def resumed(wire: Wire, parcel: Parcel, moved: Moved) -> Staged | None:
    """The parcel staged after what a cut try has left, None where there is nothing to go on from."""
    put = _put(wire, parcel)
    with wire.telling():
        left = wire.look(put.path)
    # The last bytes are sent once more: a server that died may have lost them.
    start = (left.size or 0) - _OVERLAP if left else 0
    if start <= 0 or start + _OVERLAP > parcel.size:
        return None
    with wire.telling():
        _, port = wire.passive.ports([])
    if _sent(wire, put, port, moved, start):
        return None
    with wire.telling():
        told = _outcome(wire, put, wire.control.ask(*put.questions))
        if told.error is None and (hashed(wire, put.path) or parcel.sha256) == parcel.sha256:
            return told
        wire.control.one(b"DELE " + put.path)
    return None


def _sent(wire: Wire, put: _Put, port: int, moved: Moved, start: int = 0) -> TransloadError | None:
    """Upload the bytes from `start` on; the error where only this parcel failed. Raises when the connection is lost."""
    name = put.parcel.name.text
    if not put.parcel.file:
        return _stored(wire, put, port, None, moved)
    try:
        file = open(put.parcel.file, "rb")  # noqa: SIM115
    except FileNotFoundError:
        return Missing(f"{name}: its bytes are no longer in the spool")
    except OSError as error:
        return Busy(f"{name}: its bytes cannot be read from the spool: {error.strerror}")
    with file:
        return _stored(wire, put, port, file, moved, start)


def _stored(wire: Wire, put: _Put, port: int, file: BufferedReader | None, moved: Moved, start: int = 0) -> TransloadError | None:
    name = put.parcel.name.text
    with wire.telling():
        data = wire.passive.begin(b"STOR " + put.path, port, start)
        if isinstance(data, Reply):
            error = _unwritable(data, f"storing {name}")
            if start or isinstance(error, Transient) or not _cleared(wire, put.path):
                return error
            data = wire.start(b"STOR " + put.path)
            if isinstance(data, Reply):
                return _unwritable(data, f"storing {name}")
        try:
            broken = data.send_all(file, wire.block, moved, start) if file else ""
            reply = data.send_done()
        except BaseException:
            data.close()
            raise
    if not reply.ok:
        return _unwritable(reply, f"storing {name}")
    return Unreachable(f"storing {name}: {broken}") if broken else None


def _unwritable(reply: Reply, what: str) -> TransloadError:
    """The error of a write that was refused: that something is missing, or there, is the server's way to say that it will not."""
    error = fault(reply, what)
    return Refused(str(error)) if isinstance(error, Missing | Conflict) else error


def _cleared(wire: Wire, path: bytes) -> bool:
    """Make the folder, remove a leftover that cannot be written over; whether another try is of use."""
    if not wire.make_folder(path.rpartition(b"/")[0]):
        return False
    wire.control.one(b"DELE " + path)
    return True


def _outcome(wire: Wire, put: _Put, answers: list[Reply]) -> Staged:
    parcel, questions = put.parcel, put.questions
    if questions and questions[0] == put.setting:
        wire.note_setting(answers[0])
        questions, answers = questions[1:], answers[1:]
    try:
        with wire.telling():
            level = _verified(wire, put, _seen(wire, questions, answers))
    except Permanent as error:
        return Staged(parcel, error=error)
    if isinstance(level, TransloadError):
        return Staged(parcel, error=level)
    return Staged(parcel, token=spell(put.path), verified=level)


def _seen(wire: Wire, questions: list[bytes], answers: list[Reply]) -> Seen | None:
    """What the server tells of what we wrote; some let us write and will not say."""
    try:
        return wire.seen(questions, answers)
    except Denied:
        return None


def _verified(wire: Wire, put: _Put, seen: Seen | None) -> Verify | TransloadError:
    """How far what lies there was checked, or what is wrong with it."""
    parcel = put.parcel
    if parcel.verify is Verify.NONE:
        return Verify.NONE
    size = seen.size if seen else None
    if size is None:
        fact = listed_at(wire, put.path)
        size = fact.size if fact else None
    if size is not None and size != parcel.size:
        return Unreachable(f"{parcel.name.text} has {size} of {parcel.size} bytes at the other end")
    if parcel.verify.rank < Verify.HASH.rank:
        return Verify.NONE if size is None else Verify.SIZE
    told = hashed(wire, put.path) if parcel.verify is Verify.HASH else None
    level = Verify.HASH if told else Verify.READ_BACK
    if (told or read_back(wire, put.path)) != (parcel.sha256 or _EMPTY):
        return Unreachable(f"{parcel.name.text} has other bytes at the other end than were sent")
    return level


def published(wire: Wire, items: Iterable[Staged]) -> Iterator[Receipt]:
    """Each renamed into place."""
    for item in items:
        try:
            with wire.telling():
                error = _renamed(wire, item.parcel, unspell(item.token))
        except Permanent as problem:
            yield Receipt(item.parcel, error=problem)
            continue
        yield Receipt(item.parcel, Verify.NONE if error else item.verified, error=error)


def _renamed(wire: Wire, parcel: Parcel, temporary: bytes) -> TransloadError | None:
    final = wire.sayable(wire.path(parcel.name))
    if not parcel.replace and wire.exists(final):
        return Conflict(f"{parcel.name.text} is there already")
    error = _rename(wire, temporary, final, parcel)
    if error is None or isinstance(error, Missing | Transient):
        return error
    if not parcel.replace or not wire.exists(final):
        if isinstance(error, Refused):
            wire.control.one(b"DELE " + temporary)
        return error
    # This server renames over nothing. Between the two commands there is no file of that name: the one gap that FTP leaves us.
    gone = wire.control.one(b"DELE " + final)
    return _rename(wire, temporary, final, parcel) if gone.ok else fault(gone, f"replacing {parcel.name.text}")


def _rename(wire: Wire, temporary: bytes, final: bytes, parcel: Parcel) -> TransloadError | None:
    source, target = wire.control.ask(b"RNFR " + temporary, b"RNTO " + final)
    if not source.ok:
        error = fault(source, f"publishing {parcel.name.text}")
        return Missing(str(error)) if isinstance(error, Refused | Conflict) else error
    return None if target.ok else _unwritable(target, f"renaming to {parcel.name.text}")
