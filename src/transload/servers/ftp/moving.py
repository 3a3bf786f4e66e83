"""Data connections, and the bytes of files: PASV, EPSV, PORT, EPRT; STOR, APPE, STOU, RETR, REST, ALLO, ABOR."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from functools import partial

from transload.accounts.addresses import plain
from transload.errors import Refused, TransloadError
from transload.servers.base import Upload
from transload.servers.ftp.answers import told_of_name
from transload.servers.ftp.command import MAY, MUST, NONE, Command
from transload.servers.ftp.incoming import Incoming
from transload.servers.ftp.lines import beneath
from transload.servers.ftp.looking import visit
from transload.servers.ftp.outgoing import Bytes, Outgoing
from transload.servers.ftp.ports import Awaiting
from transload.servers.ftp.session import Session

_PORT = re.compile(rb"(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})")
_FOREIGN = b"501 Only to your own address, and to ports from 1024 up"
_FAMILIES = {b"1": 4, b"2": 6}


def passive(session: Session, _: bytes) -> None:
    """PASV: a port of ours, for IPv4."""
    if session.only_epsv:
        session.say(b"501 You have said EPSV ALL")
    elif ":" in session.local:
        session.say(b"425 PASV is for IPv4: EPSV")
    else:
        _await(session, extended=False)


def extended_passive(session: Session, given: bytes) -> None:
    """EPSV: a port of ours, for IPv4 and IPv6."""
    own = b"2" if ":" in session.local else b"1"
    if given.upper() == b"ALL":
        session.only_epsv = True
        session.say(b"200 EPSV only")
    elif given not in (b"", own):
        session.say(b"522 Use (" + own + b")")
    else:
        _await(session, extended=True)


def _await(session: Session, *, extended: bool) -> None:
    session.drop_data()
    session.wait()
    session.hall.ports.ask(session.local + session.zone, partial(_opened, session, extended))


def _opened(session: Session, extended: bool, door: socket.socket | None) -> None:  # noqa: FBT001 - it is told by `partial`
    if door is None:
        session.go_on(b"425 All ports for data connections are taken")
        return
    awaiting = Awaiting(session, door)
    if session.closed:
        awaiting.close()
        return
    session.awaiting = awaiting
    port = awaiting.port
    if extended:
        session.go_on(b"229 Come to (|||%d|)" % port)
    else:
        public = session.hall.ports.public(session.address, session.local).replace(".", ",")
        session.go_on(b"227 Come to (%s,%d,%d)" % (public.encode(), port >> 8, port & 0xFF))


def active(session: Session, given: bytes) -> None:
    """PORT: a port of the client's."""
    found = _PORT.fullmatch(given)
    if session.only_epsv:
        session.say(b"501 You have said EPSV ALL")
    elif found is None or any(int(part) > 255 for part in found.groups()):
        session.say(b"501 PORT h,h,h,h,p,p")
    else:
        numbers = [int(part) for part in found.groups()]
        _call(session, ".".join(map(str, numbers[:4])), numbers[4] * 256 + numbers[5])


def extended_active(session: Session, given: bytes) -> None:
    """EPRT: the same, for IPv4 and IPv6."""
    parts = given.split(given[:1])
    if session.only_epsv:
        session.say(b"501 You have said EPSV ALL")
    elif len(parts) != 5 or not parts[3].isdigit() or len(parts[3]) > 5:
        session.say(b"501 EPRT |1|address|port|")
    elif parts[1] not in _FAMILIES:
        session.say(b"522 Use (1,2)")
    else:
        try:
            address = ipaddress.ip_address(parts[2].decode("ascii", "replace"))
        except ValueError:
            address = None
        if address is None or address.version != _FAMILIES[parts[1]] or getattr(address, "ipv4_mapped", None):
            session.say(b"501 EPRT |1|address|port|")
        else:
            _call(session, plain(str(address)), int(parts[3]))


