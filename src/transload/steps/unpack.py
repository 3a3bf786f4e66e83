"""Archives are opened, and their members go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from transload.errors import Rejected
from transload.model import Name
from transload.secret import Secret
from transload.steps.archives import magic
from transload.steps.archives.limits import Meter
from transload.steps.archives.names import Taken, without_suffixes
from transload.steps.archives.reader import Bounds, Locked, Reader
from transload.steps.archives.wire import DATA, END, FOLDER, MEMBER, ONLY, named
from transload.steps.base import FileView, Output, Scratch, Step
from transload.units import ByteSize, Duration

_SMALL = 1 << 16


@dataclass(frozen=True, slots=True)
class _Run:
    """What is shared by an archive and those within it."""

    work: Scratch
    meter: Meter
    reader: Reader
    taken: Taken
    folder: bytes
    base: bytes


class Unpack(Step):
    """Open archives, and let on the files in them, each below a folder that is called as the archive is.

    What is an archive is seen by its bytes, never by its name: zip, tar, tar in gz, bz2, xz or zst, files compressed with
    these, 7z, rar, iso and cab. Documents that are zips inside (docx, xlsx, odt, epub, jar) are files like others. Archives
    in archives are opened too. An archive goes to quarantine whole when anything in it is refused: links, devices, names that
    lead elsewhere or collide, parts that contradict each other, a wrong checksum, or more than the limits allow. Nothing of
    it is let on before all of it has been read. An encrypted zip whose password is missing or wrong waits: nothing can be
    said of it. Encrypted 7z and rar cannot be opened, and are refused.
    """

    splits: ClassVar[bool] = True

    kind: Literal["unpack"] = "unpack"
    depth: int = Field(3, ge=1, le=20, description="How many archives may lie within each other; what lies deeper is refused.")
    ratio: float = Field(100, gt=0, description="How many times its size an archive may unpack to; counted from 10 MB on.")
    members: int = Field(10_000, ge=1, description="How many files and folders an archive may hold, with those in archives within it.")
    total: ByteSize = Field(10_000_000_000, description="How much an archive may unpack to, with the archives within it.")
    timeout: Duration = Field(60, description="How long it may take to open an archive, with those within it.")
    memory: ByteSize = Field(512_000_000, ge=64_000_000, description="How much memory it may take; at least 64MB.")
    password: Secret | None = Field(
        None, description="The password of encrypted zip files, of the old kind and AES. What it does not open waits."
    )
    container: Literal["drop", "keep"] = Field("drop", description='"keep": the archive itself goes on too, before its members.')
    unsafe: Literal["quarantine", "rename"] = Field(
        "quarantine",
        description='What becomes of members with unsafe, reserved or colliding names: "rename" gives them safe names of their own.',
    )
    others: Literal["keep", "refuse"] = Field("keep", description='"refuse": a file that is no archive goes to quarantine.')

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        """The members, once all of them have been read; or the file itself where it is no archive."""
        with file.open() as opened:
            kind = magic.kind(opened)
        if kind is None:
            if self.others == "refuse":
                raise Rejected(f"{file.name} is no archive")
            yield work.keep(file)
            return
        meter = Meter(file.size, self.ratio, self.members, self.total)
        bounds = Bounds(self.memory, self.timeout, time.monotonic() + self.timeout)
        password = self.password.reveal() if self.password else None
        with Reader(work.folder, bounds, password, work.go_on) as reader:
            run = _Run(work, meter, reader, Taken(rename=self.unsafe == "rename"), file.name.folder, file.name.base)
            found = list(self._opened(kind, file.path, b"", file.depth, run))
        if self.container == "keep":
            yield work.keep(file)
        yield from found

    def _opened(self, kind: str, path: Path, place: bytes, level: int, run: _Run) -> Iterator[Output]:
        """The files in the archive at `path`, which is called `place` below the outermost one's folder."""
        shown = Name(place).text if place else Name(run.base).text
        if level >= self.depth:
            raise Rejected(f"{shown} lies in {level} archives, the limit is {self.depth}")
        try:
            members = list(self._read(kind, path, place, run))
        except Rejected as error:
            raise Rejected(f"{shown} {error}") from error
        except Locked as error:
            raise Locked(f"{shown} {error}") from error
        if not members and self.container == "drop":
            raise Rejected(f"{shown} holds no files")
        for inner, output, inside in members:
            yield from self._member(inner, output, inside, level, run)

    def _member(self, inner: bytes, output: Output, kind: str | None, level: int, run: _Run) -> Iterator[Output]:
        """The member itself, or what is in it where it is an archive of a `kind`."""
        if kind is None or self.container == "keep":
            name = self._given(inner, run)
            yield output if name == inner else replace(output, name=self._full(name, run))
        if kind is not None:
            # What one compressed file held has taken its place, and its name is the folder's now.
            within = run if inner else replace(run, base=self._stem(run.base, single=True))
            yield from self._opened(kind, output.path or Path(), inner, level + 1, within)

    def _given(self, inner: bytes, run: _Run) -> bytes:
        try:
            return run.taken.file(inner) if inner else inner
        except Rejected as error:
            raise Rejected(f"{Name(run.base)} {error}") from error

    def _read(self, kind: str, path: Path, place: bytes, run: _Run) -> Iterator[tuple[bytes, Output, str | None]]:
        """Each member's name below the outermost archive's folder, its bytes, and what kind of archive they are."""
        told = run.reader.frames(kind, path, run.meter)
        taken = Taken(rename=self.unsafe == "rename")
        for what, payload in told:
            if what not in (FOLDER, MEMBER, ONLY):
                raise Rejected("makes what opens it talk nonsense")
            run.meter.entry()
            if what == FOLDER:
                taken.folder(bytes(payload))
                continue
            name, modified = named(bytes(payload))
            inner = self._inner(place, taken.file(name) if what == MEMBER else b"")
            first = b""
            with run.work.create(self._full(inner, run), modified=modified, member=True) as sink:
                for more, block in told:
                    if more == END:
                        break
                    if more != DATA:
                        raise Rejected("makes what opens it talk nonsense")
                    run.meter.data(len(block))
                    first = first or bytes(block[:_SMALL])
                    sink.write(block)
                else:
                    raise Rejected("makes what opens it talk nonsense")
            yield inner, sink.output, _kind(sink.output, first)

    def _inner(self, place: bytes, name: bytes) -> bytes:
        """Where a member of the archive `place` stands below the outermost one's folder; without a name it is the one file in it."""
        if not place:
            return name
        folder, slash, base = place.rpartition(b"/")
        stem = folder + slash + self._stem(base, single=not name)
        return stem + b"/" + name if name else stem

    def _full(self, inner: bytes, run: _Run) -> Name:
        stem = self._stem(run.base, single=not inner)
        stem = run.folder + b"/" + stem if run.folder else stem
        return Name(stem + b"/" + inner if inner else stem)

    def _stem(self, base: bytes, *, single: bool) -> bytes:
        """The archive's name without its suffixes; one that has none needs another where both go on."""
        stem = without_suffixes(base, single=single)
        return stem + b".d" if stem == base and self.container == "keep" else stem


def _kind(output: Output, first: bytes) -> str | None:
    """What kind of archive was written, which begins with these bytes; they are looked at where they lie only if there are more."""
    if len(first) == output.size:
        return magic.kind(BytesIO(first))
    with (output.path or Path()).open("rb") as opened:
        return magic.kind(opened)
