"""Names on the server: folders made, files looked at, read back, renamed without harm to what is there. Lives in the loop."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from transload.errors import Conflict, Missing, TransloadError
from transload.model import spell
from transload.remotes.sftp.blocks import Blocks, Unlimited
from transload.remotes.sftp.packets import EXTENDED, LSTAT, MKDIR, OK, OPEN, REMOVE, RENAME, STAT, STATUS, TO_READ, Attrs, status, string
from transload.remotes.sftp.wire import Answer, Wire

_HARDLINK, _POSIX_RENAME = b"hardlink@openssh.com", b"posix-rename@openssh.com"


class Places:
    """What lies where, over one wire."""

    def __init__(self, wire: Wire, *, patient: bool) -> None:
        """Places over `wire`; `patient` where the server may not do one thing after the other (it is not OpenSSH's)."""
        self._wire = wire
        self.patient = patient
        self._made: set[bytes] = set()

    async def look(self, path: bytes, kind: int = STAT) -> Attrs | None:
        """What is there, or None."""
        try:
            return await self._wire.attrs(kind, string(path), path)
        except Missing:
            return None

    @property
    def replaces(self) -> bool:
        """Whether the server can replace a file in one step."""
        return _POSIX_RENAME in self._wire.extensions

    async def remove(self, path: bytes) -> None:
        """Remove the file; raises Missing."""
        try:
            await self._wire.ask(REMOVE, string(path), path)
        except TransloadError as error:
            # Some servers have one code for everything.
            if self._wire.lost is None and await self.look(path, LSTAT) is None:
                raise Missing(f"{spell(path)} is not there") from error
            raise

    async def remove_if_there(self, path: bytes) -> None:
        """Remove the file if there is one."""
        with suppress(Missing):
            await self.remove(path)

    async def move(self, source: bytes, target: bytes) -> None:
        """Rename into a folder that is made if need be, never over another file: raises Conflict, or Missing."""
        if await self.look(source, LSTAT) is None:
            raise Missing(f"{spell(source)} is not there")
        await self.make(target.rpartition(b"/")[0])
        await self.place(source, target)

    async def make(self, folder: bytes) -> None:
        """Make `folder` and those above it, as far as they are not there; raises Conflict when a file is in the way."""
        if folder in self._made or folder.strip(b"/.") == b"":
            return
        answer = await self._wire.request(MKDIR, string(folder) + b"\0\0\0\0")
        if not _is_ok(answer):
            there = await self.look(folder)
            if there is None:
                await self.make(folder.rpartition(b"/")[0])
                answer = await self._wire.request(MKDIR, string(folder) + b"\0\0\0\0")
                there = None if _is_ok(answer) else await self.look(folder)
            if there is None:
                self._wire.good(answer, folder)
            elif not there.is_folder:
                raise Conflict(f"{spell(folder)} is a file where a folder is wanted")
        self._made.add(folder)

    async def hash(self, path: bytes) -> str:
        """The SHA-256 of the file, read back."""
        handle = await self._wire.handle(OPEN, string(path) + TO_READ, path)
        try:
            digest = hashlib.sha256()
            async for block in Blocks(self._wire, handle, path).read(Unlimited()):
                digest.update(block)
            return digest.hexdigest()
        finally:
            self._wire.close_handle(handle)

    async def place(self, source: bytes, target: bytes) -> None:
        """Rename, never over another file: raises Conflict, or Missing."""
        if self.patient and await self._linked(source, target):
            return
        if self.patient and await self.look(target, LSTAT):
            await self._conflict(source, target)
            return
        # OpenSSH's own plain rename fails when the name is taken, in one step.
        answer = await self._wire.request(RENAME, string(source) + string(target))
        if not _is_ok(answer):
            if await self.look(source, LSTAT) is None:
                raise Missing(f"{spell(source)} is not there")
            if await self.look(target, LSTAT):
                await self._conflict(source, target)
                return
            self._wire.good(answer, target)

    async def replace(self, source: bytes, target: bytes, aside: bytes) -> None:
        """Rename over whatever file is there, in one step where the server can; raises Conflict for a folder, or Missing."""
        can = self.replaces
        both = string(source) + string(target)
        answer = await (self._wire.request(EXTENDED, string(_POSIX_RENAME) + both) if can else self._wire.request(RENAME, both))
        if _is_ok(answer):
            return
        if await self.look(source, LSTAT) is None:
            raise Missing(f"{spell(source)} is not there")
        there = await self.look(target, LSTAT)
        if there is not None and there.is_folder:
            raise Conflict(f"{spell(target)} is a folder")
        if there is None or can:
            self._wire.good(answer, target)
            raise self._wire.garbled()
        await self._wire.ask(RENAME, string(target) + string(aside), target)
        try:
            await self._wire.ask(RENAME, both, target)
        except TransloadError:
            await self.restore(aside, target)
            raise
        await self._wire.request(REMOVE, string(aside))

    async def restore(self, aside: bytes, target: bytes) -> None:
        """Put back what waited `aside`, unless its place has been taken, which is what it waited for."""
        if await self.look(target, LSTAT) is None:
            await self._wire.request(RENAME, string(aside) + string(target))
        else:
            await self._wire.request(REMOVE, string(aside))

    async def _linked(self, source: bytes, target: bytes) -> bool:
        """Whether a second name could be made (which fails when it is taken), and the first removed."""
        if _HARDLINK not in self._wire.extensions:
            return False
        if not _is_ok(await self._wire.request(EXTENDED, string(_HARDLINK) + string(source) + string(target))):
            return False
        await self._wire.request(REMOVE, string(source))
        return True

    async def _conflict(self, source: bytes, target: bytes) -> None:
        """Raise Conflict, unless the two are one file, whose first name a try that died did not come to remove."""
        ours, theirs = await self.look(source, LSTAT), await self.look(target, LSTAT)
        if ours is None:
            raise Missing(f"{spell(source)} is not there")
        if not self.patient or ours != theirs or not ours.is_file or await self.hash(source) != await self.hash(target):
            raise Conflict(f"{spell(target)} is there already")
        await self._wire.ask(REMOVE, string(source), source)


def _is_ok(answer: Answer) -> bool:
    return answer.kind == STATUS and status(answer.data, answer.at, answer.stop)[0] == OK
