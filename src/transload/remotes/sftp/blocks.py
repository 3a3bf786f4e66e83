"""An open file read in order, with many blocks in flight."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from transload.remotes.sftp.packets import DATA, EOF, READ, STATUS, WHERE, status
from transload.remotes.sftp.wire import Answer, Wire

AHEAD = 32


class Budget(Protocol):
    """How many bytes may be on their way."""

    def pledge(self, count: int) -> None:
        """So many bytes are being asked for; a negative count takes some of it back."""

    def has_room(self) -> bool:
        """Whether more bytes may be asked for."""

    async def room(self) -> None:
        """Wait until more bytes may be asked for."""


class Unlimited:
    """A budget for who uses the bytes at once."""

    def pledge(self, count: int) -> None: ...

    def has_room(self) -> bool:
        return True

    async def room(self) -> None: ...


class _Block(NamedTuple):
    offset: int
    length: int
    answer: asyncio.Future[Answer]


class Blocks:
    """What an open file holds from `start` on. Of a file whose size is known, one byte more is asked for: there must be none."""

    def __init__(self, wire: Wire, handle: bytes, path: bytes, start: int = 0, size: int | None = None) -> None:
        """Blocks of what is open as `handle`."""
        self._wire, self._handle, self._path = wire, handle, path
        self._size, self._reach = size, start
        self._blocks: deque[_Block] = deque()
        self.end = start

    async def read(self, budget: Budget) -> AsyncIterator[memoryview]:
        """Every block, in order; what is yielded stays pledged to the budget. `end` tells how far it went."""
        try:
            while True:
                self._ask_ahead(budget)
                if not self._blocks:
                    return
                block = self._blocks.popleft()
                budget.pledge(-block.length)
                got = self._got(await block.answer, block.length)
                if not got:
                    return
                if len(got) < block.length:
                    self._blocks.appendleft(self._ask(budget, block.offset + len(got), block.length - len(got)))
                self.end = block.offset + len(got)
                budget.pledge(len(got))
                yield got
                if not self._blocks:
                    await budget.room()
        finally:
            budget.pledge(-sum(block.length for block in self._blocks))

    def _ask_ahead(self, budget: Budget) -> None:
        size = self._size
        while len(self._blocks) < AHEAD and (size is None or self._reach <= size) and (not self._blocks or budget.has_room()):
            length = self._wire.read_max if size is None else min(self._wire.read_max, max(size - self._reach, 1))
            self._blocks.append(self._ask(budget, self._reach, length))
            self._reach += length

    def _ask(self, budget: Budget, offset: int, length: int) -> _Block:
        budget.pledge(length)
        return _Block(offset, length, self._wire.request(READ, self._handle + WHERE.pack(offset, length)))

    def _got(self, answer: Answer, length: int) -> memoryview:
        """The bytes of one answer; none at the end of the file."""
        if answer.kind == DATA:
            start = answer.at + 4
            count = int.from_bytes(answer.data[answer.at : start], "big")
            if start + count > answer.stop or count > length:
                raise self._wire.garbled()
            return memoryview(answer.data)[start : start + count]
        if answer.kind == STATUS and status(answer.data, answer.at, answer.stop)[0] == EOF:
            return memoryview(b"")
        self._wire.good(answer, self._path)
        raise self._wire.garbled()
