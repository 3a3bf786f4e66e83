"""The step `compress`: the file goes on as a .gz, .zip or .zst."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Annotated, BinaryIO, ClassVar, Literal, Protocol, cast

from pydantic import Field, model_validator

from transload.errors import ConfigError
from transload.model import Name, spell, to_datetime
from transload.steps.base import FileView, Output, Scratch, Sink, Step

_BLOCK = 1024 * 1024
_GZIP = 31
_FIRST = (1980, 1, 1, 0, 0, 0)
_LAST = (2107, 12, 31, 23, 59, 58)


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Compress(Step):
    """Compress the file; its name gets the suffix. The same bytes are always compressed to the same bytes."""

    splits: ClassVar[bool] = True

    kind: Literal["compress"] = "compress"
    as_: Literal["gz", "zip", "zst"] = Field("gz", alias="as", description="What it becomes; zst wants the package backports.zstd.")
    level: Annotated[int, Field(ge=1, le=19)] | None = Field(
        None, description="How hard to try: 1 to 9, for zst to 19; 6 (for zst 3) where nothing is said."
    )

    @model_validator(mode="after")
    def _possible(self) -> Compress:
        if self.as_ != "zst" and (self.level or 0) > 9:
            message = f"level goes to 9 for {self.as_}"
            raise ValueError(message)
        return self

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        """The compressed file, with the time of the other; ConfigError where the package for it is missing."""
        packer = self._packer(file.size)
        name = Name(file.name.raw + b"." + self.as_.encode())
        with work.create(name, modified=file.modified) as sink, file.open() as opened:
            if packer is None:
                _zip(file, opened, sink, self.level or 6, work.go_on)
            else:
                for block in _blocks(opened, work.go_on):
                    sink.write(packer.compress(block))
                sink.write(packer.flush())
        yield sink.output

    def _packer(self, size: int) -> _Packer | None:
        if self.as_ == "zip":
            return None
        if self.as_ == "gz":
            # Without the time and the name that `gzip` puts in.
            return zlib.compressobj(self.level or 6, zlib.DEFLATED, _GZIP)
        try:
            from backports import zstd
        except ImportError as error:
            raise ConfigError('compress as "zst" wants the package backports.zstd: pip install backports.zstd') from error
        wanted = zstd.CompressionParameter
        packer = zstd.ZstdCompressor(options={wanted.compression_level: self.level or 3, wanted.checksum_flag: 1})
        packer.set_pledged_input_size(size)
        return packer


def _blocks(file: BinaryIO, go_on: Callable[[], None]) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block
        go_on()


class _Written:
    """A sink as zipfile wants it: a stream that cannot go back."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        self._sink.write(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def _zip(file: FileView, opened: BinaryIO, sink: Sink, level: int, go_on: Callable[[], None]) -> None:
    """An archive of this one file, without its folders."""
    member = zipfile.ZipInfo(spell(file.name.base, "\\"), _dated(file.modified))
    member.compress_type, member.file_size, member.external_attr = zipfile.ZIP_DEFLATED, file.size, 0o100644 << 16
    member._compresslevel = level  # type: ignore[attr-defined] # noqa: SLF001 - public as of Python 3.13
    with zipfile.ZipFile(cast("BinaryIO", _Written(sink)), "w") as archive, archive.open(member, "w") as target:
        for block in _blocks(opened, go_on):
            target.write(block)


def _dated(modified: int | None) -> tuple[int, int, int, int, int, int]:
    """The time as a zip can hold it: 1980 to 2107."""
    try:
        moment = to_datetime(modified) if modified is not None else None
    except OverflowError:
        moment = None
    return _FIRST if moment is None else max(_FIRST, min(_LAST, moment.timetuple()[:6]))
