"""Files going out: written beside their place under a temporary name, checked, then renamed. Lives in the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import BinaryIO

from transload.errors import Busy, Changed, Missing, Transient, TransloadError
from transload.model import Parcel, Receipt, Staged, Verify, spell, unspell
from transload.remotes.base import Moved
from transload.remotes.sftp.packets import (
    CLOSE,
    EXTENDED,
    FSETSTAT,
    FSTAT,
    OPEN,
    REMOVE,
    SETSTAT,
    STATUS,
    TO_GO_ON,
    TO_WRITE,
    WRITE,
    Attrs,
    attrs,
    status,
    string,
    times,
)
from transload.remotes.sftp.paths import aside, beside, fits
from transload.remotes.sftp.places import Places
from transload.remotes.sftp.wire import Answer, Wire

SMALL = 128 * 1024
_OVERLAP = 65_536
_READ = 1024 * 1024
_AHEAD = 32
_BRISK = 1.0

Body = bytes | BinaryIO | TransloadError


def body_of(parcel: Parcel, moved: Moved) -> Body:
    """The bytes of a small parcel, the open file of a large one, or why there are none; in the session's own thread."""
    if not parcel.file and not parcel.size:
        return b""
    try:
        file = open(parcel.file, "rb")  # noqa: SIM115 - closed where it is read
        if parcel.size > SMALL:
            return file
        with file:
            moved(parcel.size)
            return file.read()
    except FileNotFoundError:
        return Missing(f"the bytes of {parcel.name} are no longer in the spool")
    except OSError as error:
        return Busy(f"the bytes of {parcel.name} cannot be read: {error.strerror}")


@cache
def _readers() -> ThreadPoolExecutor:
    """Threads of their own: one that a rate holds back must not hold back what else the loop hands out."""
    return ThreadPoolExecutor(64, thread_name_prefix="transload-sftp-read")


def _counted(body: BinaryIO, moved: Moved) -> bytes:
    data = body.read(_READ)
    if data:
        moved(len(data))
    return data


