"""Whether a file has the shape of a CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from transload.steps.format.faults import failed, lines

if TYPE_CHECKING:
    from _csv import Reader


def check_csv(file: BinaryIO, delimiter: str, header: tuple[str, ...], go_on: Callable[[], None]) -> tuple[int, int]:
    """How many rows there are below the first line, and how many columns."""
    rows = _rows(csv.reader(_text(file, go_on), delimiter=delimiter, strict=True))
    _, first = next(rows, (1, []))
    names = [name.encode("latin-1").decode("utf-8", "replace") for name in first]
    missing = [name for name in header if name not in names]
    if missing or not first:
        raise failed(f"there is no column {', '.join(missing)}" if missing else "it is empty", 1)
    count = blank = 0
    for line, row in rows:
        if not row:
            blank = blank or line
        elif blank:
            raise failed("it is empty", blank)
        elif len(row) != len(first):
            raise failed(f"{_columns(len(row))}, but the first line has {len(first)}", line)
        else:
            count += 1
    return count, len(first)


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _rows(reader: Reader) -> Iterator[tuple[int, list[str]]]:
    """Each row, and the line that it begins at."""
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise failed(next((ours for theirs, ours in _SAYS.items() if theirs in str(error)), str(error)), line) from error


_SAYS = {
    "unexpected end of data": "a quote is not closed",
    "field larger": f"a column of more than {csv.field_size_limit()} bytes, or a quote that is not closed",
    "new-line character": "a carriage return in the middle of it",
    "expected after": "a quote in the middle of a quoted column",
}


def _text(file: BinaryIO, go_on: Callable[[], None]) -> Iterator[str]:
    """Text of which the shape is that of the file in every encoding that has ASCII in it."""
    rest = lines(file, go_on)
    head = next(rest, b"").removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(chain([head], rest), 1):
        if b"\0" in line:
            raise failed("it holds a NUL", number, line.index(b"\0") + 1)
        yield line.decode("latin-1")
