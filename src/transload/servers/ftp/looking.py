"""What is there: folders, listings, facts and hashes."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import chain

from transload.errors import Conflict, Missing, TransloadError
from transload.servers.base import Item, Reading, Visit
from transload.servers.ftp import talking
from transload.servers.ftp.answers import quoted, told
from transload.servers.ftp.command import MAY, MUST, Command
from transload.servers.ftp.facts import facts, line, shown, stamp
from transload.servers.ftp.lines import beneath
from transload.servers.ftp.outgoing import Lines, Outgoing
from transload.servers.ftp.session import Session

_BLOCK = 1 << 20
_SWITCHES = re.compile(rb"(-[A-Za-z0-9]+( |$))+")


def here(session: Session, _: bytes) -> None:
    """The folder in which the session is."""
    session.say(b"257 " + quoted(session.cwd))


def enter(session: Session, path: bytes) -> None:
    """Go to another folder."""
    at = beneath(session.cwd, path or b"/")
    visit(session).enter(at)
    session.cwd = at
    session.say(b"250 " + quoted(at))


def up(session: Session, _: bytes) -> None:
    """Go to the folder above."""
    enter(session, b"..")


def listing(session: Session, path: bytes) -> None:
    """LIST: as `ls -l` has it; switches of `ls` are heard and not heeded."""
    owner, now = session.user.encode("utf-8", "replace")[:32], time.time()
    _list(session, _without_switches(path), lambda item, _: line(item, owner, now))


def names(session: Session, path: bytes) -> None:
    """NLST: the names alone, with the folder that was asked for before them."""
    path = _without_switches(path)
    folder, slash, last = path.rpartition(b"/")
    is_folder = not _is_pattern(last) and path and _is_folder(session, path)
    before = path.rstrip(b"/") + b"/" if is_folder else folder + slash
    _list(session, path, lambda item, _: before + item.name + b"\r\n")


def machine_listing(session: Session, path: bytes) -> None:
    """MLSD: a folder's items with their facts."""
    at = beneath(session.cwd, path)
    if not visit(session).item(at).folder:
        session.say(b"501 It is no folder")
        return
    wanted = session.facts
    _list(session, path, lambda item, letters: facts(item, letters, wanted) + b" " + item.name + b"\r\n", patterns=False)


def machine_item(session: Session, path: bytes) -> None:
    """MLST: one item's facts."""
    at = beneath(session.cwd, path)
    item = visit(session).item(at)
    session.say_all(250, b"Facts", [facts(item, _letters(session, at), session.facts) + b" " + at], b"End")


def _list(session: Session, path: bytes, spell: Callable[[Item, str], bytes], *, patterns: bool = True) -> None:
    if not session.can_transfer():
        return
    found = _found(session, path, patterns=patterns)
    session.begin(Outgoing(session, Lines(spell(item, letters) for item, letters in found)))


def _found(session: Session, path: bytes, *, patterns: bool) -> Iterator[tuple[Item, str]]:
    """The items of a folder with the rights at each, or one file, or those of one folder that a pattern names."""
    visitor = visit(session)
    last = path.rpartition(b"/")[2]
    rights = visitor.account.rights

    def within(items: Iterator[Item], at: bytes) -> Iterator[tuple[Item, str]]:
        items = shown(items)
        if not rights.folders:
            return ((item, rights.letters) for item in items)
        above = at.strip(b"/") + b"/" if at != b"/" else b""
        return ((item, rights.at(above + item.name)) for item in items)

    at = beneath(session.cwd, path)
    try:
        item = visitor.item(at)
    except Missing:
        if not patterns or not _is_pattern(last):
            raise
        fits = re.compile(os.fsencode(fnmatch.translate(os.fsdecode(last))), re.DOTALL).match
        at = beneath(session.cwd, path[: len(path) - len(last)])
        return within(_begun(one for one in visitor.items(at) if fits(one.name)), at)
    if item.folder:
        return within(_begun(visitor.items(at)), at)
    return iter([(item, _letters(session, at))])


def _begun(items: Iterator[Item]) -> Iterator[Item]:
    """The same, with the first looked for already: what keeps us from it is said before the data connection is used."""
    for first in items:
        return chain((first,), items)
    return iter(())


def _without_switches(path: bytes) -> bytes:
    found = _SWITCHES.match(path)
    return path[found.end() :] if found else path


def _is_pattern(last: bytes) -> bool:
    return any(sign in last for sign in (b"*", b"?", b"["))


