"""From nothing to a connection that can transfer: TLS, name and password, the server's features."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from transload.errors import Denied, Unreachable
from transload.remotes.ftp.control import IAC, Control
from transload.remotes.ftp.replies import Reply, fault
from transload.remotes.ftp.wire import Wire, joined

if TYPE_CHECKING:
    from transload.remotes.ftp import FtpRemote

_PATIENCE = 5.0
_PWD = re.compile(rb'257[ -].*?"((?:[^"]|"")*)"', re.DOTALL)
_CLUMSY: set[tuple[str, int]] = set()
"""Servers that lose commands which are sent together: found out once in a process."""


def logged_in(remote: FtpRemote) -> Wire:
    """A connection on which transfers can begin."""
    try:
        return _opened(remote)
    except _LosesCommandsError:
        _CLUMSY.add((remote.host, remote.number))
        return _opened(remote)


class _LosesCommandsError(Unreachable):
    """Of two commands sent together only the first is answered."""


def _opened(remote: FtpRemote) -> Wire:
    control = Control(remote.host, remote.timeout, remote.dialler())
    wire = Wire(control, remote.where(), remote.encoding.lower().replace("utf8", "utf-8"))
    try:
        with wire.telling():
            control.open(remote.number, remote.context(), implicit=remote.tls == "implicit")
            _log_in(control, remote)
            _settle(wire, remote)
    except BaseException:
        control.hang_up()
        raise
    return wire


def _log_in(control: Control, remote: FtpRemote) -> None:
    reply = control.one(b"USER " + (remote.user or "anonymous").encode())
    if reply.code == 331:
        password = remote.password.reveal() if remote.password else "anonymous@" if not remote.user else ""
        reply = control.one(b"PASS " + password.encode("utf-8", "surrogateescape"))
    if reply.code not in (230, 202, 232):
        raise fault(reply, f"logging in as {remote.user or 'anonymous'}")


def _settle(wire: Wire, remote: FtpRemote) -> None:
    """TYPE I once, private data connections, the features, the folder that we are in."""
    control = wire.control
    clumsy = (remote.host, remote.number) in _CLUMSY
    pwd = _two(control, clumsy=clumsy)
    control.pipelines = not clumsy
    _features(wire)
    _place(wire, pwd, remote.path)


def _two(control: Control, *, clumsy: bool) -> Reply:
    if clumsy:
        binary, pwd = control.one(b"TYPE I"), control.one(b"PWD")
    else:
        try:
            binary, pwd = control.answers_two(b"TYPE I", b"PWD", _PATIENCE)
        except Unreachable as error:
            raise _LosesCommandsError(str(error)) from error
    if not binary.ok:
        raise fault(binary, "asking for binary transfers")
    return pwd


def _features(wire: Wire) -> None:
    control = wire.control
    ahead = [b"PBSZ 0", b"PROT P"] if control.tls else []
    *private, feat = control.ask(*ahead, b"FEAT")
    if private and not private[-1].ok:
        message = f"{wire.where}: the server refuses to encrypt data connections: {private[-1].text!r}"
        raise Denied(message)
    control.private = bool(control.tls)
    if feat.code == 211:
        for line in feat.lines[1:-1]:
            word, _, rest = line.strip().partition(b" ")
            wire.features[word.upper()] = rest
    if b"UTF8" in wire.features and wire.encoding == "utf-8":
        control.one(b"OPTS UTF8 ON")


def _place(wire: Wire, pwd: Reply, path: str) -> None:
    found = _PWD.match(pwd.lines[0])
    home = found[1].replace(b'""', b'"').replace(IAC + IAC, IAC) if found else b""
    folder = wire.said(path.encode("utf-8", "surrogateescape"))
    if home.startswith(b"/") or folder.startswith(b"/"):
        wire.home = home
        wire.base = (folder if folder.startswith(b"/") else joined(home, folder)).rstrip(b"/") or b"/"
        return
    # No paths as Unix has them (VMS, MVS): everything is relative to where we are.
    if folder:
        wire.do(b"CWD " + folder, f"{wire.where}: entering the folder")
        again = _PWD.match(wire.control.one(b"PWD").lines[0])
        home = again[1].replace(b'""', b'"') if again else b""
    wire.home = home