class Storing:
    """Staging and publishing over one wire."""

    def __init__(self, wire: Wire, places: Places, *, durable: bool) -> None:
        """Store over `wire`; `durable` asks the server to sync where it offers to."""
        self._wire, self._places = wire, places
        self._syncs = durable and b"fsync@openssh.com" in wire.extensions

    async def stage(self, parcel: Parcel, path: bytes, body: Body, moved: Moved) -> Staged:
        """Write `body` beside `path`; the outcome. Raises only when the connection is lost."""
        temporary = beside(path, parcel.key)
        try:
            if isinstance(body, TransloadError):
                raise body
            fits(path)
            await self._store(temporary, parcel, body, moved)
            verified = await self._verify(temporary, parcel)
        except TransloadError as error:
            if self._wire.lost is not None:
                raise
            return Staged(parcel, error=error)
        finally:
            if not isinstance(body, bytes | TransloadError):
                body.close()
        return Staged(parcel, spell(temporary), verified)

    async def resume(self, parcel: Parcel, path: bytes, body: BinaryIO, moved: Moved) -> Staged | None:
        """Stage the parcel after what a cut try has left; None where there is nothing to go on from. Raises when the connection is lost."""
        temporary = beside(path, parcel.key)
        try:
            left = await self._places.look(temporary)
            # The last bytes are sent once more: a server that died may have lost them.
            start = (left.size or 0) - _OVERLAP if left else 0
            if start <= 0 or start + _OVERLAP > parcel.size:
                return None
            await self._store(temporary, parcel, body, moved, start)
            return Staged(parcel, spell(temporary), await self._verify(temporary, parcel))
        except TransloadError:
            if self._wire.lost is not None:
                raise
            return None
        finally:
            body.close()

    async def publish(self, staged: Staged, path: bytes) -> Receipt:
        """Give what was staged its name `path`; the outcome. Raises only when the connection is lost."""
        if staged.error is not None:
            return Receipt(staged.parcel, error=staged.error)
        temporary = unspell(staged.token)
        try:
            if staged.parcel.replace:
                await self._places.replace(temporary, path, aside(path, staged.parcel.key))
            else:
                await self._places.place(temporary, path)
        except TransloadError as error:
            if self._wire.lost is not None:
                raise
            return Receipt(staged.parcel, error=error)
        return Receipt(staged.parcel, staged.verified)

    async def sweep(self, key: str, path: bytes) -> None:
        """Remove what a dead try left beside `path`; an old file that it had put aside comes back."""
        await self._places.remove_if_there(beside(path, key))
        if not self._places.replaces:
            await self._places.restore(aside(path, key), path)

    async def _store(self, temporary: bytes, parcel: Parcel, body: bytes | BinaryIO, moved: Moved, start: int = 0) -> None:
        handle = await self._wire.handle(OPEN, string(temporary) + TO_GO_ON, temporary) if start else await self._create(temporary)
        try:
            if isinstance(body, bytes):
                told, timed = await self._store_small(handle, temporary, parcel, body)
            else:
                told, timed = await self._store_large(handle, temporary, parcel, body, moved, start)
            size = told.size
            if size is None:
                size = (await self._places.look(temporary) or told).size
            if size is not None and size != parcel.size:
                raise Transient(f"{spell(temporary)}: the server holds {size} of {parcel.size} bytes")
        except TransloadError:
            if self._wire.lost is None:
                await self._wire.request(REMOVE, string(temporary))
            raise
        if not timed and parcel.modified is not None:
            await self._wire.request(SETSTAT, string(temporary) + times(parcel.modified))

    async def _create(self, temporary: bytes) -> bytes:
        body = string(temporary) + TO_WRITE
        try:
            return await self._wire.handle(OPEN, body, temporary)
        except (Missing, Transient):
            if self._wire.lost is not None:
                raise
            await self._places.make(temporary.rpartition(b"/")[0])
            return await self._wire.handle(OPEN, body, temporary)

    async def _store_small(self, handle: bytes, temporary: bytes, parcel: Parcel, body: bytes) -> tuple[Attrs, bool]:
        self._check(parcel, len(body))
        size = self._wire.write_max
        offsets = range(0, len(body), size)
        writes = [self._write(handle, offset, body[offset : offset + size]) for offset in offsets]
        if self._places.patient:
            await asyncio.gather(*writes)
        rest = self._ask_to_finish(handle, parcel)
        if self._places.patient:
            await asyncio.gather(*rest)
        closed = self._wire.request(CLOSE, handle)
        for answer in await asyncio.gather(*writes):
            self._wire.good(answer, temporary)
        finished = self._finished(await asyncio.gather(*rest), temporary)
        self._wire.good(await closed, temporary)
        return finished

    async def _store_large(
        self, handle: bytes, temporary: bytes, parcel: Parcel, body: BinaryIO, moved: Moved, start: int
    ) -> tuple[Attrs, bool]:
        try:
            body.seek(start)
            self._check(parcel, await self._write_all(handle, temporary, partial(_counted, body, moved), start))
            finished = self._finished(await asyncio.gather(*self._ask_to_finish(handle, parcel)), temporary)
        except BaseException:
            self._wire.close_handle(handle)
            raise
        await self._wire.ask(CLOSE, handle, temporary)
        return finished

    async def _write_all(self, handle: bytes, temporary: bytes, read: Callable[[], bytes], start: int = 0) -> int:
        """Write all that `read` gives, from `start` on; where that ended."""
        # Small blocks until the line shows that it is fast: on a slow one every block must be answered before we lose patience.
        size, offset, time = 32 * 1024, start, self._wire.loop.time
        under_way: list[tuple[float, asyncio.Future[Answer]]] = []
        while data := await self._wire.loop.run_in_executor(_readers(), read):
            at = 0
            while at < len(data):
                if len(under_way) >= _AHEAD:
                    began, answer = under_way.pop(0)
                    self._wire.good(await answer, temporary)
                    if time() - began < _BRISK:
                        size = min(size * 2, self._wire.write_max)
                under_way.append((time(), self._write(handle, offset + at, data[at : at + size])))
                at += size
            offset += len(data)
        for _, answer in under_way:
            self._wire.good(await answer, temporary)
        return offset

    def _write(self, handle: bytes, offset: int, data: bytes) -> asyncio.Future[Answer]:
        return self._wire.request(WRITE, handle + offset.to_bytes(8, "big") + string(data))

    def _check(self, parcel: Parcel, size: int) -> None:
        if size != parcel.size:
            raise Changed(f"the spooled bytes of {parcel.name} are {size}, not {parcel.size}")

    def _ask_to_finish(self, handle: bytes, parcel: Parcel) -> list[asyncio.Future[Answer]]:
        asked = [self._wire.request(FSTAT, handle)]
        if parcel.modified is not None:
            asked.append(self._wire.request(FSETSTAT, handle + times(parcel.modified)))
        if self._syncs:
            asked.append(self._wire.request(EXTENDED, string(b"fsync@openssh.com") + handle))
        return asked

    def _finished(self, answers: list[Answer], temporary: bytes) -> tuple[Attrs, bool]:
        """The size that the server has, and whether it took the time."""
        looked, *others = answers
        if self._syncs:
            self._wire.good(others.pop(), temporary)
        timed = all(answer.kind == STATUS and status(answer.data, answer.at, answer.stop)[0] == 0 for answer in others)
        if looked.kind == STATUS:
            return Attrs(), timed
        return attrs(looked.data, looked.at, looked.stop)[0], timed

    async def _verify(self, temporary: bytes, parcel: Parcel) -> Verify:
        if parcel.verify not in (Verify.HASH, Verify.READ_BACK):
            return Verify.SIZE
        if await self._places.hash(temporary) != parcel.sha256:
            await self._wire.request(REMOVE, string(temporary))
            raise Transient(f"{spell(temporary)}: read back, the bytes are not those that were written")
        return Verify.READ_BACK
