"""A log file that several processes append to, a new one each day."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from transload.errors import ConfigError

_LOOK = 1.0


class LogFile:
    """Each line is one write at the end of the file, so that processes do not tear each other's.

    At the first line of a day (UTC) whoever comes first renames the file to `name.2026-11-20`, under a lock beside it
    that also remembers the file's day, and removes those older than `keep` days; the others open the new one. A file
    that was moved away by somebody else is opened anew within a second. When a line cannot be written, it goes to stderr.
    """

    def __init__(self, path: Path, keep: int) -> None:
        """Open `path`; ConfigError when it cannot be written."""
        self._path, self._keep = path, keep
        self._lock = threading.Lock()
        self._fd = -1
        self._day: date | None = None
        self._looked = 0.0
        self._torn = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._ready(_today())
        except OSError as error:
            raise ConfigError(f"the log {path} cannot be written: {error.strerror}") from error

    def write(self, line: str) -> None:
        """Append one line."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            try:
                self._ready(_today())
                self._append(data)
            except OSError as error:
                self._close()
                sys.stderr.write(f"the log {self._path} cannot be written ({error.strerror}): {line}\n")

    def close(self) -> None:
        """Close it; a later line opens it again."""
        with self._lock:
            self._close()

    def _append(self, data: bytes) -> None:
        if self._torn:
            data = b"\n" + data  # the disk was full in the middle of a line
        self._torn = os.write(self._fd, data) != len(data)

    def _ready(self, today: date) -> None:
        if self._fd >= 0 and self._day == today and not self._moved():
            return
        self._close()
        rotated = self._rotate(today)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._day = today if rotated else None

    def _moved(self) -> bool:
        """Whether the name stands for another file by now; asked once a second."""
        at = time.monotonic()
        if at - self._looked < _LOOK:
            return False
        self._looked = at
        try:
            return os.stat(self._path).st_ino != os.fstat(self._fd).st_ino
        except FileNotFoundError:
            return True

    def _rotate(self, today: date) -> bool:
        """Put yesterday's file away, unless that was done; False when another process is just about it."""
        lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            day = self._its_day(os.read(lock, 32).decode("ascii", "replace"), today)
            if day < today and self._path.exists():
                self._path.rename(self._free(day))
                self._prune(today)
            os.pwrite(lock, f"{max(day, today)}\n".encode(), 0)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def _its_day(self, told: str, today: date) -> date:
        with suppress(ValueError):
            return date.fromisoformat(told.strip())
        with suppress(FileNotFoundError):
            return datetime.fromtimestamp(self._path.stat().st_mtime, UTC).date()
        return today

    def _free(self, day: date) -> Path:
        names = [self._path.with_name(f"{self._path.name}.{day}{tail}") for tail in ("", *(f".{count}" for count in range(1, 100)))]
        return next((name for name in names if not name.exists()), names[-1])

    def _prune(self, today: date) -> None:
        oldest = f"{self._path.name}.{today - timedelta(days=self._keep)}"
        for old in self._path.parent.glob(f"{_literal(self._path.name)}.????-??-??*"):
            if old.name < oldest:
                old.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _today() -> date:
    return datetime.now(UTC).date()


def _literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
