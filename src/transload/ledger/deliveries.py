"""Deliveries: staged, published, verified, tried again; and what is due at the source afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, text, update

from transload.ledger.claims import fence
from transload.ledger.database import Database, now
from transload.ledger.entries import Trouble, below, entry_of
from transload.ledger.memory import forget
from transload.ledger.plain import each, rows
from transload.ledger.schema import arrivals, deliveries, events, names
from transload.model import DeliveryState, Entry, Name, Receipt, Staged, Verify


class Due(NamedTuple):
    """A delivery to make, with all that its parcel needs."""

    id: int
    arrival: int
    target: str
    name: Name
    state: DeliveryState
    token: str | None
    key: str | None
    replace: bool
    attempts: int
    tried: int | None
    superseded: bool
    path: bytes
    version: int
    size: int
    modified: int | None
    sha256: str
    folder: str
    first_seen: int

    @property
    def source(self) -> Name:
        """What the source calls the file, below the route's folder."""
        return below(self.path, self.folder)


class Settling(NamedTuple):
    """A source file that may be removed or moved: every required destination has it."""

    id: int
    state: str
    attempts: int
    version: int
    entry: Entry


class Deliveries:
    """The life of a delivery, one transaction per call."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def due(self, claim: int) -> list[Due]:
        """The deliveries of a claim, oldest first."""
        with self._db.read() as connection:
            return [_due(row) for row in rows(connection, _DUE, claim)]

    def staged(self, claim: int, done: Sequence[Staged]) -> None:
        """These lie whole under their temporary names; written before any of them is published."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            each(connection, _STAGED, [(one.token, one.parcel.key, at, one.parcel.delivery, claim) for one in done])

    def delivered(self, claim: int, done: Sequence[tuple[Due, Receipt]], *, settle: bool) -> None:
        """These are visible and verified; an arrival whose required deliveries are all done is delivered, and its source to be settled."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            arrived = sorted({due.arrival for due, _ in done})
            _close_first(connection, arrived)
            each(connection, _DELIVERED, [(receipt.verified.value, receipt.etag, at, due.id) for due, receipt in done])
            log = [(due.arrival, due.target, at, "delivered", _checked(receipt)) for due, receipt in done]
            each(connection, "insert into events (arrival, target, at, what, detail) values (?, ?, ?, ?, ?)", log)
            close(connection, arrived, at, settle=settle)

    def swept(self, claim: int, ids: Sequence[int]) -> None:
        """What earlier tries of these left under temporary names is gone; until then it is remembered, however often we die."""
        with self._db.write() as connection:
            fence(connection, claim)
            connection.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(tried=None))

    def troubled(self, claim: int, troubles: Iterable[Trouble], *, settle: bool) -> None:
        """These could not be delivered: each is tried again at its time, or has failed (and with it its arrival, if it was required)."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            failed = []
            troubles = list(troubles)
            ended = [one.id for one in troubles if one.until is None]
            _close_first(connection, connection.execute(select(deliveries.c.arrival).where(deliveries.c.id.in_(ended))).scalars())
            for one in troubles:
                values: dict[str, Any] = {"reason": one.reason, "next_try": one.until, "claim": None, "updated": at}
                values["tried"] = func.coalesce(deliveries.c.tried, claim)
                values |= {"attempts": deliveries.c.attempts + one.spent} if one.spent else {}
                values |= {} if one.until is not None else {"state": "failed"}
                query = select(deliveries.c.arrival, deliveries.c.target, deliveries.c.reason).where(deliveries.c.id == one.id)
                row = connection.execute(query).one()
                connection.execute(update(deliveries).where(deliveries.c.id == one.id, deliveries.c.claim == claim).values(values))
                # That it goes on to wait for the same reason is no news.
                if one.until is None or row.reason != one.reason:
                    what = "held" if one.until is not None else "failed"
                    connection.execute(insert(events).values(arrival=row.arrival, target=row.target, at=at, what=what, detail=one.reason))
                failed += [row.arrival] if one.until is None else []
            close(connection, sorted(set(failed)), at, settle=settle)

    def superseded(self, claim: int, done: Sequence[Due], *, settle: bool) -> None:
        """A newer version has taken these names before they were delivered; they are owed no more."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            ids = [one.id for one in done]
            _close_first(connection, [one.arrival for one in done])
            reason = "a newer version took the name"
            connection.execute(
                update(deliveries).where(deliveries.c.id.in_(ids)).values(state="skipped", reason=reason, claim=None, updated=at)
            )
            connection.execute(
                insert(events),
                [{"arrival": one.arrival, "target": one.target, "at": at, "what": "skipped", "detail": reason} for one in done],
            )
            close(connection, sorted({one.arrival for one in done}), at, settle=settle)

    def renamed(self, claim: int, due: Due, other: Callable[[int], Name]) -> Name:
        """A file that the ledger does not know has this delivery's name: claim the next free one, and give it."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            self._db.alone(connection, "names")
            remote = connection.execute(select(deliveries.c.remote).where(deliveries.c.id == due.id)).scalar_one()
            number, name = 1, due.name
            while (
                connection.execute(select(names.c.arrival).where(names.c.remote == remote, names.c.name == name.raw)).first() is not None
                or name == due.name
            ):
                number += 1
                name = other(number)
            connection.execute(delete(names).where(names.c.remote == remote, names.c.name == due.name.raw, names.c.arrival == due.arrival))
            # The foreign file keeps its name in the ledger too, so that no later delivery tries it first.
            connection.execute(_FOREIGN, {"remote": remote, "name": due.name.raw})
            connection.execute(insert(names).values(remote=remote, name=name.raw, arrival=due.arrival, target=due.target))
            connection.execute(
                update(deliveries).where(deliveries.c.id == due.id).values(name=name.raw, text=name.text, state="owed", updated=at)
            )
            detail = f"another file has the name {due.name.text} there; it goes as {name.text}"
            connection.execute(insert(events).values(arrival=due.arrival, target=due.target, at=at, what="renamed", detail=detail))
        return name

    def settling(self, claim: int) -> list[Settling]:
        """The source files of a settle claim."""
        query = select(arrivals).where(arrivals.c.settle_claim == claim, arrivals.c.settle.in_(("owed", "begun"))).order_by(arrivals.c.id)
        with self._db.read() as connection:
            return [Settling(row.id, row.settle, row.attempts, row.version, entry_of(row)) for row in connection.execute(query)]

    def settle_begun(self, claim: int, ids: Sequence[int]) -> None:
        """These are about to be removed or moved; written before it is done."""
        self._settle(claim, ids, "begun", None, free=False)

    def settled(self, claim: int, ids: Sequence[int], what: str) -> None:
        """These were removed or moved; a new file of the same name is new."""
        self._settle(claim, ids, "done", what, free=True)

    def unsettled(self, claim: int, troubles: Iterable[Trouble]) -> None:
        """These could not be removed or moved: again later, or given up with the reason."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            for one in troubles:
                state = {} if one.until is not None else {"settle": "failed"}
                values = {"next_try": one.until, "settle_claim": None, "updated": at, "reason": one.reason} | state
                connection.execute(update(arrivals).where(arrivals.c.id == one.id, arrivals.c.settle_claim == claim).values(values))
                detail = f"source not settled: {one.reason}"
                connection.execute(
                    insert(events).values(arrival=one.id, at=at, what="held" if one.until is not None else "unsettled", detail=detail)
                )

    def _settle(self, claim: int, ids: Sequence[int], state: str, detail: str | None, *, free: bool) -> None:
        if not ids:
            return
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            values: dict[str, Any] = {"settle": state, "updated": at} | (
                {"settle_claim": None, "next_try": None, "reason": None} if free else {}
            )
            connection.execute(update(arrivals).where(arrivals.c.id.in_(ids), arrivals.c.settle_claim == claim).values(values))
            if detail:
                connection.execute(insert(events), [{"arrival": one, "at": at, "what": "settled", "detail": detail} for one in ids])
                forget(connection, ids)


def _checked(receipt: Receipt) -> str:
    return "it was told" if receipt.verified is Verify.NONE else f"verified: {receipt.verified.value}"


def _close_first(connection: Connection, ids: Iterable[int]) -> None:
    """Take hold of these arrivals, in order: two whose last deliveries end at once would each see the other's still open."""
    if connection.dialect.name != "sqlite":
        rows(connection, "select id from arrivals where id in ? order by id for update", sorted(set(ids)))


