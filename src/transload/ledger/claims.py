"""Claims: batches of work in somebody's hands, numbered so that a zombie can do no harm."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, false, insert, or_, select, update

from transload.errors import Transient
from transload.ledger.database import Database, now
from transload.ledger.plain import rows
from transload.ledger.schema import arrivals, claims, deliveries, events, still_open, unsettled
from transload.ledger.suspects import ALONE_AFTER, Suspects

POISON_AFTER = 4
ELSEWHERE = "the route has another source now: put the old one back, or skip the file"
ASTRAY = "the route no longer has this destination: put it back, or skip the file"


class Lost(Transient):
    """This claim was given to another worker; what was done with it is not recorded."""


class Claim(NamedTuple):
    """A batch: what is to be done, for which route, over which remote."""

    id: int
    kind: str
    route: str
    remote: str
    worker: str
    begun: int = 0


_ROW = (claims.c.id, claims.c.kind, claims.c.route, claims.c.remote, claims.c.worker, claims.c.begun)


def fence(connection: Connection, claim: int) -> None:
    """Raise Lost unless `claim` is still open; on PostgreSQL it stays so until the transaction ends."""
    held = rows(connection, _HELD if connection.dialect.name == "sqlite" else f"{_HELD} for share", claim)
    if held.first() is None:
        message = f"claim {claim} was taken away: this process was thought dead"
        raise Lost(message)


def new_claim(connection: Connection, row: dict[str, Any]) -> int:
    """Write a claim; gives its number."""
    return int(connection.execute(insert(claims).values(row).returning(claims.c.id)).scalar_one())


class Claims:
    """Taking, ending and taking away of batches."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._turn = threading.Lock()
        self._suspects = Suspects()

    def fetch(self, worker: str, route: str, remote: str, *, files: int, size: int, spread: int = 1) -> Claim | None:
        """A batch of the arrivals of `route` that are due to be fetched, in this worker's hands; None when there are none.

        At most `files` and `size` bytes, and a `spread`-th of what is due.
        """
        return self._take(Claim(0, "fetch", route, remote, worker), _FETCH, (route, now(), remote), files, size, spread)

    def deliver(self, worker: str, route: str, remote: str, *, node: str | None, files: int, size: int, spread: int = 1) -> Claim | None:
        """A batch of the deliveries that `route` owes to `remote`; with `node`, only of bytes that lie there."""
        like = Claim(0, "deliver", route, remote, worker)
        if node is None:
            return self._take(like, _DELIVER, (route, remote, now()), files, size, spread)
        return self._take(like, _DELIVER_HERE, (route, remote, now(), node), files, size, spread)

    def process(self, worker: str, route: str, remote: str, *, node: str, files: int, size: int, spread: int = 1) -> Claim | None:
        """A batch of the arrivals of `route` that wait for their steps and lie on `node`; `remote` is the place of the work."""
        return self._take(Claim(0, "process", route, remote, worker), _PROCESS, (route, now(), node), files, size, spread)

    def settle(self, worker: str, route: str, remote: str, *, files: int, node: str | None = None) -> Claim | None:
        """A batch of the source files of `route` that may be removed or moved now; with `node`, only of what arrived there."""
        like = Claim(0, "settle", route, remote, worker)
        if node is None:
            return self._take(like, _SETTLE, (route, now(), remote), files, 0)
        return self._take(like, _SETTLE_HERE, (route, now(), remote, node), files, 0)

    def _take(self, like: Claim, query: str, values: tuple[Any, ...], files: int, size: int, spread: int = 1) -> Claim | None:
        with self._db.read() as connection:
            ahead = len(rows(connection, f"{query} limit {int(files) * spread if spread > 1 else 1}", *values).all())
        if not ahead:
            return None
        if spread > 1:
            files = -(-ahead // spread)
        with self._turn, self._db.write() as connection:
            if self._suspects.keep_from(connection, like.worker):
                return None
            table = "deliveries" if like.kind == "deliver" else "arrivals"
            lock = "" if self._db.sqlite else f" for update of {table} skip locked"
            sound = _batch(rows(connection, f"{query.replace(_ANY, _SOUND)} limit {int(files)}{lock}", *values), size)
            suspect = None
            if not sound or self._suspects.waited_long(like.worker):
                suspect = rows(connection, f"{query.replace(_ANY, _SUSPECT)} limit 1{lock}", *values).first()
            if suspect and not self._suspects.may_go(connection, like.worker):
                suspect = None
            batch = [suspect[0]] if suspect else sound
            if not batch:
                return None
            row = {"kind": like.kind, "route": like.route, "remote": like.remote, "worker": like.worker, "begun": now()}
            number = new_claim(connection, row)
            column = "settle_claim" if like.kind == "settle" else "claim"
            rows(connection, f"update {table} set {column} = ? where id in ?", number, batch)  # noqa: S608
            if suspect:
                self._suspects.goes(like.worker, number)
        return like._replace(id=number)

    def due(self, routes: Sequence[str], node: str) -> list[tuple[str, str, str, int, int]]:
        """What could be taken now, as (kind, route, remote or nothing for the source, files, bytes); steps only of what lies on `node`."""
        at, found = now(), []
        with self._db.read() as connection:
            for kind, query in (("fetch", _DUE_FETCH), ("settle", _DUE_SETTLE), ("deliver", _DUE_DELIVER)):
                for route, remote, files, size in rows(connection, query, list(routes), at):
                    found.append((kind, route, remote, int(files), int(size)))
            for route, remote, files, size in rows(connection, _DUE_PROCESS, list(routes), at, node):
                found.append(("process", route, remote, int(files), int(size)))
        return found

    def done(self, claim: int, *, died: bool = False) -> None:
        """The batch is over; what it left undone is due again. `died` counts against the files that were in it."""
        with self._db.write() as connection:
            _let_go(connection, claim, died=died)
            if died:
                _fail_poison(connection)

    def elsewhere(self, route: str, source: str, until: int) -> None:
        """What was seen at another remote than `source`, before the route was changed, waits with the reason; what is there no more.

        The same path at another remote is another file: it is neither fetched nor removed in its place.
        """
        fetching = (arrivals.c.state == "seen") & arrivals.c.claim.is_(None)
        settling = (
            arrivals.c.settle.in_(("owed", "begun")) & arrivals.c.state.in_(("delivered", "split")) & arrivals.c.settle_claim.is_(None)
        )
        mine = (arrivals.c.route == route) & or_(fetching, settling)
        back = mine & (arrivals.c.source == source) & (arrivals.c.reason == ELSEWHERE)
        lost = mine & (arrivals.c.source != source)
        with self._db.read() as connection:
            if connection.execute(select(arrivals.c.id).where(back | lost).limit(1)).first() is None:
                return
        with self._db.write() as connection:
            connection.execute(update(arrivals).where(back).values(next_try=None, reason=None))
            connection.execute(update(arrivals).where(lost).values(next_try=until, attempts=0, reason=ELSEWHERE))

    def astray(self, route: str, targets: Mapping[str, str], until: int) -> None:
        """What is owed to destinations that are none of `targets` (id to remote) waits, with the reason; what is to others no more."""
        there = or_(false(), *(and_(deliveries.c.target == target, deliveries.c.remote == remote) for target, remote in targets.items()))
        mine = (deliveries.c.route == route) & deliveries.c.state.in_(("owed", "staged")) & deliveries.c.claim.is_(None)
        back = mine & there & (deliveries.c.reason == ASTRAY)
        lost = mine & ~there
        with self._db.read() as connection:
            if connection.execute(select(deliveries.c.id).where(back | lost).limit(1)).first() is None:
                return
        with self._db.write() as connection:
            connection.execute(update(deliveries).where(back).values(next_try=None, reason=None))
            connection.execute(update(deliveries).where(lost).values(next_try=until, reason=ASTRAY))

    def open(self) -> list[Claim]:
        """Every batch in somebody's hands."""
        with self._db.read() as connection:
            return [Claim(*row) for row in connection.execute(select(*_ROW).order_by(claims.c.id))]

    def died(self, workers: Iterable[str]) -> int:
        """Take away all claims of dead workers; a file that was in hand at several deaths goes alone, then fails. Gives how many."""
        with self._db.write() as connection:
            theirs = select(claims.c.id).where(claims.c.worker.in_(list(workers))).order_by(claims.c.id)
            gone = list(connection.execute(theirs).scalars())
            for claim in gone:
                _let_go(connection, claim, died=True)
            _fail_poison(connection)
        return len(gone)


def _batch(rows: Iterable[Any], size: int) -> list[int]:
    """The first of the rows of (id, size) that fit into one batch."""
    batch: list[int] = []
    room = size
    for number, weight in rows:
        if batch and (weight or 0) > room:
            break
        batch.append(number)
        room -= weight or 0
    return batch


def _let_go(connection: Connection, claim: int, *, died: bool) -> None:
    # The claim goes first: who is just recording something with it holds it (see fence), and is waited for without any row in hand.
    rows(connection, "delete from claims where id = ?", claim)
    more = 1 if died else 0
    rows(connection, "update arrivals set claim = null, deaths = deaths + ? where claim = ?", more, claim)
    rows(connection, "update arrivals set settle_claim = null, deaths = deaths + ? where settle_claim = ?", more, claim)
    rows(
        connection,
        "update deliveries set claim = null, tried = coalesce(tried, ?), deaths = deaths + ? where claim = ?",
        claim, more, claim,
    )  # fmt: skip
    # A look that was cut is due again at once.
    rows(connection, "update passes set claim = null, asked = ? where claim = ?", now(), claim)


def _fail_poison(connection: Connection) -> None:
    at, reason = now(), f"the process died {POISON_AFTER} times with this file in hand"
    bad = list(
        connection.execute(
            select(arrivals.c.id).where(arrivals.c.state.in_(("seen", "received")), arrivals.c.deaths >= POISON_AFTER)
        ).scalars()
    )
    owed = select(deliveries.c.id, deliveries.c.arrival, deliveries.c.target, deliveries.c.required)
    rows = connection.execute(owed.where(still_open, deliveries.c.deaths >= POISON_AFTER)).all()
    for row in rows:
        connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(state="failed", reason=reason, updated=at))
        connection.execute(insert(events).values(arrival=row.arrival, target=row.target, at=at, what="failed", detail=reason))
        bad += [row.arrival] if row.required else []
    over = (arrivals.c.state + "").in_(("delivered", "split"))
    stuck = select(arrivals.c.id).where(unsettled, over, arrivals.c.deaths >= POISON_AFTER)
    for number in list(connection.execute(stuck).scalars()):
        connection.execute(update(arrivals).where(arrivals.c.id == number).values(settle="failed", reason=reason, updated=at))
        connection.execute(insert(events).values(arrival=number, at=at, what="unsettled", detail=f"source not settled: {reason}"))
    for number in bad:
        connection.execute(update(arrivals).where(arrivals.c.id == number).values(state="failed", reason=reason, updated=at))
        connection.execute(insert(events).values(arrival=number, at=at, what="failed", detail=reason))


