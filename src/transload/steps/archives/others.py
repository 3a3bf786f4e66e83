"""7z, rar, iso and cab, by libarchive."""

from __future__ import annotations

import ctypes
import os
import struct
import zlib
from collections.abc import Iterator
from importlib import import_module
from typing import Any, BinaryIO, NoReturn

from transload.errors import ConfigError, Rejected
from transload.steps.archives.limits import Meter
from transload.steps.archives.rars import checksums
from transload.steps.archives.wire import BLOCK, Telling

_FORMATS = {"7z": "7zip", "rar": "rar", "rar5": "rar5", "iso": "iso9660", "cab": "cab"}
_LOCKED = ("encrypt", "crypto", "password", "passphrase")


def load() -> Any:
    """The library; ConfigError says what is missing."""
    # Otherwise the library is looked for with a compiler, and that is a program of its own.
    os.environ.setdefault("LIBARCHIVE", "libarchive.so.13")
    try:
        return import_module("libarchive")
    except (ImportError, OSError, AttributeError, TypeError) as error:
        raise ConfigError("7z, rar, iso and cab are opened with libarchive: pip install libarchive-c, apt install libarchive13") from error


def unpack(kind: str, file: BinaryIO, meter: Meter, told: Telling) -> None:
    """Tell the members; what libarchive finds fault with is refused."""
    libarchive = load()
    if kind == "7z":
        _check_end(file)
    sums = iter(list(checksums(kind, file)) if kind in ("rar", "rar5") else [])
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    try:
        with libarchive.fd_reader(file.fileno(), format_name=_FORMATS[kind], filter_name="none", block_size=BLOCK) as archive:
            for entry in _entries(libarchive, archive):
                _entry(libarchive.ffi, entry, meter, sums, told)
    except libarchive.ArchiveError as error:
        said = str(error.msg or error)
        if any(word in said.lower() for word in _LOCKED):
            raise Rejected("is encrypted: only zip files are opened with a password") from error
        if "allocate" in said.lower():
            raise MemoryError from error
        raise Rejected(f"cannot be read: {said}") from error


def _check_end(file: BinaryIO) -> None:
    """A 7z says at its beginning where its end is."""
    file.seek(12)
    begins, length = struct.unpack("<2Q", file.read(16).ljust(16, b"\0"))
    if 32 + begins + length != file.seek(0, os.SEEK_END):
        raise Rejected("is cut off, or has something else after its end")


def _entry(ffi: Any, entry: Any, meter: Meter, sums: Iterator[int | None], told: Telling) -> None:
    raw = ffi.entry_pathname(entry._entry_p)  # noqa: SLF001 - the bytes, where `pathname` is a guess at text
    name = raw if raw is not None else (entry.pathname or "").encode("utf-8", "surrogateescape")
    text = name[:200].decode("utf-8", "surrogateescape")
    if entry.issym or entry.islnk:
        raise Rejected(f"holds a {'symbolic' if entry.issym else 'hard'} link: {text}")
    if entry.isdir:
        return told.folder(name)
    if not entry.isreg:
        raise Rejected(f"holds a device or something of an unknown kind: {text}")
    size, count, crc, right = entry.size, 0, 0, next(sums, None)
    meter.promised(size or 0)
    told.member(name, entry.mtime)
    for block in _blocks(ffi, entry):
        count += len(block)
        crc = zlib.crc32(block, crc)
        if size is not None and count > size:
            raise Rejected(f"holds a file that is longer than it says: {text}")
        told.data(block)
    if size is not None and count != size:
        raise Rejected(f"holds a file that is shorter than it says: {text}")
    if right not in (None, crc):
        raise Rejected(f"holds a file with a wrong checksum: {text}")
    return told.end()


def _entries(libarchive: Any, archive: Any) -> Iterator[Any]:
    """The members' headers. libarchive-c goes on when one is doubtful: of an archive that is split, or with a name that is none."""
    ffi, pointer = libarchive.ffi, archive._pointer  # noqa: SLF001 - it keeps what libarchive answers to itself
    while True:
        entry = libarchive.ArchiveEntry(pointer)
        answer = ffi.read_next_header2(pointer, entry._entry_p)  # noqa: SLF001 - see above
        if answer == ffi.ARCHIVE_EOF:
            return
        if answer < 0:
            _refuse(ffi, pointer)
        yield entry


def _refuse(ffi: Any, pointer: Any) -> NoReturn:
    said = ffi.error_string(pointer) or b"damaged data"
    raise Rejected(f"cannot be read: {said.decode('utf-8', 'replace')}")


def _blocks(ffi: Any, entry: Any) -> Iterator[bytes]:
    """The member's bytes. `get_blocks` of libarchive-c 5.3 takes the code of a warning, such as a wrong checksum's, for a length."""
    buffer = ctypes.create_string_buffer(BLOCK)
    archive = entry._archive_p  # noqa: SLF001 - see above
    while count := ffi.read_data(archive, buffer, BLOCK):
        if count < 0:
            _refuse(ffi, archive)
        yield ctypes.string_at(buffer, count)
