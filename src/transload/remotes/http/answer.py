"""An answer as it comes in: what its headers tell of the file, and its body, counted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import NamedTuple, Self

import httpcore2

from transload.errors import Busy, TransloadError
from transload.model import to_micros
from transload.remotes.http.dial import Line
from transload.remotes.http.faults import refusal

BLOCK = 256 * 1024
PARTIAL = 206
_RANGE = re.compile(r"bytes (?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19}|\*)")


class Told(NamedTuple):
    """What an answer tells of the file: its size, time (microseconds) and tag, and whether its clock can be trusted.

    `young` says that the time is that of the answer: just modified, or made for this very answer.
    """

    size: int | None = None
    modified: int | None = None
    etag: str | None = None
    settles: bool = False
    young: bool = False


class Answer:
    """Status, headers and body of one answer."""

    def __init__(self, what: str, response: httpcore2.Response, hang_up: Callable[[], None]) -> None:
        self.what = what
        self.status = response.status
        self._response = response
        self._hang_up = hang_up
        self._headers: dict[str, str] = {}
        for name, value in response.headers:
            self._headers.setdefault(name.decode("ascii", "replace").lower(), value.decode("latin-1").strip())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._response.close()

    def header(self, name: str) -> str:
        """The header `name` (in small letters), or nothing."""
        return self._headers.get(name, "")

    def refusal(self) -> TransloadError:
        """The error for an answer that brings no file."""
        return refusal(self.what, self.status, self.header("retry-after"))

    @property
    def length(self) -> int | None:
        """How many bytes the body has, when it says so beforehand."""
        text = self.header("content-length")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 and not self.chunked else None

    @property
    def chunked(self) -> bool:
        """Whether the body tells its own end."""
        return bool(self.header("transfer-encoding"))

    @property
    def range(self) -> tuple[int, int, int | None] | None:
        """The first and last byte of a partial answer, and the size of the whole."""
        found = _RANGE.fullmatch(self.header("content-range"))
        if found is None or found[1] is None:
            return None
        return int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3])

    @property
    def told(self) -> Told:
        """What the headers tell of the file."""
        modified, date = _time(self.header("last-modified")), _time(self.header("date"))
        age = self.header("age")
        clock = None if date is None else date // 10**6 + (int(age) if age.isdigit() and len(age) < 10 else 0)
        trusted = clock is not None and abs(time.time() - clock) <= 5
        etag = self.header("etag")
        return Told(
            self._size(),
            modified,
            etag if 0 < len(etag) <= 1024 and etag.isprintable() else None,
            modified is not None and trusted,
            modified is not None and date is not None and modified >= date,
        )

    def _size(self) -> int | None:
        if self.status in (206, 416):
            found = _RANGE.fullmatch(self.header("content-range"))
            return int(found[3]) if found and found[3] != "*" else None
        return None if self.header("content-encoding") not in ("", "identity") else self.length

    def blocks(self) -> Iterator[bytes]:
        """The body in blocks as they come, raw; Unreachable or Busy unless it ends as announced."""
        tail = b"\n"
        assert isinstance(self._response.stream, Iterable)  # noqa: S101
        for block in self._response.stream:
            if block:
                tail = block
                yield block
        line = self._response.extensions.get("network_stream")
        if self.length is not None and isinstance(line, Line) and line.surplus(tail[-256:]):
            self._hang_up()
            message = f"{self.what}: more came than the {self.length} bytes that were announced"
            raise Busy(message)


def _time(text: str) -> int | None:
    try:
        return to_micros(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
