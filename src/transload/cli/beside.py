"""The worker beside the servers, in a process of its own: neither a hook that computes nor one that crashes stands in a sender's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from transload import log

WAKE, RELOAD, STOP = b"w", b"r", b"s"
_GRACE = 45.0
"""Seconds; longer than a worker takes to put back what is in hand."""
_LONGEST = 30.0
_PAUSE = 0.02
_BEHIND = 5


class Beside:
    """A `transload up --only worker` that lives as long as this process, and is started again when it ends before."""

    def __init__(self, config: Path) -> None:
        """For the config in `config`."""
        self._command = [sys.executable, "-m", "transload.cli", "up", "--only", "worker", "--follow", "--config", str(config)]
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._last = False
        self._keeper = threading.Thread(target=self._keep, name="transload-beside", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.expect_end()
        self._over.set()
        if self._process is not None:
            self._keeper.join()

    def begin(self) -> None:
        """Start it."""
        self._process = self._begun()
        self._keeper.start()

    def _begun(self) -> subprocess.Popen[bytes]:
        # A group of its own, so that Ctrl-C is for us alone; the same session, to which Linux may give its processors as one.
        process = subprocess.Popen(self._command, stdin=subprocess.PIPE, process_group=0, bufsize=0)
        assert process.stdin is not None  # noqa: S101
        os.set_blocking(process.stdin.fileno(), False)
        with suppress(OSError):
            # Where processors are scarce, whoever waits for our "yes" comes before what was received already.
            os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + _BEHIND)
        return process

    def wake(self) -> None:
        """Something has landed."""
        self._say(WAKE)

    def reload(self) -> None:
        """The config is another one."""
        self._say(RELOAD)

    def expect_end(self) -> None:
        """It may end by itself from now on: some supervisors tell all processes at once."""
        self._last = True

    def _say(self, word: bytes) -> None:
        process = self._process
        # A full pipe holds words enough; one that is gone is followed by the next process, which looks at everything.
        with suppress(OSError, ValueError):
            if process is not None and process.stdin is not None:
                process.stdin.write(word)

    def _keep(self) -> None:
        pause = 0.5
        while self._process is not None:
            code = self._ended(self._process)
            if self._last:
                return
            log.get("transload").error("the worker has ended and is started again", code=code, seconds=pause)
            if self._over.wait(pause):
                return
            pause = min(_LONGEST, pause * 2)
            self._process = self._begun()

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """Its exit code, once it has ended; after our own end it has some time for that."""
        while not self._over.is_set():
            with suppress(subprocess.TimeoutExpired):
                return process.wait(0.5)
        self._say(STOP)
        try:
            return process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            if process.stdin is not None:
                process.stdin.close()


def follow(wake: Callable[[], None], signals: SimpleQueue[int]) -> None:
    """Do what the process that has begun this one says on standard input, as if it were a signal; end when it is gone."""
    while word := os.read(0, 4096):
        if WAKE in word:
            wake()
            # Files come by the hundred a second: what is said meanwhile is one word.
            time.sleep(_PAUSE)
        if RELOAD in word:
            signals.put(signal.SIGHUP)
        if STOP in word:
            signals.put(signal.SIGTERM)
    # It was killed: so is this one, and the next start finishes the work of both.
    os._exit(1)
