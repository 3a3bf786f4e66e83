"""pyftpdlib's event loop in a thread of its own, with a way in for other threads."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from transload import log

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
BLOCK = 256 * 1024


class Loop:
    """Calls channels when their descriptors are ready, and functions when their time has come; all in one thread."""

    def __init__(self, name: str) -> None:
        """Not yet running."""
        from pyftpdlib.ioloop import IOLoop  # it brings asyncore: only where there is a server

        self.poller: Any = IOLoop()
        self.block = memoryview(bytearray(BLOCK))
        """Where whoever reads may read into, until it returns to the loop."""
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._last: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._waker = _Waker(self, self._called)
        self._over = self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Run, and return."""
        self._thread.start()

    def stop(self) -> None:
        """End, from another thread, also where it never ran; channels that are left are not told."""
        if self._thread.ident is not None:
            self.call(self._end)
            self._thread.join()
        with self._lock:  # a thread that comes later must not write to what has this descriptor's number by then
            self._closed = True
            self._waker.close()
        _call(self._calls)
        self.poller.socket_map.clear()
        self.poller.close()

    def call(self, do: Callable[..., object], *about: Any) -> bool:
        """Call `do` in the loop soon; from any thread. False when the loop has ended: then it is not called."""
        with self._lock:
            if self._closed:
                return False
            self._calls.append((do, about))
            self._waker.wake()
        return True

    def last(self, do: Callable[..., object], *about: Any) -> None:
        """Call `do` once all else that is ready now has been done, with what else is to be called then; from within the loop."""
        self._last.append((do, about))

    def later(self, seconds: float, do: Callable[..., object], *about: Any) -> Any:
        """Call `do` after so many seconds, unless what this gives is cancelled (`cancel()`); from within the loop."""
        return self.poller.call_later(seconds, do, *about, _errback=_failed)

    def _end(self) -> None:
        self._over = True

    def _run(self) -> None:
        poll, due = self.poller.poll, self.poller.sched.poll
        wait = None
        while not self._over:
            poll(wait)
            wait = due()
            if self._last:
                _call(self._last)
                wait = due()

    def _called(self) -> None:
        _call(self._calls)


class Channel:
    """A descriptor in the loop, and what is done when it is ready."""

    def __init__(self, loop: Loop) -> None:
        """Nothing is waited for yet."""
        self.loop = loop
        self._fileno, self._events = -1, 0

    def watch(self, fileno: int, events: int) -> None:
        """Wait for `events` of this descriptor from now on."""
        self._fileno, self._events = fileno, events
        self.loop.poller.register(fileno, self, events)

    def want(self, events: int) -> None:
        """Wait for these events instead."""
        if events != self._events and self._fileno >= 0:
            self._events = events
            self.loop.poller.modify(self._fileno, events)

    def unwatch(self) -> None:
        """Wait for nothing any more; harmless when nothing was."""
        if self._fileno >= 0:
            self.loop.poller.unregister(self._fileno)
            self._fileno = -1

    def forget(self) -> None:
        """The same, for a descriptor that is closed in this moment: the system forgets it by itself."""
        if self._fileno >= 0:
            self.loop.poller.socket_map.pop(self._fileno, None)
            self._fileno = -1

    def ready_to_read(self) -> None:
        """There is something to read, or an error; or nothing, when that was meant for a descriptor that had this number."""

    def ready_to_write(self) -> None:
        """There is room to write."""

    def failed(self) -> None:
        """Something in here went wrong that was not foreseen."""

    # --- what the poller calls

    def readable(self) -> bool:
        """Asked before each event."""
        return True

    def writable(self) -> bool:
        """The same."""
        return True

    def handle_read_event(self) -> None:
        """Ready."""
        self.ready_to_read()

    def handle_write_event(self) -> None:
        """Ready."""
        self.ready_to_write()

    def handle_close(self) -> None:
        """An error, or the end: reading tells which."""
        self.ready_to_read()

    def handle_error(self) -> None:
        """An exception came out of one of the above."""
        _failed()
        self.failed()

    def close(self) -> None:
        """Wait for nothing any more."""
        self.unwatch()


class _Waker(Channel):
    """The way in for other threads."""

    def __init__(self, loop: Loop, called: Callable[[], None]) -> None:
        super().__init__(loop)
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._called, self._awake = called, False
        self.watch(self._event, READ)

    def wake(self) -> None:
        if not self._awake:
            self._awake = True
            os.eventfd_write(self._event, 1)

    def ready_to_read(self) -> None:
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return
        # Whoever comes from here on wakes again: nothing is left lying.
        self._awake = False
        self._called()

    def close(self) -> None:
        super().close()
        os.close(self._event)


class Entrance(Channel):
    """A listening socket: `come` is given each connection, with its address."""

    _AT_ONCE = 64
    _PAUSE = 0.2

    def __init__(self, loop: Loop, door: socket.socket, come: Callable[[socket.socket, str], None]) -> None:
        """Accept from now on."""
        super().__init__(loop)
        self._door, self._come = door, come
        self.watch(door.fileno(), READ)

    def ready_to_read(self) -> None:
        for _ in range(self._AT_ONCE):
            try:
                line, address = self._door.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError:
                # No descriptors left: those who are in go on, the others wait at the door.
                self.want(0)
                self.loop.later(self._PAUSE, self.want, READ)
                return
            line.setblocking(False)
            self._come(line, str(address[0]))

    def close(self) -> None:
        """Accept no more."""
        super().close()
        self._door.close()


def _call(calls: deque[tuple[Callable[..., object], tuple[Any, ...]]]) -> None:
    for _ in range(len(calls)):
        do, about = calls.popleft()
        try:
            do(*about)
        except Exception:  # noqa: BLE001 - one session's fault is not the others'
            _failed()


def _failed() -> None:
    log.get("transload.ftp").exception("a fault inside the FTP server")