def _is_folder(session: Session, path: bytes) -> bool:
    try:
        return visit(session).item(beneath(session.cwd, path)).folder
    except TransloadError:
        return False


def _letters(session: Session, at: bytes) -> str:
    return visit(session).account.rights.at(at.strip(b"/"))


def status(session: Session, path: bytes) -> None:
    """STAT: how things stand, or a listing over the control connection."""
    if not path:
        talking.status(session)
        return
    if session.visit is None:
        session.strange(b"530 Log in first")
        return
    owner, now = session.user.encode("utf-8", "replace")[:32], time.time()
    found = _found(session, _without_switches(path), patterns=False)
    session.say_all(213, b"Status", (line(item, owner, now)[:-2] for item, _ in found), b"End")


def size(session: Session, path: bytes) -> None:
    """SIZE: of a file, or of what is there of a cut upload."""
    session.say(b"213 %d" % _file(session, path).size)


def modified(session: Session, path: bytes) -> None:
    """MDTM: a file's time."""
    session.say(b"213 " + stamp(_file(session, path).modified))


def _file(session: Session, path: bytes) -> Item:
    item = visit(session).item(beneath(session.cwd, path))
    if item.folder:
        raise Conflict("it is a folder")
    return item


def available(session: Session, path: bytes) -> None:
    """AVBL: how many bytes more there is room for."""
    if path and not visit(session).item(beneath(session.cwd, path)).folder:
        raise Conflict("it is a file")
    session.say(b"213 %d" % visit(session).room()[1])


def hashed(session: Session, path: bytes) -> None:
    """HASH: the SHA-256, from the ledger where it is known."""
    at = beneath(session.cwd, path)
    count = _file(session, path).size
    _sum(session, at, "sha256", lambda digits: b"213 SHA-256 0-%d %s %s" % (count, digits, path))


def summed(kind: str) -> Callable[[Session, bytes], None]:
    """XSHA256, XMD5, XCRC and so on."""

    def do(session: Session, path: bytes) -> None:
        if len(path) > 1 and path[:1] == path[-1:] == b'"':
            path = path[1:-1].replace(b'""', b'"')
        _sum(session, beneath(session.cwd, path), kind, lambda digits: b"250 " + digits)

    return do


def _sum(session: Session, at: bytes, kind: str, answer: Callable[[bytes], bytes]) -> None:
    if kind == "sha256":
        known = visit(session).sha256(at)
        if known:
            session.say(answer(known.encode()))
            return
    reading = visit(session).read(at)

    def ended(found: bytes | TransloadError) -> None:
        session.go_on(told(found) if isinstance(found, TransloadError) else answer(found))

    session.aside(session.hall.sums, lambda: _digits(reading, kind, lambda: session.closed), ended)


def _digits(reading: Reading, kind: str, is_over: Callable[[], bool]) -> bytes:
    """Read it all, in a thread, as long as somebody waits for it."""
    try:
        crc, digest = 0, hashlib.new("sha256" if kind == "crc" else kind, usedforsecurity=False)
        at = 0
        while (block := os.pread(reading.fileno(), _BLOCK, at)) and not is_over():
            if kind == "crc":
                crc = zlib.crc32(block, crc)
            else:
                digest.update(block)
            at += len(block)
    finally:
        reading.close()
    return b"%08X" % crc if kind == "crc" else digest.hexdigest().encode()


def visit(session: Session) -> Visit:
    """Whoever asks has logged in."""
    assert session.visit is not None  # noqa: S101 - asked before each command
    return session.visit


COMMANDS = {
    b"PWD": Command(here),
    b"CWD": Command(enter, MAY, b"folder"),
    b"CDUP": Command(up),
    b"LIST": Command(listing, MAY, b"[path]"),
    b"NLST": Command(names, MAY, b"[path]"),
    b"MLSD": Command(machine_listing, MAY, b"[folder]"),
    b"MLST": Command(machine_item, MAY, b"[path]"),
    b"STAT": Command(status, MAY, b"[path]", anybody=True),
    b"SIZE": Command(size, MUST, b"file"),
    b"MDTM": Command(modified, MUST, b"file"),
    b"AVBL": Command(available, MAY, b"[folder]"),
    b"HASH": Command(hashed, MUST, b"file"),
    b"XSHA256": Command(summed("sha256"), MUST, b"file"),
    b"XSHA512": Command(summed("sha512"), MUST, b"file"),
    b"XSHA1": Command(summed("sha1"), MUST, b"file"),
    b"XMD5": Command(summed("md5"), MUST, b"file"),
    b"XCRC": Command(summed("crc"), MUST, b"file"),
}
