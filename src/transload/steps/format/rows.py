"""Whether a file has the shape of a CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from typing import BinaryIO

from transload.steps.format.faults import LONGEST, failed, too_long

_BLOCK = 1024 * 1024


def check_csv(file: BinaryIO, delimiter: str, header: tuple[str, ...], go_on: Callable[[], None]) -> tuple[int, int]:
    """How many rows there are below the first line, and how many columns."""
    reader = csv.reader(_text(file, go_on), delimiter=delimiter, strict=True)
    line = 1  # at which the row begins
    try:
        first = next(reader, [])
        _check_header(first, header)
        columns, rows, blank = len(first), 0, 0
        line = reader.line_num + 1
        for row in reader:
            if len(row) == columns and not blank:
                rows += 1
            elif row:
                raise failed("it is empty", blank) if blank else failed(f"{_columns(len(row))}, but the first line has {columns}", line)
            else:
                blank = blank or line
            line = reader.line_num + 1
    except csv.Error as error:
        raise failed(next((ours for theirs, ours in _SAYS.items() if theirs in str(error)), str(error)), line) from error
    return rows, columns


def _check_header(first: list[str], header: tuple[str, ...]) -> None:
    names = [name.encode("latin-1").decode("utf-8", "replace") for name in first]
    missing = [name for name in header if name not in names]
    if missing or not first:
        raise failed(f"there is no column {', '.join(missing)}" if missing else "it is empty", 1)


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


_SAYS = {
    "unexpected end of data": "a quote is not closed",
    "field larger": f"a column of more than {csv.field_size_limit()} bytes, or a quote that is not closed",
    "new-line character": "a carriage return in the middle of it",
    "expected after": "a quote in the middle of a quoted column",
}


def _text(file: BinaryIO, go_on: Callable[[], None]) -> Iterator[str]:
    """The lines, without their ends, as text that has the shape of the file in every encoding with ASCII in it."""
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    rest, done = b"", 0
    while block := file.read(_BLOCK):
        whole, end, rest = (rest + block).rpartition(b"\n")
        if end:
            yield from _split(whole, done)
            done += whole.count(b"\n") + 1
        if len(rest) > LONGEST:
            raise too_long(done + 1)
        go_on()
    if rest:
        yield from _split(rest, done)


def _split(data: bytes, done: int) -> list[str]:
    """The lines in `data`, which come after `done` others."""
    at = data.find(b"\0")
    if at >= 0:
        raise failed("it holds a NUL", done + data.count(b"\n", 0, at) + 1, at - data.rfind(b"\n", 0, at))
    return data.decode("latin-1").split("\n")
