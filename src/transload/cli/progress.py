"""Progress on a terminal: files, bytes, rate, time left. Elsewhere nothing: the summary says it all."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_PAUSE = 0.1


class Progress:
    """Counts what the work tells, and draws it when standard error is a terminal."""

    def __init__(self, *, quiet: bool, copies: int) -> None:
        """Draw nothing when `quiet`; each file is fetched once and sent to `copies` destinations, about."""
        self._drawn = not quiet and sys.stderr.isatty()
        self._copies = copies
        self._lock = threading.Lock()
        self._files: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._bar: Bar | None = None
        self._line: Any = None
        self._shown = 0.0

    def __enter__(self) -> Self:
        if self._drawn:
            self._bar = _bar()
            self._line = self._bar.add_task("looking", total=None)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def told(self, what: str, files: int, size: int) -> None:
        """Hear of `files` files with `size` bytes in all that were seen, fetched or delivered, and of bytes that moved."""
        if self._bar is None:
            return
        with self._lock:
            self._files[what] += files
            self._bytes[what] += size
            # Bytes are told of in blocks, many thousands a second.
            if files or time.monotonic() - self._shown > _PAUSE:
                self._shown = time.monotonic()
                self._show(self._bar)

    def _show(self, bar: Bar) -> None:
        # What an earlier run had seen is fetched too, so more may come than this one saw.
        seen = max(self._files["seen"], self._files["fetched"])
        text = f"{self._files['fetched']:,} of {seen:,} fetched, {self._files['delivered']:,} delivered"
        total = max(self._bytes["seen"], self._bytes["fetched"]) * (1 + self._copies)
        # A disk that shares blocks moves fewer bytes than it delivers.
        done = max(self._bytes["moved"], self._bytes["fetched"] + self._bytes["delivered"])
        bar.update(self._line, description=text, completed=min(done, total), total=total or None)


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(compact=True))
    return Bar(*columns, console=Console(stderr=True), transient=True)
