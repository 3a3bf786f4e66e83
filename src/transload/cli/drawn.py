"""Tables as a terminal shows them."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLOURS = {
    "delivered": "green",
    "failed": "red",
    "quarantined": "red",
    "seen": "yellow",
    "received": "yellow",
    "ready": "yellow",
    "skipped": "dim",
    "fetch": "green",
    "deliver": "green",
    "wait": "yellow",
    "skip": "dim",
}


def draw(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
    """Draw a table, fitted to the window; the words of states have colours."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for at, head in enumerate(heads):
        drawn.add_column(head, justify="right" if at in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    Console().print(drawn)
