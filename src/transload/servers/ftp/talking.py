"""What clients ask of the server itself, and the modes that nobody uses any more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from transload.servers.ftp.command import MAY, MUST, Command
from transload.servers.ftp.facts import FACTS
from transload.servers.ftp.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping


def noop(session: Session, _: bytes) -> None:
    """Still there."""
    session.say(b"200 Yes")


def system(session: Session, _: bytes) -> None:
    """Listings look like those of Unix."""
    session.say(b"215 UNIX Type: L8")


def kind(session: Session, given: bytes) -> None:
    """Bytes are bytes, whatever a client calls them: what comes is what is kept, and what is sent."""
    given = given.upper().replace(b" ", b"")
    if given in (b"A", b"AN", b"I", b"L8"):
        session.say(b"200 Bytes are not altered")
    else:
        session.say(b"504 TYPE I or TYPE A")


def structure(session: Session, given: bytes) -> None:
    """Files."""
    session.say(b"200 Files" if given.upper() == b"F" else b"504 STRU F")


def mode(session: Session, given: bytes) -> None:
    """Streams."""
    session.say(b"200 Streams" if given.upper() == b"S" else b"504 MODE S")


def features(session: Session, _: bytes) -> None:
    """What there is beyond RFC 959."""
    settings = session.hall.settings
    found = [b"UTF8", b"TVFS", b"EPSV", b"SIZE", b"MDTM", b"MFMT", b"REST STREAM", b"AVBL", b"HASH SHA-256*"]
    found += [b"XSHA256", b"XSHA512", b"XSHA1", b"XMD5", b"XCRC"]
    found.append(b"MLST " + b"".join(f"{one}{'*' if one in session.facts else ''};".encode() for one in FACTS))
    if settings.active:
        found.append(b"EPRT")
    if session.wire.secure or settings.tls != "off":
        found += [b"AUTH TLS", b"PBSZ", b"PROT"]
    session.say_all(211, b"Features", sorted(found), b"End")


def options(session: Session, given: bytes) -> None:
    """Options of other commands."""
    what, _, rest = given.partition(b" ")
    what = what.upper()
    if what in (b"UTF8", b"UTF-8"):
        session.say(b"200 Names are bytes; UTF-8 is welcome")
    elif what == b"MLST":
        asked = rest.decode("ascii", "replace").lower().split(";")
        session.facts = tuple(one for one in FACTS if one in asked)
        session.say(b"200 MLST OPTS " + b"".join(f"{one};".encode() for one in session.facts))
    elif what == b"HASH":
        session.say(b"200 SHA-256" if rest.upper() in (b"", b"SHA-256") else b"504 SHA-256 only")
    else:
        session.say(b"501 There is no such option")


def status(session: Session) -> None:
    """How things stand."""
    lines = [b"TLS" if session.wire.secure else b"In clear"]
    lines.append(b"Logged in as " + session.user.encode("utf-8", "replace") if session.visit else b"Not logged in")
    if session.transfer is not None:
        seconds = time.monotonic() - session.transfer.began
        lines.append(b"%d bytes transferred in %d s" % (session.transfer.count, seconds))
    session.say_all(211, b"Status", lines, b"End")


def helper(commands: Mapping[bytes, Command]) -> Command:
    """HELP, for these commands."""

    def show(session: Session, asked: bytes) -> None:
        found = commands.get(asked.upper())
        if found is not None:
            session.say(b"214 " + (asked.upper() + b" " + found.syntax).strip())
        elif asked:
            session.say(b"501 There is no such command")
        else:
            names = sorted(commands)
            rows = [b" ".join(name.ljust(8) for name in names[at : at + 8]) for at in range(0, len(names), 8)]
            session.say_all(214, b"Commands", rows, b"End")

    return Command(show, MAY, b"command", anybody=True)


COMMANDS = {
    b"NOOP": Command(noop, MAY, anybody=True),
    b"SYST": Command(system, anybody=True),
    b"TYPE": Command(kind, MUST, b"I"),
    b"STRU": Command(structure, MUST, b"F"),
    b"MODE": Command(mode, MUST, b"S"),
    b"FEAT": Command(features, anybody=True),
    b"OPTS": Command(options, MUST, b"UTF8|MLST|HASH ...", anybody=True),
}
