"""A session with web addresses: what is there, and its bytes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from transload.errors import Awaited, Busy, Changed, Full, Missing, Permanent, Transient, TransloadError, Unreachable
from transload.model import Entry, Fetched, Name
from transload.protocols import Spool
from transload.remotes.base import SessionBase
from transload.remotes.http.address import shown
from transload.remotes.http.answer import Told
from transload.remotes.http.download import Download, same
from transload.remotes.http.faults import NotConnected
from transload.remotes.http.look import look, steady
from transload.remotes.http.sink import Sink

if TYPE_CHECKING:
    from transload.remotes.http.settings import HttpFile
    from transload.remotes.http.web import Web

_OPEN_AT_ONCE = 16


class _Once(NamedTuple):
    """Downloaded once, to be compared with a second download that is due at a time."""

    entry: Entry
    download: Download
    sink: Sink
    due: float


class HttpSession(SessionBase):
    """Lists the files of the config, and fetches them; a source only."""

    in_turn = True

    def __init__(self, files: dict[str, tuple[Name, HttpFile]], web: Web) -> None:
        """`files`: key to what the file is called, and what is expected of it."""
        self.refused = []
        self._files = dict(files.values())
        self._called = {name.text: name for name in self._files} | {key: name for key, (name, _) in files.items()}
        self._hosts = {urlsplit(file.url).netloc for file in self._files.values()}
        self._web = web

    def list(self, folder: str, *, recursive: bool) -> Iterator[Entry]:
        """One entry for each file of the config below `folder`, or for the one that has this key.

        A file that cannot be looked at, while others can, is an entry that tells nothing: fetching it tells why, as
        something to wait for, so that it stops no other. When none can be looked at, the first reason is raised.
        """
        self.refused.clear()
        within, names = self._below(folder.strip("/"), recursive=recursive)
        for name, now in self._told(names).items():
            below = Name(name.raw[len(within) :].lstrip(b"/"))
            url = shown(self._files[name].url)
            yield Entry(within.decode("utf-8", "surrogateescape"), below, now.size, now.modified, 1.0, now.etag, now.settles, url)

    def _below(self, folder: str, *, recursive: bool) -> tuple[bytes, Sequence[Name]]:
        """The folder that entries are relative to, and what is in it; or the one file of that key."""
        if folder in self._called:
            name = self._called[folder]
            return name.folder, [name]
        within = folder.encode("utf-8", "surrogateescape")
        start = within + b"/" if within else b""
        names = [name for name in self._files if name.raw.startswith(start)]
        if not names:
            message = f"{folder}: no file has this key"
            raise Missing(message)
        return within, [name for name in names if recursive or b"/" not in name.raw[len(start) :]]

    def _look(self, name: Name) -> Told:
        return look(self._web, self._files[name])

    def _told(self, names: Sequence[Name]) -> dict[Name, Told]:
        told = dict.fromkeys(names, Told())
        failed = []
        for name in names:
            try:
                told[name] = self._look(name)
            except TransloadError as error:
                failed.append(error)
        if len(failed) == len(names):
            raise next((error for error in failed if isinstance(error, Transient)), failed[0])
        young = [name for name in names if told[name].young]
        for at, name in enumerate(young):
            told[name] = steady(told[name], partial(self._look, name), wait=at == 0)
        return told

    def stat(self, entry: Entry) -> Entry | None:
        """The file as it is now, or None when it is not there."""
        try:
            name = self._name(entry)
            now = steady(self._look(name), partial(self._look, name))
        except Missing:
            return None
        return replace(entry, size=now.size, modified=now.modified, etag=now.etag, settles=now.settles)

    def _name(self, entry: Entry) -> Name:
        name = Name(entry.path)
        if name not in self._files:
            raise _gone(entry)
        return name

    def fetch(self, entries: Iterable[Entry], spool: Spool) -> Iterator[Fetched]:
        """One outcome per entry; raises Unreachable when all files are at one host, which cannot be connected to."""
        dead: dict[str, NotConnected] = {}
        waiting: deque[_Once] = deque()
        try:
            for entry in entries:
                done = self._tried(entry, spool, dead)
                if isinstance(done, Fetched):
                    yield done
                else:
                    waiting.append(done)
                if len(waiting) >= _OPEN_AT_ONCE:
                    yield self._twice(waiting.popleft())
            while waiting:
                yield self._twice(waiting.popleft())
        finally:
            for item in waiting:
                item.sink.drop()

    def _tried(self, entry: Entry, spool: Spool, dead: dict[str, NotConnected]) -> Fetched | _Once:
        file = self._files.get(Name(entry.path))
        if file is None:
            return Fetched(entry, error=_gone(entry))
        host = urlsplit(file.url).netloc
        if host in dead:
            return Fetched(entry, error=dead[host])
        try:
            return self._once(entry, file, spool)
        except NotConnected as error:
            if len(self._hosts) == 1:
                raise
            dead[host] = error
            return Fetched(entry, error=error)
        except Full:
            raise
        except Permanent as error:
            # What was never seen may still come: it waits, with the reason.
            return Fetched(entry, error=Awaited(str(error)) if isinstance(error, Missing) and _unseen(entry) else error)
        except TransloadError as error:
            return Fetched(entry, error=error)

    def _once(self, entry: Entry, file: HttpFile, spool: Spool) -> Fetched | _Once:
        sink = Sink(entry, spool, fresh=file.twice is not None)
        download = Download(self._web, file, entry, sink)
        with _cleaning(sink):
            download.run()
            if file.twice is not None or not download.measured:
                return _Once(entry, download, sink, time.monotonic() + (file.twice or 0))
            return self._finished(entry, download, sink)

    def _twice(self, item: _Once) -> Fetched:
        try:
            with _cleaning(item.sink):
                time.sleep(max(0, item.due - time.monotonic()))
                if item.download.again() != item.sink.digest():
                    message = f"{item.entry.text}: it came out different the second time: still being written"
                    raise Changed(message)
                return self._finished(item.entry, item.download, item.sink)
        except Full:
            raise
        except TransloadError as error:
            return Fetched(item.entry, error=error)

    def _finished(self, entry: Entry, download: Download, sink: Sink) -> Fetched:
        """The outcome, if the file still is what it was when it was listed, and when it came."""
        came = download.told
        if any(value is not None for value in (entry.size, entry.modified, entry.etag, came.modified, came.etag)):
            now = self._look(self._name(entry))
            before = Told(entry.size, entry.modified, entry.etag)
            resized = None not in (entry.size, now.size) and entry.size != now.size
            if resized or not same(before, now) or not (download.marked or same(came, now)):
                message = f"{entry.text}: it changed while it was fetched"
                raise Changed(message)
        return Fetched(_as_listed(entry, came, sink.size), sink.done())


def _as_listed(entry: Entry, came: Told, size: int) -> Entry:
    """`entry` as the next listing will tell of it, so that the same file is known again: what is not told there stays so."""
    if _unseen(entry):
        return replace(entry, size=came.size, modified=None if came.young else came.modified, etag=came.etag)
    return entry if entry.size is None else replace(entry, size=size)


def _unseen(entry: Entry) -> bool:
    """Whether the listing told nothing of it: it could not be looked at, or its server never tells."""
    return entry.size is None and entry.modified is None and entry.etag is None


def _gone(entry: Entry) -> Missing:
    return Missing(f"{entry.text}: the config has no such file any more")


@contextmanager
def _cleaning(sink: Sink) -> Iterator[None]:
    """What came is kept for a resume after a cut, and dropped when the file is not wanted."""
    try:
        yield
    except (Unreachable, Busy):
        sink.keep()
        raise
    except TransloadError:
        sink.drop()
        raise
    except BaseException:
        sink.keep()
        raise
