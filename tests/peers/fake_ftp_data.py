"""The fake FTP server's data connections."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.peers.base import HOST
from tests.peers.fake_ftp_wire import LISTING, MOMENT, Cut, Over, Stream, either, from_utf8, pieces, reset, to_utf8

if TYPE_CHECKING:
    from tests.peers.fake_ftp import FakeFtp


class Transfers:
    """What goes over data connections, for one control connection."""

    def __init__(self, ftp: FakeFtp, line: socket.socket) -> None:
        self.ftp, self.line = ftp, line
        self.input = line.makefile("rb")
        self.here = b""
        self.user = ""
        self.offset = 0
        self.renaming: bytes | None = None
        self.private = ftp.implicit
        self.passive: socket.socket | None = None

    def say(self, reply: str) -> None:
        self.line.sendall(reply.encode(self.ftp.encoding, "surrogateescape") + b"\r\n")

    def path(self, argument: bytes) -> bytes:
        whole = argument if argument.startswith(b"/") else self.here + b"/" + argument
        parts: list[bytes] = []
        for part in to_utf8(whole, self.ftp.encoding).split(b"/"):
            if part == b"..":
                del parts[-1:]
            elif part not in (b"", b"."):
                parts.append(part)
        return b"/".join(parts)

    def is_folder(self, path: bytes) -> bool:
        return path in self.ftp.folders or any(name.startswith(path + b"/") for name in self.ftp.files)

    def modified(self, path: bytes) -> str:
        moment = either(self.ftp.modified, path, MOMENT)
        return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%d%H%M%S")

    def do_pasv(self, _: bytes) -> None:
        port = self.listen()
        self.say("227 Entering Passive Mode ({})".format(self.ftp.pasv.format(port=f"{port >> 8},{port & 255}")))

    def do_epsv(self, _: bytes) -> None:
        self.say(f"229 Entering Extended Passive Mode (|||{self.listen()}|)")

    def listen(self) -> int:
        if self.passive is not None:
            self.passive.close()
        self.passive = socket.create_server((HOST, 0))
        port: int = self.passive.getsockname()[1]
        return port

    def do_rest(self, argument: bytes) -> None:
        if self.ftp.rest == "refuse":
            self.say("502 no REST")
            return
        offset = int(argument)
        self.offset = {"ignore": 0, "off-by-one": max(offset - 1, 0)}.get(self.ftp.rest, offset)
        self.say(f"350 restarting at {offset}")

    def do_list(self, argument: bytes) -> None:
        folder = self.path(re.sub(rb"^-\S+ ?", b"", argument))
        canned = either(self.ftp.listings, folder, self.ftp.listing)
        self.give_listing(folder, canned, self.unix_line)

    def do_mlsd(self, argument: bytes) -> None:
        self.give_listing(self.path(argument), self.ftp.mlsd, self.facts_line)

    def give_listing(self, folder: bytes, canned: Stream | None, line: Callable[[bytes, bytes, bytes | None], bytes]) -> None:
        if canned is None and not self.is_folder(folder) and folder not in self.ftp.files:
            self.say("550 No such directory")
            return
        self.send(canned if canned is not None else self.made_listing(folder, line), LISTING)

    def made_listing(self, folder: bytes, line: Callable[[bytes, bytes, bytes | None], bytes]) -> bytes:
        if folder in self.ftp.files:
            return line(folder.rpartition(b"/")[2], folder, self.ftp.files[folder])
        before = folder + b"/" if folder else b""
        below = {name[len(before) :].partition(b"/")[0] for name in [*self.ftp.files, *self.ftp.folders] if name.startswith(before)}
        return b"".join(line(name, before + name, self.ftp.files.get(before + name)) for name in sorted(below) if name)

    def unix_line(self, name: bytes, path: bytes, data: bytes | None) -> bytes:
        stamp = datetime.fromtimestamp(either(self.ftp.modified, path, MOMENT), UTC).strftime("%b %d  %Y")
        kind = "drwxr-xr-x" if data is None else "-rw-r--r--"
        line = f"{kind}   1 ftp      ftp      {len(data or b''):>8} {stamp} "
        return line.encode() + from_utf8(name, self.ftp.encoding) + b"\r\n"

    def facts_line(self, name: bytes, path: bytes, data: bytes | None) -> bytes:
        facts = "type=dir; " if data is None else f"type=file;size={len(data)};modify={self.modified(path)}; "
        return facts.encode() + from_utf8(name, self.ftp.encoding) + b"\r\n"

    def do_nlst(self, argument: bytes) -> None:
        self.give_listing(self.path(argument), None, lambda name, _path, _data: name + b"\r\n")

    def do_retr(self, argument: bytes) -> None:
        there = self.path(argument)
        data = self.ftp.files.get(there)
        if data is None:
            self.say("550 No such file")
            return
        offset, self.offset = self.offset, 0
        if self.send(data[offset:], there):
            self.ftp.changing(there)

    def send(self, data: Stream, name: bytes) -> bool:
        """Send a stream as the script wants it; whether it went out whole."""
        cut = self.cut(name)
        line = self.connected()
        if cut.early:
            self.say("226 done")
        left = cut.after
        whole = True
        for piece in pieces(data):
            if left is not None and len(piece) > left:
                line.sendall(piece[:left])
                whole = False
                break
            line.sendall(piece)
            left = None if left is None else left - len(piece)
        self.finish(line, cut)
        return whole

    def cut(self, name: bytes) -> Cut:
        cut = either(self.ftp.cuts, name, None)
        if cut is None or cut.times == 0:
            return Cut()
        if cut.times is not None:
            cut.times -= 1
        return cut

    def connected(self) -> socket.socket:
        if self.passive is None:
            self.say("425 PASV first")
            raise Over
        self.say("150 coming")
        self.passive.settimeout(30)
        line, _ = self.passive.accept()
        self.passive.close()
        self.passive = None
        if self.private and self.ftp.tls:
            line = self.ftp.tls.wrap_socket(line, server_side=True)
        self.ftp._open.add(line)
        return line

    def finish(self, line: socket.socket, cut: Cut) -> None:
        if cut.end == "hang":
            self.ftp.over.wait()
            line.close()
        elif cut.end == "reset":
            reset(line)
        elif cut.end == "torn" or not isinstance(line, ssl.SSLSocket):
            line.close()
        else:
            with suppress(OSError):
                line.settimeout(2)
                line.unwrap()
            line.close()
        self.ftp._open.discard(line)
        if cut.reply == "close":
            reset(self.line)
            raise Over
        if cut.reply is not None and not cut.early:
            self.say(cut.reply)

    def do_stor(self, argument: bytes) -> None:
        self.receive(self.path(argument), self.offset)

    def do_appe(self, argument: bytes) -> None:
        there = self.path(argument)
        self.receive(there, len(self.ftp.files.get(there, b"")))

    def receive(self, name: bytes, offset: int) -> None:
        self.offset = 0
        folder = name.rpartition(b"/")[0]
        if not self.is_folder(folder):
            self.say("553 Could not create file")
            return
        cut = self.cut(name)
        line = self.connected()
        data = bytearray(self.ftp.files.get(name, b"")[:offset])
        while piece := line.recv(65536 if cut.after is None else max(min(65536, cut.after - len(data)), 1)):
            data += piece
            if cut.after is not None and len(data) >= cut.after:
                break
        self.ftp.files[name] = bytes(data)
        self.ftp.modified[name] = float(int(time.time()))
        self.finish(line, cut)
