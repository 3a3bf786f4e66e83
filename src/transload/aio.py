"""One event loop in one thread, for all that must be asynchronous; the border is crossed once per group, never once per file."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, Generic, TypeVar

A = TypeVar("A")
T = TypeVar("T")
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def loop() -> asyncio.AbstractEventLoop:
    """The process's event loop, running in a daemon thread; made on first use."""
    global _loop  # noqa: PLW0603
    with _lock:
        if _loop is None or _loop.is_closed():
            import uvloop

            _loop = uvloop.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="transload-loop", daemon=True).start()
        return _loop


def submit(work: Coroutine[object, object, T]) -> Future[T]:
    """Start `work` in the loop and return at once."""
    return asyncio.run_coroutine_threadsafe(work, loop())


def run(work: Coroutine[object, object, T]) -> T:
    """Run `work` in the loop and wait for it; an interrupt in the waiting thread cancels it."""
    future = submit(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def end(work: Coroutine[object, object, object]) -> None:
    """Run `work` in the loop, and wait for it, unless this is the loop's own thread, where the collector may end what nobody closed."""
    future = submit(work)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        future.result()


class Border(Generic[T]):
    """What the loop hands to the one thread that waits for it: whatever came in one turn of the loop crosses as one group."""

    def __init__(self) -> None:
        self._loop = loop()
        self._crossed: queue.SimpleQueue[list[T]] = queue.SimpleQueue()
        self._group: list[T] = []

    def put(self, thing: T) -> None:
        """Hand `thing` over; in the loop."""
        if not self._group:
            self._loop.call_soon(self._cross)
        self._group.append(thing)

    def get(self) -> list[T]:
        """The next group, waiting for it; in the thread."""
        return self._crossed.get()

    def _cross(self) -> None:
        group, self._group = self._group, []
        self._crossed.put(group)


def each(things: Iterable[A], work: Callable[[A], Coroutine[Any, Any, T]], at_once: int = 64) -> Iterator[T]:
    """The results of `work` for each of `things` as they come, at most `at_once` under way in the loop.

    `things` is iterated in the calling thread. What a `work` raises is raised here, and the others are cancelled.
    """
    border, tasks, source, waiting = Border[asyncio.Task[T]](), set[asyncio.Task[T]](), iter(things), 0

    def start(group: list[A]) -> None:
        for thing in group:
            task = border_loop.create_task(work(thing))
            tasks.add(task)
            task.add_done_callback(border.put)

    async def cancel() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    border_loop = loop()
    try:
        while True:
            group = list(islice(source, at_once - waiting)) if waiting <= at_once // 2 else []
            if group:
                waiting += len(group)
                border_loop.call_soon_threadsafe(start, group)
            if not waiting:
                return
            for task in border.get():
                waiting -= 1
                tasks.discard(task)
                yield task.result()
    finally:
        if waiting:
            run(cancel())
