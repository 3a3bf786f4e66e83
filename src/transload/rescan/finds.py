"""Where bad bytes went: every arrival that has them, every destination that got it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transload.ledger import Ledger, Row
    from transload.ledger.rescans import Bearer
    from transload.ledger.view import Delivered

_PAGE = 200
_NAMED = 5
GOES = ("delivered", "owed", "staged")


class Part(NamedTuple):
    """A file that was made of another, and where it went."""

    row: Row
    copies: Sequence[Delivered]


class Find(NamedTuple):
    """An arrival with bad bytes that was delivered, or is to be; `made` is what was made of it, a member of an archive for instance.

    `parent` is the arrival that it was itself made of. With `released` somebody had let it on, knowing.
    """

    row: Row
    signature: str
    parent: int | None
    released: bool
    copies: Sequence[Delivered]
    made: Sequence[Part]


def finds(ledger: Ledger, sha256: str, signature: str) -> Iterator[Find]:
    """All that these bytes came as and went to, whenever that was; each is told in the ledger, once."""
    after = 0
    while page := ledger.rescans.bearers(sha256, after, _PAGE):
        after = page[-1].row.id
        found = [_find(ledger, one, signature) for one in page]
        ledger.rescans.accuse([(one.row.id, told(one)) for one in found if not one.released])
        yield from found


def _find(ledger: Ledger, one: Bearer, signature: str) -> Find:
    made = ledger.rescans.made_of(one.row.id) if one.row.state == "split" else ()
    parts = [Part(row, _copies(ledger, row.id)) for row in made]
    return Find(one.row, signature, one.parent, one.released, _copies(ledger, one.row.id), parts)


def _copies(ledger: Ledger, arrival: int) -> list[Delivered]:
    return [one for one in ledger.view.deliveries(arrival) if one.state in GOES]


def told(find: Find) -> str:
    """A find in one line, for the ledger and for alerts."""
    words = [f"rescanned: {find.signature}"]
    for part, as_what in ((Part(find.row, find.copies), ""), *((part, f" as {part.row.text}") for part in find.made[:_NAMED])):
        for word, states in (("delivered", GOES[:1]), ("still owed", GOES[1:])):
            where = ", ".join(f"{one.remote}:{one.text}" for one in part.copies if one.state in states)
            words += [f"{word}{as_what} to {where}"] if where else []
    if len(find.made) > _NAMED:
        words.append(f"and {len(find.made) - _NAMED:,} more files that were made of it")
    return "; ".join(words)
