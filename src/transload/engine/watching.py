"""Folders that are watched: what happens in one wakes the look at it, and the look alone decides what is new."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from transload import log
from transload.match import Selector
from transload.remotes.folder import FolderRemote

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver, ObservedWatch

    from transload.config import Config

_GATHER = 0.1
_PAUSE = 1.0
_RENEW = 3600.0
_HEARD: list[type[FileSystemEvent]] = [FileCreatedEvent, FileClosedEvent, FileMovedEvent, DirCreatedEvent, DirMovedEvent, DirDeletedEvent]


class Watched(NamedTuple):
    """A folder, and whether those below it count too."""

    path: str
    recursive: bool


class Watching:
    """The watched folders of one process; `look` is called with a route where something has come, at most once a second."""

    def __init__(self, look: Callable[[str], None]) -> None:
        """Nothing is watched yet."""
        self._look = look
        self._lock = threading.Lock()
        self._config: Config | None = None
        self._heard: set[Watched] = set()
        self._gone: set[Watched] = set()
        self._routes: dict[Watched, list[str]] = {}
        self._wake, self._stop = threading.Event(), threading.Event()
        self._observer: BaseObserver = Observer()
        self._watches: dict[Watched, tuple[tuple[int, int], ObservedWatch]] = {}
        self._since = 0.0
        self._refused = False
        self._thread = threading.Thread(target=self._go, name="watching", daemon=True)
        self._log = log.get("transload.watch")

    def change(self, config: Config) -> None:
        """Watch what the enabled routes of this config want watched, and nothing else."""
        with self._lock:
            self._config = config
        self._wake.set()
        if not self._thread.is_alive() and _routes(config):
            self._thread.start()

    def close(self) -> None:
        """Watch no more."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _go(self) -> None:
        try:
            while not self._stop.is_set():
                self._follow()
                if self._wake.wait(_PAUSE):
                    # A file comes with several events, and files come together.
                    self._stop.wait(_GATHER)
                    self._wake.clear()
                    self._tell()
                    self._stop.wait(_PAUSE - _GATHER)
        finally:
            self._end()

    def _tell(self) -> None:
        with self._lock:
            heard, self._heard = self._heard, set()
        for route in sorted({route for folder in heard for route in self._routes.get(folder, ())}):
            self._look(route)

    def _hear(self, folder: Watched) -> None:
        with self._lock:
            self._heard.add(folder)
        self._wake.set()

    def _lost(self, folder: Watched) -> None:
        with self._lock:
            self._gone.add(folder)

    def _follow(self) -> None:
        """Folders come, go and are replaced by others of the same name, and some are named after the day."""
        with self._lock:
            config, gone, self._gone = self._config, self._gone, set()
        self._routes = {} if config is None else _routes(config)
        there = {folder: found for folder in self._routes if (found := _there(folder.path))}
        stale = time.monotonic() - self._since > _RENEW
        for folder, (found, watch) in list(self._watches.items()):
            # A new folder may well get the number of the one that is gone.
            if stale or folder in gone or there.get(folder) != found:
                del self._watches[folder]
                with suppress(KeyError, OSError):
                    self._observer.unschedule(watch)
        if not self._watches:
            # What the library remembers of files that were moved away goes with it.
            self._end()
            self._since = time.monotonic()
        for folder in there.keys() - self._watches.keys():
            self._begin(folder, there[folder])

    def _begin(self, folder: Watched, found: tuple[int, int]) -> None:
        if not self._observer.is_alive():
            self._observer = Observer()
            self._observer.start()
        try:
            watch = self._observer.schedule(
                _Ear(folder, self._hear, self._lost), folder.path, recursive=folder.recursive, event_filter=_HEARD
            )
        except OSError as error:
            if not self._refused:
                self._refused = True
                text = "a folder cannot be watched: it is looked at by its interval alone; is fs.inotify.max_user_watches too small?"
                self._log.warning(text, folder=folder.path, error=str(error))
            return
        self._watches[folder] = (found, watch)
        # Of what came before the watch was there nobody was told.
        self._hear(folder)

    def _end(self) -> None:
        self._watches.clear()
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()


class _Ear(FileSystemEventHandler):
    """Something has come into a folder; which file it is the look finds out."""

    def __init__(self, folder: Watched, hear: Callable[[Watched], None], gone: Callable[[Watched], None]) -> None:
        self._folder, self._hear, self._gone = folder, hear, gone

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Heard, or the end of the folder itself."""
        if not isinstance(event, DirDeletedEvent):
            self._hear(self._folder)
        elif event.src_path == self._folder.path:
            self._gone(self._folder)


def _routes(config: Config) -> dict[Watched, list[str]]:
    """Which routes want to know of which folders."""
    found: dict[Watched, list[str]] = {}
    for route in config.routes:
        place = config.remotes.get(route.source.remote)
        if not (route.enabled and route.source.watch and isinstance(place, FolderRemote)):
            continue
        for below in Selector(route.source, datetime.now(UTC)).folders:
            path = os.path.normpath(os.path.join(place.path, below))
            folder = Watched(path, route.source.recursive) if os.path.isdir(path) else Watched(os.path.dirname(path), recursive=False)
            found.setdefault(folder, []).append(route.name)
    return found


def _there(folder: str) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.stat(folder)
        return found.st_dev, found.st_ino
    return None
