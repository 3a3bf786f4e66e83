"""Parcels as an object store wants them: metadata, parts, and how many bytes may be in memory at once."""

from __future__ import annotations

import mimetypes
from contextlib import contextmanager
from hashlib import md5, sha256
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING
from urllib.parse import quote

from transload.errors import Changed
from transload.model import to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from obstore import Attributes

    from transload.model import Parcel
    from transload.remotes.base import Moved

PART = 8 * 2**20
MOST_PARTS = 9_900
MOST_METADATA = 1_500
RESERVED = ("cache", "content", "storage")


def attributes(parcel: Parcel) -> Attributes:
    """What goes with the object: type, hash, time, whole name, and which delivery it is.

    Keys are letters and digits (Azure takes no hyphen, some proxies no underscore), values ASCII with %XX for the rest
    (spaces would be signed differently here and there), and together they stay below the 2 kB that S3 allows.
    """
    told = {"sha256": parcel.sha256, "delivery": parcel.key}
    if parcel.modified is not None:
        told["modified"] = to_datetime(parcel.modified).isoformat()
    for key, value in {**parcel.metadata, "name": parcel.metadata.get("name", parcel.name.raw)}.items():
        plain, safe = _plain(key), quote(value, safe="/:@&=+$!()~*")
        if plain not in told and sum(map(len, told.values())) + len(safe) < MOST_METADATA:
            told[plain] = safe
    kind, encoding = mimetypes.guess_type(parcel.name.text)
    return {**told, "Content-Type": kind if kind and not encoding else "application/octet-stream"}


def _plain(key: str) -> str:
    """`key` as a name that every store takes, and that none takes for a header of its own."""
    plain = "".join(char for char in key.lower() if char.isascii() and char.isalnum())
    return plain if plain[:1].isalpha() and not plain.startswith(RESERVED) else f"x{plain}"


def whole(parcel: Parcel) -> None:
    """Changed if the bytes to send are not all here."""
    try:
        size = Path(parcel.file).stat().st_size if parcel.file else 0
    except OSError as error:
        message = f"{parcel.file}: {error.strerror}"
        raise Changed(message) from error
    if size != parcel.size:
        message = f"{parcel.file}: it has {size} bytes, {parcel.size} are expected"
        raise Changed(message)


def part_size(size: int) -> int:
    """8 MiB, or what keeps the number of parts below 10,000, in whole MiB."""
    least = -(-size // MOST_PARTS)
    return max(PART, -(-least // 2**20) * 2**20)


def _opened(path: str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise Changed(f"{path}: {error.strerror}") from error


def _block(file: BinaryIO, size: int) -> bytes:
    """What stands next; a disk that fails is no line that broke."""
    try:
        return file.read(size)
    except OSError as error:
        raise Changed(f"{file.name}: {error.strerror}") from error


class Blocks:
    """A file in parts of one size; `moved` hears of each before it is sent."""

    def __init__(self, file: str, part: int, moved: Moved) -> None:
        self._file, self._part, self._moved = file, part, moved

    def __iter__(self) -> Iterator[bytes]:
        with _opened(self._file) as file:
            while block := _block(file, self._part):
                self._moved(len(block))
                yield block


class Pieces:
    """A file in parts of one size, hashed while they are read: its SHA-256, and the etag that S3 makes of the parts."""

    def __init__(self, parcel: Parcel, part: int, moved: Moved) -> None:
        self._blocks = Blocks(parcel.file, part, moved)
        self._whole = sha256()
        self._parts: list[bytes] = []

    def __iter__(self) -> Iterator[bytes]:
        self._whole, self._parts = sha256(), []
        for block in self._blocks:
            self._whole.update(block)
            self._parts.append(md5(block, usedforsecurity=False).digest())
            yield block

    def last(self) -> str:
        """The MD5 of the part that was read last."""
        return self._parts[-1].hex()

    def digests(self) -> list[str]:
        """The MD5s of all parts."""
        return [part.hex() for part in self._parts]

    def sha256(self) -> str:
        """Of all that was read."""
        return self._whole.hexdigest()

    def etag(self) -> str:
        """The MD5 of the parts' MD5s, and their number."""
        return f"{md5(b''.join(self._parts), usedforsecurity=False).hexdigest()}-{len(self._parts)}"


class Room:
    """So many bytes in memory at once, and no more; what is larger than all of it goes alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._changed = Condition()

    @contextmanager
    def of(self, wanted: int) -> Iterator[None]:
        """Wait for room for `wanted` bytes, and give it back afterwards."""
        taken = min(wanted, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= taken)
            self._free -= taken
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()