_HELD = "select id from claims where id = ?"
_DUE = "(next_try is null or next_try <= ?)"
# (The empty text keeps SQLite from going through all that was ever delivered.)
_ANY = "deaths >= 0"
_SOUND, _SUSPECT = f"deaths < {ALONE_AFTER}", f"deaths >= {ALONE_AFTER}"
_WAITING = f"from arrivals where state = 'received' and route in ? and claim is null and {_DUE} and node = ?"
_SEEN = f"from arrivals where state = 'seen' and route in ? and claim is null and {_DUE}"
_OVER = "state || '' in ('delivered', 'split')"
_DONE = f"from arrivals where settle in ('owed', 'begun') and route in ? and settle_claim is null and {_DUE} and {_OVER}"
_DUE_FETCH = f"select route, '', count(*), coalesce(sum(size), 0) {_SEEN} group by route"
_DUE_PROCESS = f"select route, '', count(*), coalesce(sum(size), 0) {_WAITING} group by route"
_PROCESS = f"select id, size {_WAITING} and {_ANY} order by id".replace("route in ?", "route = ?")
_DUE_SETTLE = f"select route, '', count(*), 0 {_DONE} group by route"
_DUE_DELIVER = (
    "select d.route, d.remote, count(*), coalesce(sum(a.size), 0) from deliveries d join arrivals a on a.id = d.arrival "
    "where d.state in ('owed', 'staged') and d.route in ? and d.claim is null and (d.next_try is null or d.next_try <= ?) "
    "group by d.route, d.remote"
)
_FETCH = f"select id, size {_SEEN} and source = ? and {_ANY} order by id".replace("route in ?", "route = ?")
_SETTLE = f"select id, 0 {_DONE} and source = ? and {_ANY} order by id".replace("route in ?", "route = ?")
_SETTLE_HERE = _SETTLE.replace("order by id", "and node = ? order by id")
# Where a file is to replace another, the older of them goes first; which have to wait is asked only of those.
_DELIVERABLE = (
    "select deliveries.id, a.size from deliveries join arrivals a on a.id = deliveries.arrival "
    "where deliveries.state in ('owed', 'staged') and deliveries.route = ? and deliveries.remote = ? and deliveries.claim is null "
    "and (deliveries.next_try is null or deliveries.next_try <= ?) and (not deliveries.replace or not exists (select 1 "
    "from deliveries o where o.state in ('owed', 'staged') and o.replace and o.remote = deliveries.remote and o.name = deliveries.name "
    "and o.id < deliveries.id)) and deliveries.deaths >= 0"
)
_DELIVER = f"{_DELIVERABLE} order by deliveries.id"
_DELIVER_HERE = f"{_DELIVERABLE} and a.node = ? order by deliveries.id"
