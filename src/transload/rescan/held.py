"""What is kept apart, looked at again: told, and never released by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from transload.errors import Missing, TransloadError
from transload.ledger.processing import Found
from transload.rescan.finds import Find, finds
from transload.rescan.scanners import Judged, Scanners, signature, view

if TYPE_CHECKING:
    from transload.config import Config
    from transload.ledger import Ledger
    from transload.ledger.quarantine import Apart
    from transload.rescan.scanners import Store


class Held(NamedTuple):
    """What is found now in one that is kept apart: "clean", "infected" (`told` is the signature) or "unknown" (`told` says why).

    `before` is the signature that was found in these bytes at any time before: they stay infected. `delivered` is where the same
    bytes went as other files.
    """

    apart: Apart
    found: str
    told: str
    before: str
    delivered: Sequence[Find]


def look_at_held(config: Config, ledger: Ledger, store: Store, apart: Sequence[Apart], who: str) -> Iterator[Held]:
    """Scan each of these from the quarantine's own copy, with the scan steps of its route now, else of those it was received under.

    What is found is in the ledger before it is given: the verdict, an event, and who asked.
    """
    scanners = Scanners(config, ledger)
    for one in apart:
        before = next((known for known in ledger.rescans.known([one.sha256]).get(one.sha256, ()) if known.found == "infected"), None)
        judged = _judged(ledger, store, scanners, one)
        ledger.rescans.tell(Found(one.arrival, one.sha256, verdict.what, verdict.found, verdict.facts) for verdict in judged.fresh)
        ledger.rescans.note(one.arrival, "rescanned", f"{_WORDS[judged.found]}{judged.told and f': {judged.told}'}, for {who}")
        ledger.hand.note(who, "rescan", str(one.arrival))
        bad = judged.told if judged.found == "infected" else signature(before.facts) if before else ""
        elsewhere = list(finds(ledger, one.sha256, bad)) if bad else []
        yield Held(one, judged.found, judged.told, signature(before.facts) if before else "", elsewhere)


def _judged(ledger: Ledger, store: Store, scanners: Scanners, one: Apart) -> Judged:
    scans = scanners.of(one.route, ledger.rescans.recipe_of(one.arrival))
    if not scans:
        return Judged("unknown", f"the route {one.route} has no scan step, and it was not received under one")
    try:
        with store.kept_apart(one.sha256) as path:
            return scanners.judge(view(one.arrival, one.route, one.size, one.sha256, path), scans)
    except Missing:
        return Judged("unknown", f"its bytes are not in the quarantine of this machine: they were put into that of {one.node}")
    except TransloadError as error:
        return Judged("unknown", str(error))


_WORDS = {"clean": "clean", "infected": "infected", "unknown": "not scanned"}
