"""A source, destinations and a config on disk, and the real program run over them as often as a test wants, killed where it wants."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from tests.crash.check import delivered_faults, source_faults
from tests.forge import Forged
from tests.remotes.places import VARIABLE, Place
from transload.model import unspell
from transload.secret import Secret

PROGRAM = str(Path(sys.executable).with_name("transload"))
OLD = 1700000000.0
DATABASE = "TRANSLOAD_TEST_DATABASE"
PATIENCE = 40
_FEW = {"connections": 2}


@dataclass
class Scene:
    """One route called "r" from `source` to `targets`, in `folder`."""

    folder: Path
    source: Place
    targets: Mapping[str, Place]
    after: str = "keep"
    database: str | None = None
    marker: bool = False
    more: str = ""
    route: str = ""
    every: str = ""
    quick: bool = False
    source_settings: dict[str, Any] = field(default_factory=dict)
    target_settings: dict[str, Any] = field(default_factory=dict)
    planted: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = self.folder / "transload.toml"
        self.write()

    def write(self) -> None:
        """Write the config as it is now."""
        after = '{ move = "done" }' if self.after == "move" else f'"{self.after}"'
        marker = ', marker = "{name}.done"' if self.marker else ""
        to = ", ".join(f'{{ remote = "{name}"{marker} }}' for name in self.targets)
        settle = '"0.2s"' if self.source.carries_time else '"0s"'
        every = f', every = "{self.every}"' if self.every else ""
        base = f'data = "{self.folder / "data"}"\nspool = {{ min_free = "1MB" }}\n'
        base += f'database = {{ env = "{DATABASE}" }}\n' if self.database else ""
        tables = [f"[transload]\n{base}{self.more}", table("source", self.source.make(**_FEW | self.source_settings))]
        tables += [table(name, place.make(**_FEW | self.target_settings)) for name, place in self.targets.items()]
        source = f'remote = "source", settle = {settle}{every}'
        route = f'name = "r"\nfrom = {{ {source} }}\nto = [{to}]\nafter = {after}\nbackoff = {{ first = "0.2s" }}\n'
        tables.append(f"[[routes]]\n{route}{self.route}")
        self.config.write_text("\n".join(tables))

    def plant(self, files: Mapping[bytes, bytes]) -> None:
        """Put new files at the source."""
        for name, data in files.items():
            self.source.plant(name, data, OLD)
            self.planted[name] = data

    @property
    def environment(self) -> dict[str, str]:
        """What the program is given."""
        given = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        return given | {"PYTHONFAULTHANDLER": "1"} | ({DATABASE: self.database} if self.database else {})

    @contextmanager
    def running(self, *words: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """The program, at work while this is open; killed at its end if it is still there."""
        command = [*(words or ("run", "--json")), "-c", str(self.config)]
        with (self.folder / "said").open("ab") as said:
            process = Forged(
                command,
                module="tests.crash.quick" if self.quick else "transload.cli",
                env=self.environment | environment,
                stdout=subprocess.PIPE,
                stderr=said,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
            )
            with process:
                try:
                    yield process
                finally:
                    process.kill()

    def another(self, name: str) -> Scene:
        """The same route on another machine: a data folder of its own, one database for both."""
        folder = self.folder / name
        folder.mkdir()
        return replace(self, folder=folder)

    def run(self, crash: str = "", **more: str) -> tuple[int, dict[str, Any]]:
        """One `run`, killed at the point `crash` if there is one; its exit code and its summary of the route."""
        more |= {"TRANSLOAD_CRASH_AT": crash} if crash else {}
        with self.running(**more) as process:
            try:
                said, _ = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)
                process.wait()
                raise AssertionError("it does not end; its threads: " + (self.folder / "said").read_text()[-20000:]) from None
        return process.returncode, json.loads(said)["routes"][0] if said.startswith(b"{") else {}

    def run_dies(self, crash: str) -> None:
        """One `run` that is killed at that point."""
        code, summary = self.run(crash)
        assert -signal.SIGKILL == code, f"the point {crash} was never reached: {code} {summary} {self.said()}"

    def run_well(self) -> dict[str, Any]:
        """One `run` that finds all well."""
        code, summary = self.run()
        assert 0 == code, f"{summary} {self.said()}"
        return summary

    def retry(self) -> None:
        """Let everything that failed go on."""
        numbers = [str(row["id"]) for row in json.loads(self._told("ls", "--state", "failed", "--json"))]
        self._told("retry", *numbers)

    def _told(self, *words: str) -> bytes:
        with self.running(*words) as process:
            said, _ = process.communicate(timeout=PATIENCE)
        return said

    def said(self) -> str:
        """What all runs wrote to standard error, and to the error log."""
        log = self.folder / "log" / "error.log"
        return (self.folder / "said").read_text()[-4000:] + (log.read_text()[-4000:] if log.exists() else "")

    def asks(self, query: str) -> list[Any]:
        """What the ledger file answers, read past the program; nothing while there is none."""
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{self.folder}/data/ledger.db?mode=ro", uri=True)) as ledger:
            return ledger.execute(query).fetchall()
        return []

    def faults(self) -> list[str]:
        """What the judge finds."""
        wanted = dict(self.planted) | ({name + b".done": b"" for name in self.planted} if self.marker else {})
        faults = [fault for name, place in self.targets.items() for fault in delivered_faults(name, wanted, held(place))]
        return faults + source_faults(self.planted, held(self.source), self.after)


def held(place: Place) -> dict[bytes, bytes]:
    """What is at a place, by the names that were meant: a store of objects has them in a spelling of their own."""
    while True:
        try:
            files = place.files()
        except FileNotFoundError:
            continue  # it was renamed while we looked
        return files if place.folders else {unspell(name.decode()): data for name, data in files.items()}


def some_files(count: int, seed: int = 0, *, sizes: Sequence[int] = (0, 1, 300, 5000, 70_000, 600_000)) -> dict[bytes, bytes]:
    """Files with awkward names, each with bytes that no other has."""
    dice = random.Random(seed)
    shapes = ("plain-{}.csv", "with space {}.txt", "déjà vu {}.csv", "below/{}.bin", "below/deeper still/{}", "a#b?{}.csv", "x%41-{}.csv")
    files = {}
    for number in range(count):
        size = sizes[number % len(sizes)]
        name = shapes[number % len(shapes)].format(f"{seed}-{number:04}").encode()
        files[name] = dice.randbytes(size) if size > 1 or number < 2 else dice.randbytes(16)
    return files


def table(name: str, settings: Any) -> str:
    """A remote's settings as the config has them."""
    values = {key: getattr(settings, key) for key in type(settings).model_fields if key in settings.model_fields_set}
    lines = [f"{key} = {_toml(value)}" for key, value in ({"kind": settings.kind} | values).items()]
    return "\n".join([f"[remotes.{name}]", *lines, ""])


def at_fake_ftp(port: int) -> str:
    """The remote `ftp`, as the config has it, at an FTP server that does what the test says."""
    from transload.remotes.ftp import FtpRemote

    settings = {"host": "127.0.0.1", "port": port, "user": "partner", "password": Secret(env=VARIABLE), "tls": "off", "timeout": 10}
    return table("ftp", FtpRemote(**settings))


def _toml(value: Any) -> str:
    if isinstance(value, Secret):
        [(key, kept)] = value.model_dump(exclude_none=True).items()
        return f"{{ {key} = {_toml(kept)} }}"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, str | PurePath):
        return json.dumps(str(value))
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_toml, value)) + "]"
    raise TypeError(value)
