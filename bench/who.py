"""How each contestant is told to do the work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.peers.base import PASSWORD, USER, program
from tests.peers.sshd import Sshd
from tests.peers.vsftpd import Vsftpd

from bench.race import OURS, Contestant

BIN = Path(sys.executable).parent
REMOTE = "source"


def emptied(*folders: Path) -> Callable[[], None]:
    """A preparation: these folders are not there."""

    def prepare() -> None:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    return prepare


def toml(value: object) -> str:
    """A TOML value: numbers, texts, lists, and dicts as inline tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def config(file: Path, remotes: dict[str, dict[str, object]], route: dict[str, object], **settings: object) -> Path:
    """A config with one route, in `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    settings = {"data": "data", "spool": {"min_free": "1MB"}} | settings
    lines = ["[transload]", *(f"{key} = {toml(value)}" for key, value in settings.items())]
    for name, remote in remotes.items():
        lines += [f"[remotes.{name}]", *(f"{key} = {toml(value)}" for key, value in remote.items())]
    lines += ["[[routes]]", *(f"{key} = {toml(value)}" for key, value in ({"name": "bench"} | route).items())]
    file.write_text("\n".join(lines) + "\n")
    return file


def transload(file: Path, *words: str) -> list[str]:
    """Our command."""
    return [str(BIN / "transload"), *(words or ("run",)), "--config", str(file)]


def ours(file: Path, prepare: Callable[[], None], check: Callable[[], None]) -> Contestant:
    """One `transload run` from nothing: no ledger, no spool."""
    return Contestant(OURS, transload(file), prepare=prepare, check=check)


def to_folder(source: dict[str, object], work: Path, **route: object) -> Path:
    """Our config from one remote into the folder `out`."""
    remotes = {REMOTE: source, "out": {"kind": "folder", "path": "out"}}
    return config(work / "transload.toml", remotes, {"from": {"remote": REMOTE}, "to": [{"remote": "out"}], **route})


def of_sshd(server: Sshd, **more: object) -> dict[str, object]:
    """Our settings for it."""
    login = {"host": server.host, "port": server.port, "user": server.user, "key": {"file": str(server.key)}, "host_key": server.host_key}
    return {"kind": "sftp", **login, "path": str(server.root), **more}


def of_vsftpd(server: Vsftpd, **more: object) -> dict[str, object]:
    """Our settings for it."""
    os.environ["BENCH_PASSWORD"] = PASSWORD
    login = {"host": server.host, "port": server.port, "user": USER, "password": {"env": "BENCH_PASSWORD"}, "tls": "off"}
    return {"kind": "ftp", **login, **more}


def ssh(server: Sshd) -> list[str]:
    """Options that let OpenSSH's programs in without asking."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes")
    return ["-i", str(server.key), *(word for option in options for word in ("-o", option))]


def lftp(server: Sshd | Vsftpd, target: Path, check: Callable[[], None], parallel: int = 8) -> Contestant:
    """Its mirror, with 8 files at a time."""
    if isinstance(server, Sshd):
        command = " ".join(["ssh", "-a", "-x", *ssh(server)])
        login = f'set sftp:auto-confirm yes; set sftp:connect-program "{command}"; open -u {server.user}, -p {server.port} sftp://127.0.0.1'
        source = str(server.root)
    else:
        login = f'set ftp:ssl-allow no; open -u {USER},"{PASSWORD}" -p {server.port} ftp://127.0.0.1'
        source = "/"
    script = f"set net:max-retries 1; {login}; mirror --parallel={parallel} {source} {target}; bye"
    return Contestant("lftp", [program("lftp"), "--norc", "-c", script], prepare=emptied(target), check=check)


@cache
def obscured(password: str) -> str:
    """A password as rclone wants it."""
    return subprocess.run([program("rclone", BIN), "obscure", password], check=True, capture_output=True, text=True).stdout.strip()


def rclone_env(server: Sshd | Vsftpd) -> dict[str, str]:
    """Its remote `source`, without a config file."""
    if isinstance(server, Sshd):
        told = {"TYPE": "sftp", "USER": server.user, "KEY_FILE": str(server.key), "SHELL_TYPE": "none", "DISABLE_HASHCHECK": "true"}
    else:
        told = {"TYPE": "ftp", "USER": USER, "PASS": obscured(PASSWORD)}
    told |= {"HOST": "127.0.0.1", "PORT": str(server.port)}
    return {"RCLONE_CONFIG": ""} | {f"RCLONE_CONFIG_SOURCE_{key}": value for key, value in told.items()}


def rclone(server: Sshd | Vsftpd, target: Path, check: Callable[[], None], *words: str) -> Contestant:
    """Its copy, with 8 files at a time."""
    source = f"source:{server.root if isinstance(server, Sshd) else '/'}"
    command = [program("rclone", BIN), "copy", source, str(target), "--transfers", "8", "--checkers", "8", *words]
    return Contestant("rclone", command, rclone_env(server), emptied(target), check)


def sftp(server: Sshd, name: str, target: Path, check: Callable[[], None]) -> Contestant:
    """OpenSSH's own client, one file."""

    def prepare() -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        (target.parent / "batch").write_text(f"get {server.root}/{name} {target}/{name}\n")

    command = [program("sftp"), "-q", *ssh(server), "-b", str(target.parent / "batch"), "-P", str(server.port), f"{server.user}@127.0.0.1"]
    return Contestant("sftp", command, prepare=prepare, check=check)
