"""What changes: folders, names, times, modes, and what is removed. The last word comes when it is durable."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from transload.errors import TransloadError
from transload.servers.ftp.answers import quoted, told, told_of_name
from transload.servers.ftp.command import MUST, Command
from transload.servers.ftp.facts import stamp
from transload.servers.ftp.lines import beneath
from transload.servers.ftp.looking import visit
from transload.servers.ftp.session import Session

_TIME = re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{1,6})\d*)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def make(session: Session, path: bytes) -> None:
    """MKD."""
    at = beneath(session.cwd, path)
    visit(session).make_folder(at)
    session.say(b"257 " + quoted(at) + b" is there now")


def remove_folder(session: Session, path: bytes) -> None:
    """RMD."""
    visit(session).remove_folder(beneath(session.cwd, path))
    session.say(b"250 It is gone")


def remove(session: Session, path: bytes) -> None:
    """DELE."""
    at = beneath(session.cwd, path)
    _durably(session, lambda then: visit(session).remove(at, then), b"250 It is gone", told)


def rename_from(session: Session, path: bytes) -> None:
    """RNFR."""
    at = beneath(session.cwd, path)
    visit(session).item(at)
    session.old_name = at
    session.say(b"350 And its new name?")


def rename_to(session: Session, path: bytes) -> None:
    """RNTO."""
    old, session.old_name = session.old_name, None
    if old is None:
        session.say(b"503 RNFR first")
        return
    new = beneath(session.cwd, path)
    _durably(session, lambda then: visit(session).rename(old, new, then), b"250 It has its new name", told_of_name)


def _durably(
    session: Session,
    do: Callable[[Callable[[TransloadError | None], None]], None],
    yes: bytes,
    no: Callable[[TransloadError], bytes],
) -> None:
    """Do it, and answer when it is durable; what the client says meanwhile waits."""

    def ended(error: TransloadError | None) -> None:
        session.go_on(yes if error is None else no(error))

    def then(error: TransloadError | None) -> None:
        session.loop.call(ended, error)

    session.wait()
    try:
        do(then)
    except TransloadError as error:
        session.go_on(no(error))


def set_time(session: Session, given: bytes) -> None:
    """MFMT."""
    told_time, _, path = given.partition(b" ")
    found = _TIME.fullmatch(told_time)
    try:
        when = datetime(*map(int, found.groups()[:6]), tzinfo=UTC) if found and path else None  # type: ignore[misc,arg-type]
    except ValueError:
        when = None
    if found is None or when is None:
        session.say(b"501 MFMT YYYYMMDDHHMMSS file")
        return
    delta = when - _EPOCH
    micro = (delta.days * 86400 + delta.seconds) * 1_000_000 + int((found[7] or b"0").ljust(6, b"0"))
    visit(session).set_time(beneath(session.cwd, path), micro)
    session.say(b"213 Modify=%s; %s" % (stamp(micro), path))


def site(session: Session, given: bytes) -> None:
    """SITE: CHMOD is all there is."""
    what, _, rest = given.partition(b" ")
    mode, _, path = rest.partition(b" ")
    if what.upper() != b"CHMOD":
        session.say(b"504 SITE CHMOD mode path")
    elif not path or not re.fullmatch(rb"[0-7]{3,4}", mode):
        session.say(b"501 SITE CHMOD mode path")
    elif int(mode, 8) > 0o777:
        session.say(b"550 Nobody gets such bits here")
    else:
        visit(session).set_mode(beneath(session.cwd, path), int(mode, 8))
        session.say(b"200 It has that mode")


COMMANDS = {
    b"MKD": Command(make, MUST, b"folder"),
    b"RMD": Command(remove_folder, MUST, b"folder"),
    b"DELE": Command(remove, MUST, b"file"),
    b"RNFR": Command(rename_from, MUST, b"path"),
    b"RNTO": Command(rename_to, MUST, b"path"),
    b"MFMT": Command(set_time, MUST, b"YYYYMMDDHHMMSS file"),
    b"SITE": Command(site, MUST, b"CHMOD mode path"),
}
