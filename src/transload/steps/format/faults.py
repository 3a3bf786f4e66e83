"""Where a file is not what it should be, and its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from transload.errors import Rejected
from transload.units import show_size

_LINE = 8 * 1024 * 1024


def failed(reason: str, line: int = 0, column: int = 0) -> Rejected:
    """The error for a file that is wrong at a line and a column, where they are known."""
    where = f"line {line}, column {column}: " if column else f"line {line}: " if line else ""
    return Rejected(f"failed to parse: {where}{reason}")


def lines(file: BinaryIO, go_on: Callable[[], None]) -> Iterator[bytes]:
    """The lines of a file, each with its end; `go_on` is called now and then."""
    number = 0
    while line := file.readline(_LINE + 1):
        number += 1
        if len(line) > _LINE:
            raise failed(f"longer than {show_size(_LINE)}", number)
        if not number % 10_000:
            go_on()
        yield line
