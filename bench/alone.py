"""Only the steps of a config's one route: `python -m bench.alone CONFIG RESULT`.

Files are fetched, taken through their steps, and delivered, in batches as a worker does them, the steps in as many threads. What the
steps took is written to RESULT as JSON: `seconds`, from the first batch to the last, and `cpu`, of this process and those that the steps
started. It ends with 1 where a file is not delivered.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.engine.byhand import WORK, ByHand

from transload.keeper import Keeper
from transload.protocols import STEPS
from transload.workplace import Workplace


def main(config: Path, result: Path) -> int:
    """Do it."""
    with ByHand(config) as hand:
        work = hand.work
        names = [route.name for route in hand.config.routes]
        hand.ledger.looks.declare(names)
        hand.ledger.looks.ask(names)
        steps, count = next((name, count) for name, count in work.connections.items() if name.startswith(STEPS))
        _work_off(work, [name for name in work.connections if name != steps])
        begun, used = time.perf_counter(), _used()
        with ThreadPoolExecutor(count) as pool:
            for one in [pool.submit(_work_off, work, [steps]) for _ in range(count)]:
                one.result()
        told = {"seconds": time.perf_counter() - begun, "cpu": _used() - used}
        hand.work_off()
        states = set(hand.states().values())
    result.write_text(json.dumps(told))
    return 0 if states <= {"delivered", "split"} else 1


def _work_off(work: Workplace, places: list[str]) -> None:
    keeper = Keeper(work)
    while claims := [claim for place in places if (claim := keeper.take(place))]:
        for claim in claims:
            WORK[claim.kind](work, claim)
            work.ledger.claims.done(claim.id)


def _used() -> float:
    told = os.times()
    return told.user + told.system + told.children_user + told.children_system


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
