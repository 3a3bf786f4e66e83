"""A story on stage: a config of examples/ with this machine's ports in it, the real command line, and an eye on every secret."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, quote_plus, unquote

from tests import forge
from tests.commanding import Begun, Outcome
from tests.peers.base import PASSWORD, REPOSITORY, USER

EXAMPLES = REPOSITORY / "examples"
PATIENCE = 50
QUICK = 'backoff = { first = "50ms", cap = "50ms" }'


class Stage:
    """A folder with one config; `give` gives a command there. Whatever is in `secrets` must show nowhere when the test ends."""

    def __init__(self, folder: Path) -> None:
        """Play in `folder`."""
        self.folder = folder
        self.secrets: dict[str, str] = {}
        self.said: list[str] = []
        self._begun: list[Begun] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for begun in self._begun:
            begun.kill()
            self.said += begun.lines

    # The config

    def example(self, name: str, changes: Mapping[str, str]) -> None:
        """Take `examples/<name>.toml`, with every text of `changes` that occurs there replaced."""
        text = (EXAMPLES / f"{name}.toml").read_text()
        for old, new in changes.items():
            assert old in text, f"{old!r} is not in the example {name}"
            text = text.replace(old, new)
        self.config(text)

    def config(self, text: str) -> None:
        """Write the config."""
        (self.folder / "transload.toml").write_text(text)

    def change(self, old: str, new: str) -> None:
        """Edit the config."""
        text = (self.folder / "transload.toml").read_text()
        assert old in text, f"{old!r} is not in the config"
        self.config(text.replace(old, new))

    # Commands

    @property
    def environment(self) -> dict[str, str]:
        """What a command is given."""
        return {key: value for key, value in os.environ.items() if not key.startswith("TRANSLOAD_")} | self.secrets

    def give(self, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Outcome:
        """Give a command, and wait for its end."""
        given = self.environment if env is None else env
        done = forge.run(list(words), cwd=cwd or self.folder, env=given, timeout=PATIENCE)
        self.said += [done.stdout, done.stderr]
        return Outcome(done.returncode, done.stdout, done.stderr)

    def begin(self, *words: str, **more: str) -> Begun:
        """Give a command that goes on; it is killed at the end if need be."""
        process = forge.Forged(
            list(words),
            cwd=self.folder,
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._begun.append(Begun(process))
        return self._begun[-1]

    def run(self, *routes: str) -> dict[str, Any]:
        """`run --json` that finds all well; the summary of its routes, by name."""
        told = self.give("run", "--json", *routes)
        assert (0, "") == (told.code, told.err), told
        return {one["route"]: one for one in told.document["routes"]}

    def run_badly(self, *routes: str) -> dict[str, Any]:
        """`run --json` that ends with 1; the summary of its routes, by name."""
        told = self.give("run", "--json", *routes)
        assert (1, "") == (told.code, told.err), told
        return {one["route"]: one for one in told.document["routes"]}

    def run_dies(self, point: str, *routes: str) -> None:
        """`run`, killed as by kill -9 at the named point."""
        told = self.give("run", *routes, env=self.environment | {"TRANSLOAD_CRASH_AT": point})
        assert -signal.SIGKILL == told.code, told

    def ls(self, *words: str) -> list[dict[str, Any]]:
        """What `ls` lists."""
        told = self.give("ls", "--json", *words)
        assert (0, "") == (told.code, told.err), told
        document: list[dict[str, Any]] = told.document
        return document

    def trace(self, what: str) -> list[dict[str, Any]]:
        """What `trace` tells of a file."""
        told = self.give("trace", "--json", what)
        assert (0, "") == (told.code, told.err), told
        document: list[dict[str, Any]] = told.document
        return document

    def log(self, path: str = "log/monitor.log") -> list[dict[str, Any]]:
        """The lines of a log in JSON."""
        return [json.loads(line) for line in (self.folder / path).read_text().splitlines()]

    # What was left behind

    def leaks(self) -> list[str]:
        """Where a secret shows: in a file below the folder (data, logs, config), or in what a command said."""
        words = {word for secret in self.secrets.values() for word in spellings(secret)}
        found = [f"{path}: holds a secret" for path in self.folder.rglob("*") if path.is_file() and _holds(path.read_bytes(), words)]
        return found + [f"said: {text}" for text in self.said if _holds(text.encode(), words)]

    def leftovers(self) -> list[str]:
        """What is left in the spools of bytes on their way in."""
        return [str(path) for path in self.folder.rglob("spool/parts/**/*") if path.is_file() and path.stat().st_size]


def spellings(secret: str) -> set[bytes]:
    """A secret as it might show."""
    raw = secret.encode()
    _, signed, signature = secret.partition("sig=")
    if signed:
        return spellings(unquote(signature)) | {secret.encode()}
    plain = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    return {word.encode() for word in plain} | {base64.b64encode(raw).rstrip(b"="), raw.hex().encode()}


def _holds(data: bytes, words: set[bytes]) -> bool:
    return any(word in data for word in words)


# Settings of remotes on this machine


def ftp(peer: Any, *, tls: str = "", ca: Path | None = None) -> str:
    """The lines of a remote for an FTP peer, in place of its host."""
    return f'host = "{peer.host}"\nport = {peer.port}\ntls = "{tls or "off"}"\n' + (f'ca = "{ca}"\n' if ca else "")


def sftp(peer: Any) -> str:
    """The lines of a remote for an SFTP peer, in place of its host."""
    return f'host = "{peer.host}"\nport = {peer.port}\n'


def s3(peer: Any) -> str:
    """The line of a remote for an S3 peer, in place of its region."""
    return f'endpoint = "{peer.url}"\nregion = "eu-west-1"'


LOGIN = f'user = "{USER}"'
__all__ = ["LOGIN", "PASSWORD", "QUICK", "Stage", "ftp", "s3", "sftp"]
