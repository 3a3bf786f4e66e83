"""Clients that nobody here wrote, each told to do the same things in its own words."""

from __future__ import annotations

import base64
import ftplib
import hashlib
import itertools
import os
import shlex
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko

from tests.peers.base import PASSWORD, USER, program
from tests.peers.certificates import certificates

PLAIN, EXPLICIT, IMPLICIT, SFTP = "FTP", "FTPS explicit", "FTPS implicit", "SFTP"
LONGEST = 40
_numbers = itertools.count(1)


class Client:
    """One program, by one way in. Remote paths are relative to the home, local ones to `here`; `folder` is one that no other has."""

    ways: Sequence[str] = (PLAIN, EXPLICIT, IMPLICIT, SFTP)
    resumes = True

    def __init__(self, up: Any, way: str, here: Path) -> None:
        """For the server `up`."""
        self.up, self.way, self.here = up, way, here
        self.folder = f"{type(self).__name__}-{way.replace(' ', '-')}-{next(_numbers)}"
        self.port = {PLAIN: up.port, EXPLICIT: up.port, IMPLICIT: up.implicit, SFTP: up.sftp}[way]

    def run(self, command: Sequence[str], *, said: str = "", env: Mapping[str, str] | None = None) -> str:
        """What the program says; AssertionError when it ends badly."""
        done = subprocess.run(
            command,
            cwd=self.here,
            input=said,
            env=os.environ | {"HOME": str(self.here), "TERM": "dumb"} | dict(env or {}),
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        assert 0 == done.returncode, f"{command} ended with {done.returncode}: {done.stdout[-1500:]} {done.stderr[-1500:]}"
        return done.stdout

    def put(self, local: str, remote: str) -> None:
        raise NotImplementedError

    def get(self, remote: str, local: str) -> None:
        raise NotImplementedError

    def names(self, folder: str) -> set[str]:
        """The names in a folder."""
        raise NotImplementedError

    def rename(self, old: str, new: str) -> None:
        raise NotImplementedError

    def mkdir(self, folder: str) -> None:
        raise NotImplementedError

    def remove(self, path: str) -> None:
        raise NotImplementedError

    def rmdir(self, folder: str) -> None:
        raise NotImplementedError

    def reput(self, local: str, remote: str) -> None:
        """Go on with an upload that was cut."""
        raise NotImplementedError

    def reget(self, remote: str, local: str) -> None:
        """Go on with a download that was cut."""
        raise NotImplementedError


class Curl(Client):
    """curl; its SFTP is libssh2's."""

    def _curl(self, path: str, *words: str) -> str:
        scheme = {PLAIN: "ftp", EXPLICIT: "ftp", IMPLICIT: "ftps", SFTP: "sftp"}[self.way]
        trust = {PLAIN: [], SFTP: ["-k"]}.get(self.way, ["--ssl-reqd", "--cacert", str(certificates().ca)])
        login = ["-u", f"{USER}:{PASSWORD}"]
        return self.run([program("curl"), "-sS", "-q", *trust, *login, *words, f"{scheme}://{self.up.host}:{self.port}/{path}"])

    def _quote(self, *commands: str) -> None:
        words = [word for command in commands for word in ("-Q", command)]
        self._curl("", *words, "-o", os.devnull)

    def put(self, local: str, remote: str) -> None:
        self._curl(remote, "-T", local)

    def get(self, remote: str, local: str) -> None:
        self._curl(remote, "-o", local)

    def names(self, folder: str) -> set[str]:
        return set(self._curl(f"{folder}/", "-l").split()) - {".", ".."}

    def rename(self, old: str, new: str) -> None:
        self._quote(*([f"rename /{old} /{new}"] if self.way == SFTP else [f"RNFR {old}", f"RNTO {new}"]))

    def mkdir(self, folder: str) -> None:
        self._quote(f"mkdir /{folder}" if self.way == SFTP else f"MKD {folder}")

    def remove(self, path: str) -> None:
        self._quote(f"rm /{path}" if self.way == SFTP else f"DELE {path}")

    def rmdir(self, folder: str) -> None:
        self._quote(f"rmdir /{folder}" if self.way == SFTP else f"RMD {folder}")

    def reput(self, local: str, remote: str) -> None:
        self._curl(remote, "-T", local, "-C", "-")

    def reget(self, remote: str, local: str) -> None:
        self._curl(remote, "-o", local, "-C", "-")


class Lftp(Client):
    """lftp, with 2 files at a time where there are several."""

    def _lftp(self, *commands: str) -> str:
        if self.way == SFTP:
            ssh = " ".join(["ssh", "-a", "-x", *ssh_options(self.up)])
            login = [
                f'set sftp:auto-confirm yes; set sftp:connect-program "{ssh}"',
                f"open -u {USER}, -p {self.port} sftp://{self.up.host}",
            ]
        else:
            tls = f"set ssl:ca-file {certificates().ca}; set ftp:ssl-protect-data yes"
            tls += f"; set ftp:ssl-allow {'no' if self.way == PLAIN else 'yes'}; set ftp:ssl-force {'no' if self.way == PLAIN else 'yes'}"
            scheme = "ftps" if self.way == IMPLICIT else "ftp"
            login = [tls, f'open -u {USER},"{PASSWORD}" -p {self.port} {scheme}://{self.up.host}']
        script = "; ".join(["set cmd:fail-exit yes", "set net:max-retries 1", "set net:timeout 20", *login, *commands, "bye"])
        return self.run([program("lftp"), "--norc", "-c", script])

    def put(self, local: str, remote: str) -> None:
        self._lftp(f"put {local} -o {remote}")

    def get(self, remote: str, local: str) -> None:
        self._lftp(f"get {remote} -o {local}")

    def names(self, folder: str) -> set[str]:
        return {name.rstrip("/") for name in self._lftp(f"cd {folder}", "cls -1").split()}

    def rename(self, old: str, new: str) -> None:
        self._lftp(f"mv {old} {new}")

    def mkdir(self, folder: str) -> None:
        self._lftp(f"mkdir {folder}")

    def remove(self, path: str) -> None:
        self._lftp(f"rm {path}")

    def rmdir(self, folder: str) -> None:
        self._lftp(f"rmdir {folder}")

    def reput(self, local: str, remote: str) -> None:
        self._lftp(f"put -c {local} -o {remote}")

    def reget(self, remote: str, local: str) -> None:
        self._lftp(f"get -c {remote} -o {local}")


class OpenSsh(Client):
    """OpenSSH's sftp."""

    ways = (SFTP,)

    def _sftp(self, command: str) -> str:
        words = ["-q", *ssh_options(self.up), "-b", "-", "-P", str(self.port), f"{USER}@{self.up.host}"]
        return self.run([program("sftp"), *words], said=f"{command}\n")

    def put(self, local: str, remote: str) -> None:
        self._sftp(f"put {local} {remote}")

    def get(self, remote: str, local: str) -> None:
        self._sftp(f"get {remote} {local}")

    def names(self, folder: str) -> set[str]:
        lines = self._sftp(f"ls -1a {folder}").splitlines()
        return {os.path.basename(line.strip()) for line in lines if not line.startswith("sftp>")} - {".", "..", ""}

    def rename(self, old: str, new: str) -> None:
        self._sftp(f"rename {old} {new}")

    def mkdir(self, folder: str) -> None:
        self._sftp(f"mkdir {folder}")

    def remove(self, path: str) -> None:
        self._sftp(f"rm {path}")

    def rmdir(self, folder: str) -> None:
        self._sftp(f"rmdir {folder}")

    def reput(self, local: str, remote: str) -> None:
        self._sftp(f"reput {local} {remote}")

    def reget(self, remote: str, local: str) -> None:
        self._sftp(f"reget {remote} {local}")


class Psftp(OpenSsh):
    """PuTTY's psftp, whose code WinSCP's and FileZilla's SFTP come from; by password."""

    def _sftp(self, command: str) -> str:
        script = self.here / "psftp.txt"
        script.write_text(f"{command}\n")
        key = self.run(["ssh-keyscan", "-p", str(self.port), self.up.host]).split()[2]
        mark = base64.b64encode(hashlib.sha256(base64.b64decode(key)).digest()).decode().rstrip("=")
        login = ["-P", str(self.port), "-pw", PASSWORD, "-hostkey", f"SHA256:{mark}", f"{USER}@{self.up.host}"]
        return self.run([program("psftp"), "-batch", "-b", str(script), *login])

    def names(self, folder: str) -> set[str]:
        lines = self._sftp(f"ls {folder}").splitlines()
        return {line.split()[-1] for line in lines if line[:1] in {"-", "d"}} - {".", ".."}

    def rename(self, old: str, new: str) -> None:
        self._sftp(f"mv {old} {new}")


class Scp(OpenSsh):
    """OpenSSH's scp, which speaks SFTP; the rest is sftp's."""

    resumes = False

    def _scp(self, *words: str) -> None:
        self.run([program("scp"), "-q", *ssh_options(self.up), "-P", str(self.port), *words])

    def put(self, local: str, remote: str) -> None:
        self._scp("-p", local, f"{USER}@{self.up.host}:{remote}")

    def get(self, remote: str, local: str) -> None:
        self._scp("-p", f"{USER}@{self.up.host}:{remote}", local)


class Tnftp(Client):
    """Debian's ftp, which knows no TLS here."""

    ways = (PLAIN,)

    def _ftp(self, *commands: str) -> str:
        script = [f"open {self.up.host} {self.port}", f'user {USER} "{PASSWORD}"', "binary", *commands, "quit"]
        said = self.run([program("tnftp"), "-n", "-i", "-v"], said="\n".join(script) + "\n")
        bad = [line for line in said.splitlines() if line[:1] in {"4", "5"} and line[3:4] == " "]
        assert not bad, said  # it ends with 0 whatever the server says
        return said

    def put(self, local: str, remote: str) -> None:
        self._ftp(f"put {local} {remote}")

    def get(self, remote: str, local: str) -> None:
        self._ftp(f"get {remote} {local}")

    def names(self, folder: str) -> set[str]:
        self._ftp(f"ls {folder} listing")
        return {line.split()[-1] for line in (self.here / "listing").read_text().splitlines()}

    def rename(self, old: str, new: str) -> None:
        self._ftp(f"rename {old} {new}")

    def mkdir(self, folder: str) -> None:
        self._ftp(f"mkdir {folder}")

    def remove(self, path: str) -> None:
        self._ftp(f"delete {path}")

    def rmdir(self, folder: str) -> None:
        self._ftp(f"rmdir {folder}")

    def reput(self, local: str, remote: str) -> None:
        there = int(self._ftp(f"size {remote}").split(remote)[-1].split()[0])
        self._ftp(f"restart {there}", f"put {local} {remote}")

    def reget(self, remote: str, local: str) -> None:
        self._ftp(f"reget {remote} {local}")


class Rclone(Client):
    """rclone, which begins anew what was cut."""

    resumes = False

    def rclone(self, *words: str) -> str:
        """One command; `r:` is the server."""
        told = {"TYPE": "sftp" if self.way == SFTP else "ftp", "HOST": self.up.host, "PORT": str(self.port), "USER": USER}
        if self.way == SFTP:
            told |= {"KEY_FILE": str(self.up.key), "SHELL_TYPE": "none", "DISABLE_HASHCHECK": "true"}
        else:
            binary = program("rclone", Path(sys.executable).parent)
            told["PASS"] = subprocess.run([binary, "obscure", PASSWORD], check=True, capture_output=True, text=True).stdout.strip()
            told |= {"TLS": str(self.way == IMPLICIT).lower(), "EXPLICIT_TLS": str(self.way == EXPLICIT).lower()}
        env = {"RCLONE_CONFIG": "", "RCLONE_CA_CERT": str(certificates().ca), "RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "2"}
        env |= {f"RCLONE_CONFIG_R_{key}": value for key, value in told.items()}
        return self.run([program("rclone", Path(sys.executable).parent), *words], env=env)

    def put(self, local: str, remote: str) -> None:
        self.rclone("copyto", local, f"r:{remote}")

    def get(self, remote: str, local: str) -> None:
        self.rclone("copyto", f"r:{remote}", local)

    def names(self, folder: str) -> set[str]:
        return {name.rstrip("/") for name in self.rclone("lsf", f"r:{folder}").split()}

    def rename(self, old: str, new: str) -> None:
        self.rclone("moveto", f"r:{old}", f"r:{new}")

    def mkdir(self, folder: str) -> None:
        self.rclone("mkdir", f"r:{folder}")

    def remove(self, path: str) -> None:
        self.rclone("deletefile", f"r:{path}")

    def rmdir(self, folder: str) -> None:
        self.rclone("rmdir", f"r:{folder}")


class ImplicitTls(ftplib.FTP_TLS):
    """ftplib with TLS from the first byte."""

    _line: Any = None

    @property  # type: ignore[override]
    def sock(self) -> Any:
        return self._line

    @sock.setter
    def sock(self, line: Any) -> None:
        if line is not None and not isinstance(line, ssl.SSLSocket):
            line = self.context.wrap_socket(line, server_hostname=self.host)
        self._line = line


@contextmanager
def ftplib_session(up: Any, way: str) -> Iterator[ftplib.FTP]:
    """Python's own client, logged in."""
    if way == PLAIN:
        line: ftplib.FTP = ftplib.FTP(timeout=LONGEST)
    else:
        context = ssl.create_default_context(cafile=certificates().ca)
        line = (ImplicitTls if way == IMPLICIT else ftplib.FTP_TLS)(context=context, timeout=LONGEST)
    with line:
        line.connect(up.host, up.implicit if way == IMPLICIT else up.port)
        line.login(USER, PASSWORD)
        if isinstance(line, ftplib.FTP_TLS):
            line.prot_p()
        yield line


class Ftplib(Client):
    """Python's ftplib."""

    ways = (PLAIN, EXPLICIT, IMPLICIT)

    def put(self, local: str, remote: str) -> None:
        with ftplib_session(self.up, self.way) as line, (self.here / local).open("rb") as file:
            line.storbinary(f"STOR {remote}", file)

    def get(self, remote: str, local: str) -> None:
        with ftplib_session(self.up, self.way) as line, (self.here / local).open("wb") as file:
            line.retrbinary(f"RETR {remote}", file.write)

    def names(self, folder: str) -> set[str]:
        with ftplib_session(self.up, self.way) as line:
            facts = {name for name, _ in line.mlsd(folder)} - {".", ".."}
            assert facts == {os.path.basename(name) for name in line.nlst(folder)}
            lines: list[str] = []
            line.dir(folder, lines.append)
            assert len(facts) == len(lines)
            return facts

    def rename(self, old: str, new: str) -> None:
        with ftplib_session(self.up, self.way) as line:
            line.rename(old, new)

    def mkdir(self, folder: str) -> None:
        with ftplib_session(self.up, self.way) as line:
            line.mkd(folder)

    def remove(self, path: str) -> None:
        with ftplib_session(self.up, self.way) as line:
            line.delete(path)

    def rmdir(self, folder: str) -> None:
        with ftplib_session(self.up, self.way) as line:
            line.rmd(folder)

    def reput(self, local: str, remote: str) -> None:
        with ftplib_session(self.up, self.way) as line, (self.here / local).open("rb") as file:
            line.voidcmd("TYPE I")
            there = line.size(remote)
            assert there
            file.seek(there)
            line.storbinary(f"STOR {remote}", file, rest=there)

    def reget(self, remote: str, local: str) -> None:
        with ftplib_session(self.up, self.way) as line, (self.here / local).open("ab") as file:
            line.retrbinary(f"RETR {remote}", file.write, rest=file.tell())


@contextmanager
def paramiko_session(up: Any) -> Iterator[paramiko.SFTPClient]:
    """paramiko's client, logged in by password."""
    with paramiko.SSHClient() as line:
        line.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        line.connect(up.host, up.sftp, USER, PASSWORD, allow_agent=False, look_for_keys=False, timeout=LONGEST)
        with line.open_sftp() as session:
            yield session


class Paramiko(Client):
    """paramiko."""

    ways = (SFTP,)

    def put(self, local: str, remote: str) -> None:
        with paramiko_session(self.up) as session:
            session.put(str(self.here / local), remote)

    def get(self, remote: str, local: str) -> None:
        with paramiko_session(self.up) as session:
            session.get(remote, str(self.here / local))

    def names(self, folder: str) -> set[str]:
        with paramiko_session(self.up) as session:
            return set(session.listdir(folder))

    def rename(self, old: str, new: str) -> None:
        with paramiko_session(self.up) as session:
            session.rename(old, new)

    def mkdir(self, folder: str) -> None:
        with paramiko_session(self.up) as session:
            session.mkdir(folder)

    def remove(self, path: str) -> None:
        with paramiko_session(self.up) as session:
            session.remove(path)

    def rmdir(self, folder: str) -> None:
        with paramiko_session(self.up) as session:
            session.rmdir(folder)

    def reput(self, local: str, remote: str) -> None:
        with paramiko_session(self.up) as session, (self.here / local).open("rb") as file:
            there = session.stat(remote).st_size
            assert there
            file.seek(there)
            with session.open(remote, "r+b") as target:
                target.seek(there)
                target.write(file.read())

    def reget(self, remote: str, local: str) -> None:
        with paramiko_session(self.up) as session, (self.here / local).open("ab") as file, session.open(remote, "rb") as source:
            source.seek(file.tell())
            file.write(source.read())


def ssh_options(up: Any) -> list[str]:
    """Options that let OpenSSH's programs in without asking."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes", "BatchMode=yes")
    return ["-F", "none", "-i", shlex.quote(str(up.key)), *(word for option in options for word in ("-o", option))]


CLIENTS: dict[str, type[Client]] = {
    "curl": Curl, "lftp": Lftp, "sftp": OpenSsh, "scp": Scp, "psftp": Psftp, "ftp": Tnftp,
    "rclone": Rclone, "ftplib": Ftplib, "paramiko": Paramiko,
}  # fmt: skip
EACH = [(name, way) for name, client in CLIENTS.items() for way in client.ways]
