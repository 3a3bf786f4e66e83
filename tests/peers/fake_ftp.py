r"""An FTP server in a thread that tells what it is told to: canned listings, lies, cuts, silence.

    with FakeFtp({"a.csv": b"abc", "in/b.csv": b"..."}) as ftp:      # .host .port; any user; password "s3cret word" (base.PASSWORD)
        ftp.listing = b"-rw-r--r-- 1 u g 3 Jan 01 2024 a.csv\r\n"    # LIST says this, raw, for any folder; an iterable of
                                                                     #   bytes is streamed (endless ones too); None = made from files
        ftp.listings["in"] = b"..."            # LIST of that one folder
        ftp.mlsd = b"type=file;size=3; a.csv\r\n"                    # the same for MLSD; ftp.without.add("MLSD") = 500
        ftp.without |= {"MLSD", "SIZE", "MDTM", "REST", "MLST"}      # these verbs answer 500, and FEAT does not name them
        ftp.replies["SIZE"] = "213 999"        # a canned reply to a verb; or a function of its argument (None = do as usual)
        ftp.silent.add("LIST")                 # these verbs are never answered
        ftp.hangup.add("RETR")                 # at these verbs the control connection is closed ("QUIT" included)
        ftp.cuts["a.csv"] = Cut(400)                                 # the download ends (FIN) after 400 bytes, then 226
        ftp.cuts["a.csv"] = Cut(400, reply="426 cut")                # ... then 426
        ftp.cuts["a.csv"] = Cut(400, reply=None)                     # ... then silence on the control connection
        ftp.cuts["a.csv"] = Cut(400, reply="close")                  # ... then the control connection dies
        ftp.cuts["a.csv"] = Cut(400, end="reset", reply="426 cut")   # RST on the data connection
        ftp.cuts["a.csv"] = Cut(400, end="hang", reply=None)         # the data connection just stays silent
        ftp.cuts["a.csv"] = Cut(400, end="torn")                     # TLS only: closed without close_notify
        ftp.cuts["a.csv"] = Cut(early=True)                          # 226 before the data
        ftp.cuts["a.csv"] = Cut(400, times=1)                        # only the first time; then whole
        ftp.cuts[LISTING] = Cut(100)                                 # listings are cut the same way
        ftp.cuts["up.csv"] = Cut(1000, ...)                          # uploads (STOR): stops reading after so many bytes
        ftp.rest = "ignore"                    # 350 and then from byte 0; "refuse" = 502; "off-by-one"; "honour" is the default
        ftp.pasv = "10,0,0,1,{port}"           # what PASV claims ({port} = the real "p1,p2"); ftp.without.add("EPSV") to force it
        ftp.banner = b"220 hello\r\n"          # raw; None = silence; an iterable of bytes is streamed
        ftp.encoding = "latin-1"               # how names are on the wire (UTF-8 by default)
        ftp.modified["a.csv"] = 1700000000.0   # seconds; all others have 2024-01-02 03:04:05 UTC
        ftp.changing = lambda name: ...        # called after each whole download (to change a file behind the client's back)
        ftp.heard                              # every command line that came, in order, as bytes
        ftp.files                              # what is there, uploads included: {b"path": bytes}; keys may be given as str

`FakeFtp(files, tls=ssl_context)` speaks explicit TLS (AUTH TLS, PROT P), `FakeFtp(files, tls=ssl_context, implicit=True)` implicit.
Every attribute may be changed while it runs.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Self

from tests.peers.base import HOST
from tests.peers.fake_ftp_talk import Talk
from tests.peers.fake_ftp_wire import LISTING, Cut, Over, Stream, raw_name, reset

__all__ = ["LISTING", "Cut", "FakeFtp"]


class FakeFtp:
    """A scriptable FTP server; see the module's text."""

    def __init__(
        self, files: Mapping[str | bytes, bytes] | None = None, *, tls: ssl.SSLContext | None = None, implicit: bool = False
    ) -> None:
        """Serve `files` from memory."""
        self.files: dict[bytes, bytes] = {raw_name(name): data for name, data in (files or {}).items()}
        self.folders: set[bytes] = {b""}
        self.modified: dict[str | bytes, float] = {}
        self.listing: Stream | None = None
        self.listings: dict[str | bytes, Stream] = {}
        self.mlsd: Stream | None = None
        self.without: set[str] = set()
        self.replies: dict[str, str | Callable[[str], str | None]] = {}
        self.silent: set[str] = set()
        self.hangup: set[str] = set()
        self.cuts: dict[str | bytes, Cut] = {}
        self.rest = "honour"
        self.pasv = "127,0,0,1,{port}"
        self.banner: Stream | None = b"220 fake\r\n"
        self.encoding = "utf-8"
        self.changing: Callable[[bytes], None] = lambda _: None
        self.heard: list[bytes] = []
        self.tls, self.implicit = tls, implicit
        self.host = HOST
        self.over = threading.Event()
        self._listener = socket.create_server((HOST, 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name=f"fake-ftp-{self.port}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in list(self._open):
            reset(line)

    def verbs(self) -> list[str]:
        """The verbs that came, in order."""
        return [line.split(b" ")[0].decode("ascii", "replace").upper() for line in self.heard]

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with suppress(OSError, ValueError, Over):
            if self.implicit and self.tls:
                line = self.tls.wrap_socket(line, server_side=True)
                self._open.add(line)
            Talk(self, line).run()
        self._open.discard(line)
        line.close()
