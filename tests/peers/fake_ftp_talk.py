"""The fake FTP server's control connections."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.peers.base import PASSWORD
from tests.peers.fake_ftp_data import Transfers
from tests.peers.fake_ftp_wire import Over, pieces, reset

FEATURES = ("MLSD", "MLST", "SIZE", "MDTM", "REST", "EPSV", "UTF8", "MFMT")


class Talk(Transfers):
    """One control connection."""

    def run(self) -> None:
        try:
            self.talk()
        finally:
            self.input.close()
            if self.passive is not None:
                self.passive.close()

    def talk(self) -> None:
        if self.ftp.banner is None:
            self.ftp.over.wait()
            return
        for piece in pieces(self.ftp.banner):
            self.line.sendall(piece)
        while raw := self.input.readline():
            raw = raw.rstrip(b"\r\n")
            self.ftp.heard.append(raw)
            verb, _, argument = raw.partition(b" ")
            self.obey(verb.decode("ascii", "replace").upper(), argument)

    def obey(self, verb: str, argument: bytes) -> None:
        text = argument.decode(self.ftp.encoding, "surrogateescape")
        if verb in self.ftp.hangup:
            reset(self.line)
            raise Over
        if verb in self.ftp.silent:
            return
        canned = self.ftp.replies.get(verb)
        answer = canned(text) if callable(canned) else canned
        if answer is not None:
            self.say(answer)
            return
        do = getattr(self, f"do_{verb.lower()}", None)
        if do is None or verb in self.ftp.without:
            self.say(f"500 {verb} not understood")
            return
        do(argument)

    # Login and settings

    def do_auth(self, _: bytes) -> None:
        if self.ftp.tls is None:
            self.say("502 no TLS")
            return
        self.say("234 go")
        self.line = self.ftp.tls.wrap_socket(self.line, server_side=True)
        self.ftp._open.add(self.line)
        self.input = self.line.makefile("rb")

    def do_user(self, argument: bytes) -> None:
        self.user = argument.decode("utf-8", "replace")
        self.say("331 password?")

    def do_pass(self, argument: bytes) -> None:
        self.say("230 welcome" if argument in (PASSWORD.encode(), b"anonymous@") else "530 Login incorrect")

    def do_prot(self, argument: bytes) -> None:
        self.private = argument.upper() == b"P"
        self.say("200 ok")

    def do_feat(self, _: bytes) -> None:
        named = [name for name in FEATURES if name not in self.ftp.without]
        spelled = {"MLST": "MLST type*;size*;modify*;", "REST": "REST STREAM"}
        lines = [f" {spelled.get(name, name)}" for name in named if name != "MLSD"]
        self.say("\r\n".join(["211-Features", *lines, "211 End"]))

    def do_type(self, _: bytes) -> None:
        self.say("200 ok")

    do_opts = do_noop = do_mode = do_stru = do_pbsz = do_clnt = do_allo = do_site = do_type

    def do_syst(self, _: bytes) -> None:
        self.say("215 UNIX Type: L8")

    def do_quit(self, _: bytes) -> None:
        self.say("221 bye")
        raise Over

    def do_abor(self, _: bytes) -> None:
        self.say("226 aborted")

    # Folders and names

    def do_pwd(self, _: bytes) -> None:
        here = b"/" + self.here
        self.say('257 "{}"'.format(here.decode("utf-8", "surrogateescape").replace('"', '""')))

    def do_cwd(self, argument: bytes) -> None:
        there = self.path(argument)
        if not self.is_folder(there):
            self.say("550 No such directory")
            return
        self.here = there
        self.say("250 ok")

    def do_cdup(self, _: bytes) -> None:
        self.do_cwd(b"..")

    def do_mkd(self, argument: bytes) -> None:
        there = self.path(argument)
        if self.is_folder(there) or there in self.ftp.files:
            self.say("550 File exists")
            return
        self.ftp.folders.add(there)
        self.say("257 made")

    def do_dele(self, argument: bytes) -> None:
        gone = self.ftp.files.pop(self.path(argument), None)
        self.say("250 ok" if gone is not None else "550 No such file")

    def do_rnfr(self, argument: bytes) -> None:
        there = self.path(argument)
        self.renaming = there if there in self.ftp.files else None
        self.say("350 and to?" if self.renaming is not None else "550 No such file")

    def do_rnto(self, argument: bytes) -> None:
        if self.renaming is None:
            self.say("503 RNFR first")
            return
        self.ftp.files[self.path(argument)] = self.ftp.files.pop(self.renaming)
        self.renaming = None
        self.say("250 ok")

    def do_size(self, argument: bytes) -> None:
        data = self.ftp.files.get(self.path(argument))
        self.say(f"213 {len(data)}" if data is not None else "550 No such file")

    def do_mdtm(self, argument: bytes) -> None:
        there = self.path(argument)
        self.say(f"213 {self.modified(there)}" if there in self.ftp.files else "550 No such file")

    def do_mfmt(self, argument: bytes) -> None:
        stamp, _, name = argument.partition(b" ")
        there = self.path(name)
        if there not in self.ftp.files:
            self.say("550 No such file")
            return
        self.ftp.modified[there] = datetime.strptime(stamp.decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
        self.say(f"213 Modify={stamp.decode()}; ok")

    def do_mlst(self, argument: bytes) -> None:
        there = self.path(argument)
        data = self.ftp.files.get(there)
        if data is not None:
            facts = f"type=file;size={len(data)};modify={self.modified(there)};"
        elif self.is_folder(there):
            facts = "type=dir;"
        else:
            self.say("550 No such file")
            return
        name = argument.decode(self.ftp.encoding, "surrogateescape")
        self.say(f"250-Here\r\n {facts} {name}\r\n250 End")
