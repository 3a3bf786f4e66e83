"""Where a file is not what it should be."""

from __future__ import annotations

from transload.errors import Rejected
from transload.units import show_size

LONGEST = 8 * 1024 * 1024
"""How long a line may be."""


def failed(reason: str, line: int = 0, column: int = 0) -> Rejected:
    """The error for a file that is wrong at a line and a column, where they are known."""
    where = f"line {line}, column {column}: " if column else f"line {line}: " if line else ""
    return Rejected(f"failed to parse: {where}{reason}")


def too_long(line: int) -> Rejected:
    """The error for a line that does not end."""
    return failed(f"longer than {show_size(LONGEST)}", line)