def close(connection: Connection, ids: Sequence[int], at: int, *, settle: bool) -> None:
    """Settle the state of these arrivals, if nothing required of them is open any more."""
    if not ids:
        return
    over = list(rows(connection, _OVER, ids))
    failed = [(at, "failed", "a required delivery failed", number) for number, bad in over if bad]
    good = [number for number, bad in over if not bad]
    each(connection, _FAIL, [(at, number) for *_, number in failed])
    if good:
        rows(connection, _CLOSE, "owed" if settle else "none", at, good)
    log = [(at, "delivered", "every required destination has it", number) for number in good]
    log += _close_parents(connection, ids, at, settle=settle)
    each(connection, "insert into events (at, what, detail, arrival) values (?, ?, ?, ?)", failed + log)


def _close_parents(connection: Connection, ids: Sequence[int], at: int, *, settle: bool) -> list[tuple[int, str, str, int]]:
    """What was made of these arrivals' parents is all delivered: their sources are to be settled. Gives the events."""
    whole = [row[0] for row in rows(connection, _PARENTS, list(ids), list(ids))]
    if whole:
        rows(connection, "update arrivals set settle = ?, updated = ? where id in ?", "owed" if settle else "kept", at, whole)
    return [(at, "delivered", "all that was made of it is delivered", number) for number in whole]