def _call(session: Session, address: str, port: int) -> None:
    if not session.hall.settings.active:
        session.say(b"502 No active mode here: EPSV or PASV")
    elif address != session.address or not 1024 <= port <= 65535:
        session.say(_FOREIGN)
    else:
        session.drop_data()
        session.target = address, port
        session.say(b"200 I shall call")


def store(session: Session, path: bytes, *, append: bool = False, yes: bytes = b"226 It is safe", about: bytes = b"Go on") -> None:
    """STOR, APPE: a file comes. Its "yes" is said when the bytes and the ledger's row are on the disk."""
    offset, session.rest = session.rest, 0
    size, session.announced = session.announced, None
    if not session.can_transfer():
        return
    if append and offset:
        session.say(b"501 APPE knows by itself where it goes on")
        return
    at = beneath(session.cwd, path)
    begin = partial(visit(session).upload, at, offset=offset, append=append, size=size)
    if not offset and not append:
        session.begin(Incoming(session, begin(), yes), about)
        return

    def begun(upload: Upload | TransloadError) -> None:
        if isinstance(upload, TransloadError):
            session.drop_data()
            session.go_on(
                b"554 " + str(upload).encode("utf-8", "replace") if isinstance(upload, Refused) and offset else told_of_name(upload)
            )
        elif session.closed:
            upload.cut("the client is gone")
        else:
            session.busy = False
            session.begin(Incoming(session, upload, yes), about)

    # What is there already may have to be copied: that takes its time.
    session.aside(session.hall.work, begin, begun)


def append(session: Session, path: bytes) -> None:
    """APPE."""
    store(session, path, append=True)


def store_unique(session: Session, path: bytes) -> None:
    """STOU: a file comes, and gets a name that nothing has."""
    if session.rest:
        session.rest = 0
        session.say(b"501 REST and STOU do not go together")
        return
    name = (path or b"upload") + b"." + secrets.token_hex(8).encode()
    store(session, name, yes=b"226 It is safe: " + name, about=b"FILE: " + name)


def retrieve(session: Session, path: bytes) -> None:
    """RETR: a file goes."""
    offset, session.rest = session.rest, 0
    if not session.can_transfer():
        return
    reading = visit(session).read(beneath(session.cwd, path))
    if offset > reading.size:
        reading.close()
        session.say(b"554 It has %d bytes" % reading.size)
        return
    session.begin(Outgoing(session, Bytes(reading, offset)), b"%d bytes" % (reading.size - offset))


def restart(session: Session, given: bytes) -> None:
    """REST: where the next transfer goes on."""
    if not given.isdigit() or len(given) > 18:
        session.say(b"501 REST offset")
        return
    session.rest = int(given)
    session.say(b"350 The next transfer goes on at %d" % session.rest)


def allocate(session: Session, given: bytes) -> None:
    """ALLO: how large the next upload will be."""
    found = re.fullmatch(rb"(\d{1,18})( [Rr] \d+)?", given)
    if found is None:
        session.say(b"501 ALLO bytes")
        return
    session.announced = int(found[1])
    session.say(b"200 It will be looked at")


def abort(session: Session, _: bytes) -> None:
    """ABOR: the transfer was broken off when this came in, if there was one; else the way to it is closed."""
    if session.aborted:
        session.aborted = False
        session.say(b"226 It was broken off")
        return
    session.drop_data()
    session.say(b"225 There is nothing to break off")


COMMANDS = {
    b"PASV": Command(passive, NONE),
    b"EPSV": Command(extended_passive, MAY, b"[1|2|ALL]"),
    b"PORT": Command(active, MUST, b"h,h,h,h,p,p"),
    b"EPRT": Command(extended_active, MUST, b"|1|address|port|"),
    b"STOR": Command(store, MUST, b"file"),
    b"APPE": Command(append, MUST, b"file"),
    b"STOU": Command(store_unique, MAY, b"[file]"),
    b"RETR": Command(retrieve, MUST, b"file"),
    b"REST": Command(restart, MUST, b"offset"),
    b"ALLO": Command(allocate, MUST, b"bytes"),
    b"ABOR": Command(abort),
}
