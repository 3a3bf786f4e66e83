"""Where bytes lie: `<folder>/<ab>/<sha256>`, and `<folder>/parts/` on their way there."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Self

from transload import crash, disk
from transload.errors import Changed, Full, Missing
from transload.model import Entry, Spooled
from transload.spool import collector
from transload.spool.drafts import Draft
from transload.spool.layout import lay_out
from transload.spool.locks import Turnstile
from transload.spool.notes import Orphan
from transload.spool.parts import Corner, Left, StreamPart, is_abandoned, resumable_part, resume_name
from transload.spool.room import Room
from transload.spool.telling import telling, told

_SLICE = 256


class Spool:
    """The bytes of everything that arrived, each stored once; they never change. For any number of threads and processes."""

    def __init__(self, folder: Path, *, min_free: int, keep: float) -> None:
        """The spool in `folder`, made if need be; `min_free` bytes of its disk are left alone, unwanted bytes stay for `keep` seconds."""
        self.folder, self.keep = folder, keep
        self._base, self._parts = str(folder), folder / "parts"
        self._lock = threading.Lock()
        self.room = Room(self._base, min_free)
        with telling():
            if not self._parts.is_dir():
                lay_out(folder)
            self._volume = disk.Volume(self._base)
        self._turnstile = Turnstile(folder)

    def close(self) -> None:
        """Let go; parts that were neither committed nor kept are removed."""
        if "_corner" in self.__dict__:
            self._corner.close()
            del self._corner
        self._volume.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # On their way in

    @cached_property
    def _corner(self) -> Corner:
        with telling():
            return Corner(self._parts)

    def of(self, feed: str) -> Feed:
        """The spool for one feed: the same path on two feeds (two remotes, say) is never taken for the same file."""
        return Feed(self, feed)

    def part(self, entry: Entry, feed: str = "") -> StreamPart:
        """A part for `entry`, with what a cut fetch of the same version left; raises Full."""
        name, size = resume_name(entry, feed), entry.size or 0
        if name is None:
            return self.fresh(size)
        corner = self._mine()
        with telling():
            part = resumable_part(f"{self._parts}/{name}", size, corner, self.room.check)
        if part is None:
            return self.fresh(size)
        try:
            self.room.check(size - part.offset)
        except Full:
            part.keep()
            raise
        return part

    def fresh(self, size: int = 0) -> StreamPart:
        """A part for about `size` bytes that begins with nothing and cannot be resumed; raises Full."""
        self.room.check(size)
        corner = self._mine()
        with telling():
            return StreamPart(*corner.create(), corner, self.room.check, resumable=False)

    def draft(self, size: int = 0) -> Draft:
        """An empty part for about `size` bytes that may be written in any order; raises Full."""
        self.room.check(size)
        corner = self._mine()
        with telling():
            return Draft(*corner.create(), self.room.check)

    def draft_of(self, left: Left) -> Draft:
        """A part that begins with what was `left` by an earlier try, which is no longer there then."""
        corner = self._mine()
        with telling():
            return corner.draft_of(left, self.room.check)

    def claim(self, take: Callable[[Orphan], bool]) -> None:
        """Give `take` every part with a note whose process is gone, the one that was written last at the end; is it done with it?"""
        with telling():
            collector.claim(self._parts, take)

    @property
    def token(self) -> str:
        """What the names of this process's own things begin with, wherever they lie; `is_dead` tells whether it still lives."""
        return self._mine().token

    def is_dead(self, token: str) -> bool:
        """Whether the process that had this token is gone."""
        return is_abandoned(f"{self._parts}/{token}")

    def put(self, entry: Entry, data: bytes) -> Spooled:  # noqa: ARG002
        """Store a small file that was read at once; raises Full."""
        return self.small(data)

    def small(self, data: bytes) -> Spooled:
        """A part of these few bytes, whole; raises Full."""
        self.room.check(len(data))
        path = self._mine().path()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                disk.write_all(descriptor, data)
            except OSError:
                os.unlink(path)
                raise
            finally:
                os.close(descriptor)
        except OSError as error:
            raise told(error) from error
        return Spooled(path, len(data), hashlib.sha256(data).hexdigest())

    def _mine(self) -> Corner:
        if "_corner" not in self.__dict__:
            with self._lock:
                return self._corner
        return self._corner

    def forget(self, spooled: Iterable[Spooled]) -> None:
        """Remove bytes that will not be committed."""
        with telling():
            for item in spooled:
                Path(item.part).unlink(missing_ok=True)

    # Coming to stay

    def accepting(self) -> AbstractContextManager[None]:
        """Hold this around `commit` and the ledger's transaction, in one thread: nothing that they count on is collected meanwhile."""
        return self._turnstile.shared()

    def alone(self) -> AbstractContextManager[None]:
        """Nobody commits and nothing is collected while this is held; ask the ledger inside it, before `take`."""
        return self._turnstile.alone()

    def commit(self, spooled: Sequence[Spooled]) -> None:
        """Give all of `spooled` their places; durable on return. May be repeated. Raises Full, Busy, or Changed when bytes are gone."""
        with self.accepting():
            self.sync(spooled)
            crash.point("spool-synced")
            self.place(spooled)

    def sync(self, spooled: Sequence[Spooled]) -> None:
        """The bytes of all of `spooled` are on the disk, but have no place yet; when that fails, all of them are forgotten."""
        with telling():
            try:
                self._volume.sync(len(spooled), self._opened(spooled))
            except OSError:
                # A second sync of the same bytes would succeed, for the disk has given them up.
                self.forget(spooled)
                raise

    def place(self, spooled: Sequence[Spooled]) -> None:
        """Give `spooled`, which were synced, their places; durable on return. To be held inside `accepting`."""
        with telling():
            for item in spooled:
                self._place(item)
                crash.point("spool-placed")
            # Also those that were there before: whoever renamed them may not have come to this line yet.
            folders = {f"{self._base}/{item.sha256[:2]}" for item in spooled}
            self._volume.sync(len(folders), disk.opened(folders))

    def _opened(self, spooled: Iterable[Spooled]) -> Iterator[int]:
        for item in spooled:
            yield from disk.opened([item.part if os.path.exists(item.part) else self._placed(item)])

    def _place(self, item: Spooled) -> None:
        # Over the same bytes if they are there: cheaper than looking, it mends a damaged file, and the new time keeps the collector off.
        try:
            os.rename(item.part, self.path(item.sha256))
        except FileNotFoundError:
            self._placed(item)

    def _placed(self, item: Spooled) -> str:
        path = self.path(item.sha256)
        try:
            if os.stat(path).st_size == item.size:
                return path
        except FileNotFoundError:
            pass
        message = f"the bytes {item.sha256[:12]} were removed before they were committed"
        raise Changed(message)

    # There

    def path(self, sha256: str) -> str:
        """Where the bytes with this hash lie, if they are there."""
        return f"{self._base}/{sha256[:2]}/{sha256}"

    def has(self, sha256: str) -> bool:
        """Whether the bytes with this hash are there."""
        return os.path.exists(self.path(sha256))

    def open(self, sha256: str) -> BinaryIO:
        """The bytes with this hash, for reading; raises Missing."""
        try:
            return open(self.path(sha256), "rb")
        except FileNotFoundError as error:
            message = f"the spool {self._base} no longer has the bytes {sha256[:12]}"
            raise Missing(message) from error
        except OSError as error:
            raise disk.told(error, self.path(sha256)) from error

    def take(self, sha256: str, target: str) -> None:
        """Move the bytes out of the spool to `target`, on the same disk; raises Missing, and Refused on another disk."""
        with self.alone():
            try:
                os.rename(self.path(sha256), target)
            except OSError as error:
                raise disk.told(error, target) from error

    # Going

    def collect(self, unwanted: Callable[[Sequence[str]], set[str]], older_than: float | None = None) -> collector.Collected:
        """Remove what came more than `older_than` seconds ago (`keep`, if not given) and what `unwanted` says that nobody needs.

        `unwanted` is given hashes and answers with those that may go; it is asked twice, the second time with all commits held off.
        """
        with telling():
            return collector.collect(self.folder, self.alone, unwanted, self.keep if older_than is None else older_than)

    def let_go(self, hashes: Sequence[str], unwanted: Callable[[Sequence[str]], set[str]]) -> None:
        """Remove those of `hashes` that nobody needs, however young they are; `unwanted` is asked as `collect` asks it."""
        here = [one for one in hashes if self.has(one)]
        for at in range(0, len(here), _SLICE):
            if going := unwanted(here[at : at + _SLICE]):
                with telling(), self.alone():
                    for one in unwanted(sorted(going)) & going:
                        Path(self.path(one)).unlink(missing_ok=True)

    def collect_parts(self, older_than: float) -> collector.Collected:
        """Remove what dead processes left, and cut parts that nobody resumed for `older_than` seconds."""
        with telling():
            return collector.collect_parts(self._parts, older_than)


class Feed:
    """The spool as the session of one feed sees it."""

    __slots__ = ("_feed", "_spool", "put")

    def __init__(self, spool: Spool, feed: str) -> None:
        """The view of `spool` for `feed`."""
        self._spool, self._feed = spool, feed
        self.put = spool.put

    def part(self, entry: Entry) -> StreamPart:
        """A part for `entry`, with what a cut fetch of the same version left; raises Full."""
        return self._spool.part(entry, self._feed)