def _due(row: Any) -> Due:
    number, arrival, target, name, state, token, key, replace, attempts, tried, held, *facts = row
    gone = bool(replace) and held is not None and held != facts[4]
    return Due(number, arrival, target, Name(name), DeliveryState(state), token, key, bool(replace), attempts, tried, gone, *facts)


# Who holds a name matters only to those that would replace another's file.
_DUE = (
    "select d.id, d.arrival, d.target, d.name, d.state, d.token, d.key, d.replace, d.attempts, d.tried, h.sha256, "
    "a.path, a.version, a.size, a.modified, a.sha256, a.folder, a.first_seen from deliveries d join arrivals a on a.id = d.arrival "
    "left join names n on d.replace and n.remote = d.remote and n.name = d.name left join arrivals h on h.id = n.arrival "
    "where d.claim = ? and d.state in ('owed', 'staged') order by d.id"
)
_STAGED = "update deliveries set state = 'staged', token = ?, key = ?, updated = ? where id = ? and claim = ?"
_DELIVERED = (
    "update deliveries set state = 'delivered', verified = ?, etag = ?, updated = ?, claim = null, reason = null, next_try = null "
    "where id = ?"
)
_OVER = (
    "select a.id, exists (select 1 from deliveries d where d.arrival = a.id and d.required and d.state = 'failed') from arrivals a "
    "where a.state = 'ready' and not exists (select 1 from deliveries d where d.arrival = a.id and d.required "
    "and d.state in ('owed', 'staged')) and a.id in ?"
)
_CLOSE = (
    "update arrivals set state = 'delivered', reason = null, settle = case when parent is null then ? else 'none' end, updated = ? "
    "where id in ?"
)
_PARENTS = (
    "select a.id from arrivals a where a.state = 'split' and a.settle = 'none' and not exists (select 1 from arrivals o "
    "where o.parent = a.id and o.state not in ('delivered', 'skipped')) and not exists (select 1 from deliveries d "
    "where d.arrival = a.id and d.required and d.state <> 'delivered') "
    "and (a.id in ? or a.id in (select parent from arrivals where id in ?))"
)
_FAIL = (
    "update arrivals set state = 'failed', updated = ?, reason = (select d.reason from deliveries d where d.arrival = arrivals.id "
    "and d.required and d.state = 'failed' order by d.id limit 1) where id = ?"
)
_FOREIGN = text(
    "insert into names (remote, name, arrival, target) values (:remote, :name, 0, '') "
    "on conflict (remote, name) do update set arrival = 0, target = ''"
)
