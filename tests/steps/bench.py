"""A workbench for steps: a folder of its own, and everything that a step says of its file."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from transload.model import Name
from transload.steps import FileView, Output, Step, Verdict
from transload.steps.base import H


@dataclass
class BenchSink:
    """One file that a step writes."""

    file: BinaryIO
    output: Output

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.file.write(data)


class Bench:
    """A Scratch on a real folder; `does` runs a step over bytes and gives the outputs as {name: bytes}."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.verdicts: list[Verdict] = []
        self.before: dict[tuple[str, str], Verdict] = {}
        self.others: dict[bytes, FileView] = {}
        self.outputs: list[Output] = []
        self.went_on = 0
        self._count = 0
        self._held: dict[Any, Any] = {}

    def file(self, data: bytes | Path, name: str | bytes = "a.csv", **more: Any) -> FileView:
        """A file as a step is given it, in a folder that is not the step's."""
        if isinstance(data, bytes):
            self._count += 1
            path = self._root / f"spooled-{self._count}"
            path.write_bytes(data)
        else:
            path = data
        path.chmod(0o400)
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        received = more.pop("received", 1_700_000_000_000_000)
        return FileView(1, "r", Name(name), path.stat().st_size, digest, path, received=received, **more)

    def does(self, step: Step, data: bytes | Path | FileView, name: str | bytes = "a.csv", **more: Any) -> dict[str, bytes]:
        """What the step makes of it."""
        file = data if isinstance(data, FileView) else self.file(data, name, **more)
        self.outputs = list(step(file, self))
        return {one.name.text: (one.path or file.path).read_bytes() for one in self.outputs}

    def keep(self, file: FileView, name: Name | None = None) -> Output:
        return Output(name or file.name, None, file.size, file.sha256, file.modified)

    def write(self, name: Name, data: bytes | Iterable[bytes], *, modified: int | None = None, member: bool = False) -> Output:
        with self.create(name, modified=modified, member=member) as sink:
            for piece in [data] if isinstance(data, bytes) else data:
                sink.write(piece)
        return sink.output

    @contextmanager
    def create(self, name: Name, *, modified: int | None = None, member: bool = False) -> Iterator[BenchSink]:
        self._count += 1
        path = self._root / f"output-{self._count}"
        with path.open("xb") as file:
            sink = BenchSink(file, Output(name, path, 0, "", modified, member))
            yield sink
        with path.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        sink.output = replace(sink.output, size=path.stat().st_size, sha256=digest)

    def note(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    def known(self, what: str, sha256: str) -> Verdict | None:
        return self.before.get((what, sha256))

    def beside(self, name: Name) -> FileView | None:
        return self.others.get(name.raw)

    def held(self, key: Hashable, make: Callable[[], H]) -> H:
        if key not in self._held:
            self._held[key] = make()
        return self._held[key]

    def close(self) -> None:
        while self._held:
            self._held.popitem()[1].close()

    def go_on(self) -> None:
        self.went_on += 1

    @property
    def found(self) -> Mapping[str, str]:
        """The verdicts, by what was looked for."""
        return {one.what: one.found for one in self.verdicts}
