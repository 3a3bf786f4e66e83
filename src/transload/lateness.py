"""Whether a route has received what it expects, by the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

from transload.expecting import Expect, Received, Verdict, deadline_before, horizon, judge
from transload.ledger.entries import below

if TYPE_CHECKING:
    from transload.config import Route
    from transload.ledger import Ledger
    from transload.ledger.notices import Came

_MOST = 100_000


def watch_of(route: Route) -> str:
    """The name under which it stands since when the route is watched: another expectation is watched anew."""
    told = route.expect.model_dump_json() if route.expect is not None else ""
    return f"expect/{route.name}/{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def lateness(ledger: Ledger, route: Route, watching: Mapping[str, int], at: int) -> Verdict | None:
    """Whether what the route expects has come; None where nothing is expected by a time, or nobody has begun to watch."""
    expect, since = route.expect, watching.get(watch_of(route))
    if expect is None or since is None or (expect.by is None and expect.every is None):
        return None
    since = horizon(expect, deadline_before(expect, since), at)
    return judge(expect, _received(ledger, route.name, expect, since, at), since, at)


def _received(ledger: Ledger, route: str, expect: Expect, since: int, now: int) -> list[Received]:
    """What came since then and has one of the names, the newest first; of what is expected every so often, no more than is needed."""
    found: list[Received] = []
    good = set()
    for came in islice(ledger.notices.came(route), _MOST):
        if came.at < since:
            break
        # What came by a clock that was ahead has come.
        one = _one(ledger, came._replace(at=min(came.at, now)), expect)
        if one.name not in expect.names(expect.local(one.at)) and not expect.dated():
            continue
        found.append(one)
        if expect.every is not None and not expect.misfit(one):
            good.add(one.name)
            if len(good) >= expect.at_least:
                break
    return found


def _one(ledger: Ledger, came: Came, expect: Expect) -> Received:
    name = below(came.path, came.folder)
    rows = None
    if expect.counts_rows() and came.sha256:
        known = ledger.processing.verdict("format", came.sha256)
        rows = int(known[1]["rows"]) if known is not None and "rows" in known[1] else None
    return Received(came.at, name, came.size, rows)
