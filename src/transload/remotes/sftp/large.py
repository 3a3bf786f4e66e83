"""One file step by step: looked at, resumed where it was cut, read with many blocks in flight, looked at again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from transload.errors import Changed, Refused, TransloadError, Unreachable
from transload.model import Entry, Fetched
from transload.remotes.sftp.blocks import Blocks
from transload.remotes.sftp.packets import DATA, FSTAT, OPEN, READ, STAT, TO_READ, WHERE, Attrs, string, text

if TYPE_CHECKING:
    from transload.protocols import Part, Spool
    from transload.remotes.sftp.fetching import Fetching

SEAM = 64 * 1024


def differs(entry: Entry, told: Attrs) -> str:
    """How the file is another one than the listing told, or nothing."""
    if entry.size is not None and told.size is not None and told.size != entry.size:
        return f"{entry.text} changed while it was fetched: it had {entry.size} bytes and has {told.size}"
    if entry.modified is not None and told.modified is not None and told.modified != entry.modified // 1_000_000:
        return f"{entry.text} changed while it was fetched: it was written again"
    return ""


class Large:
    """One file; `fetch` lives in the loop and hands what is to be written to the thread."""

    def __init__(self, fetching: Fetching, entry: Entry) -> None:
        """Prepare to fetch `entry`."""
        self._fetching, self._wire, self._entry = fetching, fetching.wire, entry
        self._path = fetching.path(entry)

    async def fetch(self) -> None:
        """Fetch the file; its outcome goes to the thread. Raises only when the connection is lost."""
        try:
            handle = await self._wire.handle(OPEN, string(self._path) + TO_READ, self._path)
            try:
                await self._fetch(handle)
            finally:
                self._wire.close_handle(handle)
        except TransloadError as error:
            if self._wire.lost is not None:
                raise
            outcome = Fetched(self._entry, error=error)
            self._fetching.put(lambda _: outcome)

    async def _fetch(self, handle: bytes) -> None:
        if fault := differs(self._entry, await self._look(handle)):
            raise Changed(fault)
        part = await self._fetching.in_thread(self._open)
        try:
            end = await self._read(handle, part, await self._begin(handle, part))
            told = await self._look(handle)
            if fault := differs(self._entry, told) or await self._replaced():
                raise Changed(fault)
            self._check(end, told)
        except TransloadError as error:
            if self._wire.lost is not None:
                raise  # and the part is kept
            self._fetching.put(partial(self._drop, part, error))
        else:
            self._fetching.put(partial(self._done, part, told))

    async def _look(self, handle: bytes) -> Attrs:
        try:
            return await self._wire.attrs(FSTAT, handle, self._path)
        except Refused:
            return await self._wire.attrs(STAT, string(self._path), self._path)

    async def _replaced(self) -> str:
        """How what has the name now is another file than the one that was read; one that is gone was read whole."""
        try:
            return differs(self._entry, await self._wire.attrs(STAT, string(self._path), self._path))
        except TransloadError:
            if self._wire.lost is not None:
                raise
            return ""

    async def _begin(self, handle: bytes, part: Part) -> int:
        """Where to go on: after what an earlier, cut fetch left, if the server still has the same bytes at the seam."""
        offset = part.offset
        if not offset:
            return 0
        seam = await self._fetching.in_thread(lambda _: part.tail(min(offset, SEAM, self._wire.read_max)))
        answer = await self._wire.request(READ, handle + WHERE.pack(offset - len(seam), len(seam)))
        if answer.kind == DATA and text(answer.data, answer.at, answer.stop)[0] == seam:
            return offset
        await self._fetching.in_thread(lambda _: part.restart())
        return 0

    async def _read(self, handle: bytes, part: Part, start: int) -> int:
        blocks = Blocks(self._wire, handle, self._path, start, self._entry.size)
        async for block in blocks.read(self._fetching):
            self._fetching.put(partial(self._write, part, block))
        return blocks.end

    def _check(self, end: int, told: Attrs) -> None:
        size = told.size if self._entry.size is None else self._entry.size
        if size is None or end == size:
            return
        if end > size:
            raise Unreachable(f"{self._entry.text} has more bytes than the {size} that the server tells")
        raise Unreachable(f"{self._entry.text} ended after {end} of {size} bytes")

    # --- in the thread

    def _open(self, spool: Spool) -> Part:
        part = spool.part(self._entry)
        self._fetching.parts.add(part)
        return part

    def _write(self, part: Part, data: memoryview, _: Spool) -> None:
        self._fetching.took(len(data))
        part.write(data)

    def _drop(self, part: Part, error: TransloadError, _: Spool) -> Fetched:
        self._fetching.parts.discard(part)
        part.drop()
        return Fetched(self._entry, error=error)

    def _done(self, part: Part, told: Attrs, _: Spool) -> Fetched:
        entry = self._entry
        if entry.size is None or entry.modified is None:
            modified = None if told.modified is None else told.modified * 1_000_000
            size = told.size if entry.size is None else entry.size
            entry = replace(entry, size=size, modified=modified if entry.modified is None else entry.modified)
        spooled = part.done()
        self._fetching.parts.discard(part)
        return Fetched(entry, spooled)
