"""The real command line, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests import forge
from tests.roomy import roomy

TRANSLOAD = forge.TRANSLOAD
FOLDERS = """
[remotes.source]
kind = "folder"
path = "in"
[remotes.archive]
kind = "folder"
path = "out"
"""
ROUTE = """
[[routes]]
name = "files"
from = { remote = "source", settle = "0s" }
to = [{ remote = "archive" }]
"""


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON that it printed."""
        return json.loads(self.out)


class Place:
    """A folder with a config, in which commands are given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begun: list[Begun] = []
        (folder / "in").mkdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for begun in self._begun:
            begun.kill()

    def config(self, text: str) -> None:
        (self.folder / "transload.toml").write_text(roomy(text))

    def file(self, name: str, data: str = "x\n", *, age: float = 3600) -> Path:
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data)
        os.utime(path, (time.time() - age,) * 2)
        return path

    def delivered(self) -> dict[str, str]:
        out = self.folder / "out"
        # What has its name there: files come to lie beside it first, and may be gone from there while we look.
        return {str(path.relative_to(out)): path.read_text() for path in out.rglob("[!.]*") if path.is_file()}

    def give(self, *words: str, env: dict[str, str] | None = None) -> Outcome:
        done = forge.run(list(words), cwd=self.folder, env=os.environ | (env or {}), timeout=50)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def begin(self, *words: str) -> Begun:
        process = forge.Forged(list(words), cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._begun.append(Begun(process))
        return self._begun[-1]


class Begun:
    """A command that goes on until it is told to stop."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def until(self, words: str) -> str:
        """The next line on standard output with `words` in it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return line
        raise AssertionError(f"ended without {words!r}: {self.lines} {self.process.stderr and self.process.stderr.read()}")

    def stop(self, number: int = signal.SIGTERM) -> Outcome:
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=40)
        return Outcome(self.process.returncode, "".join(self.lines) + out, err)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
