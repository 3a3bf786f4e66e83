"""What one session waits for: things under way to being durable, and the requests that must not overtake them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from transload.errors import TransloadError
from transload.servers.base import Then

_FAILED = 1000


class UnderWay(Exception):
    """A path is just being made durable; what was asked about it is asked again afterwards."""

    def __init__(self, path: bytes) -> None:
        super().__init__()
        self.path = path


class Landings:
    """Paths that are being made durable in other threads. Lives in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
        """`ended` is told in `loop` whenever one is over."""
        self._loop, self._ended = loop, ended
        self._waiting: dict[bytes, list[Callable[[], None]]] = {}
        self._failed: dict[bytes, None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def begin(self, paths: tuple[bytes, ...], done: Callable[[TransloadError | None], None]) -> Then:
        """The callback for what makes `paths` durable, from any thread; `done` hears it in the loop, then whoever waited goes on."""
        for path in paths:
            self._waiting.setdefault(path, [])

        def end(error: TransloadError | None) -> None:
            try:
                done(error)
            finally:
                for path in paths:
                    for go_on in self._waiting.pop(path, ()):
                        go_on()
                self._ended()

        return in_loop(self._loop, end)

    def check(self, *paths: bytes) -> None:
        """Raise UnderWay if one of `paths` is."""
        for path in paths:
            if path in self._waiting:
                raise UnderWay(path)

    def failed(self, path: bytes) -> None:
        """An upload to `path` was not taken, though all its bytes came."""
        self._failed[path] = None
        if len(self._failed) > _FAILED:
            del self._failed[next(iter(self._failed))]

    def anew(self, path: bytes) -> None:
        """Another upload to `path` begins."""
        self._failed.pop(path, None)

    def has_failed(self, path: bytes) -> bool:
        """Whether the last upload to `path` in this session was not taken.

        Some clients (paramiko) do not look at the answer to a close but at the size that is there; what is kept for resuming has it.
        """
        return path in self._failed

    def after(self, path: bytes, go_on: Callable[[], None]) -> None:
        """Call `go_on` when `path`, which is under way, is there."""
        self._waiting[path].append(go_on)


def in_loop(loop: asyncio.AbstractEventLoop, hear: Callable[[TransloadError | None], None]) -> Then:
    """The callback by which `hear` is told in `loop`, from any thread."""

    def then(error: TransloadError | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server has stopped, and nobody is there to be told
            loop.call_soon_threadsafe(hear, error)

    return then
