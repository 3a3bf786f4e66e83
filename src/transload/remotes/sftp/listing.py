"""What lies in a folder and below it: several folders, and several requests of each, in flight."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from transload import aio
from transload.errors import Missing, Refused, Rejected, TransloadError
from transload.model import Entry, Name, spell
from transload.remotes.sftp.packets import ATTRS, EOF, NAME, OPENDIR, READDIR, STAT, STATUS, Attrs, attrs, status, string, text
from transload.remotes.sftp.paths import join
from transload.remotes.sftp.wire import Answer, Wire

MAX_ENTRIES = 10_000_000
MAX_DEPTH = 64
_AHEAD = 32
_FOLDERS = 16
_UNREAD = 50_000


def entry_of(folder: str, name: Name, told: Attrs) -> Entry:
    """A file as the server tells of it."""
    return Entry(folder, name, told.size, None if told.modified is None else told.modified * 1_000_000, settles=True)


class Listing:
    """One walk; `entries` is for the session's own thread, the rest lives in the loop."""

    def __init__(self, wire: Wire, refused: list[str], *, patient: bool) -> None:
        """A walk over `wire`; names that are refused go to `refused`. A patient one asks a folder for one piece at a time."""
        self._wire = wire
        self._refused = refused
        self._ahead = 1 if patient else _AHEAD
        self._border = aio.Border[list[Entry] | BaseException | None]()
        self._todo: deque[tuple[bytes, bytes, int]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._made = self._read = 0
        self._room = asyncio.Event()
        self._over = False

    def entries(self, folder: str, path: bytes, *, recursive: bool) -> Iterator[Entry]:
        """Every file in `folder`, which lies at `path`; raises unless the listing is whole."""
        self._folder, self._recursive = folder, recursive
        self._todo.append((path, b"", 0))
        self._wire.loop.call_soon_threadsafe(self._pump)
        try:
            while True:
                for piece in self._border.get():
                    if piece is None:
                        return
                    if isinstance(piece, BaseException):
                        raise piece
                    yield from piece
                    self._read += len(piece)
                    if not self._room.is_set():
                        self._wire.loop.call_soon_threadsafe(self._room.set)
        finally:
            aio.run(self._end())

    async def _end(self) -> None:
        self._over = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _pump(self) -> None:
        while self._todo and len(self._tasks) < _FOLDERS:
            task = self._wire.loop.create_task(self._walk(*self._todo.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._walked)

    def _walked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if self._over:
            return
        if error is not None:
            self._over = True
            self._border.put(error)
            return
        self._pump()
        if not self._tasks:
            self._border.put(None)

    async def _walk(self, path: bytes, prefix: bytes, depth: int) -> None:
        try:
            handle = await self._wire.handle(OPENDIR, string(path or b"."), path)
            try:
                await self._read_all(handle, path, prefix, depth)
            finally:
                self._wire.close_handle(handle)
        except TransloadError:
            # Some servers open a file as if it were a folder, and only then cannot read it.
            if depth or self._made or self._wire.lost is not None or not await self._alone(path):
                raise

    async def _alone(self, path: bytes) -> bool:
        """Whether `path` is a file itself, which is then all that is listed."""
        try:
            told = await self._wire.attrs(STAT, string(path or b"."), path)
        except Missing:
            return False
        if not told.is_file:
            return False
        folder, slash, base = self._folder.rstrip("/").rpartition("/")
        name = path.rpartition(b"/")[2] if base else path
        self._border.put([entry_of(folder or slash, Name(name), told)])
        return True

    async def _read_all(self, handle: bytes, path: bytes, prefix: bytes, depth: int) -> None:
        pending, over, ahead = deque[asyncio.Future[Answer]](), False, min(2, self._ahead)
        while pending or not over:
            while not over and len(pending) < ahead:
                pending.append(self._wire.request(READDIR, handle))
            answer = await pending.popleft()
            if answer.kind == NAME:
                await self._take(answer, path, prefix, depth)
                ahead = self._ahead
            elif answer.kind == STATUS and status(answer.data, answer.at, answer.stop)[0] == EOF:
                over = True
            else:
                self._wire.good(answer, path)
                raise self._wire.garbled()

    async def _take(self, answer: Answer, path: bytes, prefix: bytes, depth: int) -> None:
        entries: list[Entry] = []
        unclear: list[tuple[bytes, Name]] = []
        data, stop = answer.data, answer.stop
        at = answer.at + 4
        while at < stop:
            base, at = text(data, at, stop)
            at += 4 + int.from_bytes(data[at : at + 4], "big")  # the line as `ls -l` has it
            told, at = attrs(data, at, stop)
            if told.is_folder:
                self._folder_found(path, prefix, base, depth)
            elif told.is_file or told.is_link:
                name = self._named(prefix, base)
                if name is None:
                    continue
                if told.size is None or told.is_link:
                    unclear.append((join(path, base), name))
                else:
                    entries.append(entry_of(self._folder, name, told))
        if unclear:
            entries += await self._cleared(unclear)
        await self._hand_over(entries)

    def _named(self, prefix: bytes, base: bytes) -> Name | None:
        """The name of `base` below the folder that is listed; None, with the reason kept, when it is refused."""
        try:
            if b"/" not in base:
                return Name(prefix + base)
            self._refused.append(f"{spell(base[:200])!r} is not a safe name: the server puts a path where a name belongs")
        except Rejected as error:
            self._refused.append(str(error))
        return None

    def _folder_found(self, path: bytes, prefix: bytes, base: bytes, depth: int) -> None:
        if not self._recursive or base in (b".", b".."):
            return
        name = self._named(prefix, base)
        if name is None:
            return
        if depth >= MAX_DEPTH:
            raise Refused(f"{spell(path)}: folders more than {MAX_DEPTH} deep are refused")
        self._todo.append((join(path, base), name.raw + b"/", depth + 1))
        self._pump()

    async def _cleared(self, unclear: list[tuple[bytes, Name]]) -> list[Entry]:
        """Links, and what the listing tells too little of, looked at one by one: those that are files."""
        answers = await asyncio.gather(*(self._wire.request(STAT, string(path)) for path, _ in unclear))
        entries = []
        for (path, name), answer in zip(unclear, answers, strict=True):
            try:
                self._wire.good(answer, path)
            except TransloadError as error:
                if self._wire.lost is not None:
                    raise
                if not isinstance(error, Missing):
                    self._refused.append(str(error))
                continue
            if answer.kind != ATTRS:
                raise self._wire.garbled()
            told, _ = attrs(answer.data, answer.at, answer.stop)
            if told.is_file:
                entries.append(entry_of(self._folder, name, told))
        return entries

    async def _hand_over(self, entries: list[Entry]) -> None:
        self._made += len(entries)
        if self._made > MAX_ENTRIES:
            raise Refused(f"{self._wire.where}: a listing of more than {MAX_ENTRIES:,} files is refused")
        if entries:
            self._border.put(entries)
        while self._made - self._read > _UNREAD:
            self._room.clear()
            if self._made - self._read > _UNREAD:
                await self._room.wait()
