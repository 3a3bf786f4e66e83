"""Arrivals: fetched, received with what they owe, tried again, failed, skipped, settled."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, case, delete, exists, insert, or_, select, update

from transload.ledger.claims import Claim, fence, new_claim
from transload.ledger.database import Database, now
from transload.ledger.entries import KEEP_RECIPE, Received, Trouble, Wanted, below
from transload.ledger.memory import end, forget, taken, tell_of
from transload.ledger.owing import owe
from transload.ledger.plain import each, rows
from transload.ledger.schema import arrivals, deliveries, events, known
from transload.model import Entry
from transload.protocols import SERVER

_GRACE = 15_000_000
"""How long (microseconds) a node may be away, to be started anew, before its files are fetched again."""
_AGAIN = 5_000_000
"""How long the answer holds that no such node is known: it takes a look at everything that is not delivered."""


class Arrivals:
    """The life of an arrival, one transaction per call."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._stranded: tuple[Collection[str], int] = (), 0

    def wanted(self, claim: int) -> list[Wanted]:
        """The arrivals of a fetch claim, in the order that they were found."""
        with self._db.read() as connection:
            return [
                Wanted(
                    row[0],
                    row[1],
                    row[2],
                    row[3],
                    row[4],
                    Entry(row[5], below(row[6], row[5]), row[7], row[8], row[9], row[10], settles=False, link=row[11]),
                    row[12],
                )
                for row in rows(connection, _WANTED, claim)
            ]

    def received(  # noqa: PLR0913 - each is named where it is called
        self,
        claim: int | None,
        route: str,
        source: str,
        node: str,
        got: Sequence[Received],
        *,
        skip_same: bool,
        worker: str,
        deliver: Collection[str],
        recipe: tuple[str, str] | None = None,
    ) -> Outcome:
        """In one transaction: these bytes are ours, and these deliveries are owed; with a `recipe` (digest, steps) its steps come first.

        Bytes that the latest version already has are no new version: only what is remembered is updated. `skip_same`
        skips bytes that another name of the route brought already. Deliveries to the remotes of `deliver` come back as
        claims in the hands of `worker`, to be made on the spot. Raises Lost when the claim was taken away.
        """
        at = now()
        outcome = Outcome()
        with self._db.write() as connection:
            if claim is not None:
                fence(connection, claim)
            versions = self._versions(connection, claim, got)
            # Without those that a person has skipped meanwhile.
            got = [one for one in got if one.arrival in versions]
            before = self._latest(connection, route, source, [one.entry.path for one in got if versions[one.arrival] > 1])
            fresh = [one for one in got if before.get(one.entry.path) != one.spooled.sha256]
            same = [one for one in got if before.get(one.entry.path) == one.spooled.sha256]
            twins = self._twins(connection, route, fresh)
            skipped = [one for one in fresh if skip_same and one.arrival in twins and one.spooled.size]
            mine = {one.arrival for one in skipped}
            kept = [one for one in fresh if one.arrival not in mine]
            self._take(connection, route, source, kept, twins, (node, at, "received" if recipe else "ready"))
            self._take(connection, route, source, skipped, twins, (node, at, "skipped"))
            self._forget_unchanged(connection, route, source, same, at)
            outcome.claims = self._on_the_spot(connection, worker, route, kept, deliver, at)
            outcome.owed = owe(self._db, connection, route, kept, {claim.remote: claim.id for claim in outcome.claims}, at)
            end(connection, "failed", outcome.owed.refused, at)
            if recipe:
                rows(connection, KEEP_RECIPE, *recipe, at)
                each(connection, "update arrivals set recipe = ? where id = ?", [(recipe[0], one.arrival) for one in kept])
            else:
                end(connection, "skipped", {one.arrival: "no destination takes it" for one in kept if not one.owed}, at)
        outcome.unchanged, outcome.duplicates, outcome.taken = len(same), len(skipped), [one.arrival for one in kept]
        return outcome

    def _versions(self, connection: Connection, claim: int | None, got: Sequence[Received]) -> dict[int, int]:
        if claim is not None:
            return dict(
                tuple(row) for row in rows(connection, "select id, version from arrivals where claim = ? and state = 'seen'", claim)
            )
        ids = [one.arrival for one in got]
        return dict(tuple(row) for row in rows(connection, "select id, version from arrivals where state = 'seen' and id in ?", ids))

    def _on_the_spot(
        self, connection: Connection, worker: str, route: str, kept: Sequence[Received], deliver: Collection[str], at: int
    ) -> list[Claim]:
        made = []
        for remote in sorted({owed.remote for one in kept for owed in one.owed} & set(deliver)):
            row = {"kind": "deliver", "route": route, "remote": remote, "worker": worker, "begun": at}
            number = new_claim(connection, row)
            made.append(Claim(number, "deliver", route, remote, worker))
        return made

    def _latest(self, connection: Connection, route: str, source: str, paths: list[bytes]) -> dict[bytes, str | None]:
        """The hash of the version before, of each path that had one."""
        if not paths:
            return {}
        # The file that was settled is gone: one that comes after it is owed again, whatever its bytes.
        found = sorted(rows(connection, _LATEST, route, source, paths), key=lambda row: int(row[3]))
        return {path: None if settle == "done" else sha256 for path, sha256, settle, _ in found}

    def _twins(self, connection: Connection, route: str, got: Sequence[Received]) -> dict[int, int]:
        """For each arrival whose bytes the route has seen under another name: the first arrival with them."""
        first: dict[str, int] = {}
        for sha256, number, its in rows(connection, _FIRST, list({one.spooled.sha256 for one in got})):
            if its == route:
                first[sha256] = min(number, first.get(sha256, number))
        twins = {}
        for one in got:
            other = first.setdefault(one.spooled.sha256, one.arrival)
            if other != one.arrival:
                twins[one.arrival] = other
        return twins

    def _take(
        self,
        connection: Connection,
        route: str,
        source: str,
        got: Sequence[Received],
        twins: Mapping[int, int],
        how: tuple[str, int, str],
    ) -> None:
        node, at, state = how
        taken, log, memory = [], [], []
        for one in got:
            entry, spooled, number = one.entry, one.spooled, one.arrival
            twin = twins.get(number)
            reason = f"same bytes as arrival {twin}" if state == "skipped" else None
            told = (entry.modified, entry.precision, entry.etag)
            taken.append((spooled.size, *told, spooled.sha256, twin, state, reason, node, at, number))
            detail = f"{spooled.size} bytes" + (f", the same as of {twin}" if twin else "")
            owing = ", ".join(owed.target for owed in one.owed)
            log.append((number, at, "received", f"{detail}; owed to {owing}" if owing and reason is None else detail))
            if reason is not None:
                log.append((number, at, state, reason))
            memory.append((entry.size, *told, route, source, entry.path, number))
        each(connection, _TAKE, taken)
        each(connection, _REMEMBER, memory)
        each(connection, "insert into events (arrival, at, what, detail) values (?, ?, ?, ?)", log)

    def _forget_unchanged(self, connection: Connection, route: str, source: str, same: Sequence[Received], at: int) -> None:
        """Bytes that were there already: the row made for them goes, the arrival that has them is told of the new time."""
        for one in same:
            query = select(arrivals).where(
                arrivals.c.route == route,
                arrivals.c.source == source,
                arrivals.c.path == one.entry.path,
                arrivals.c.sha256 == one.spooled.sha256,
            )
            older = connection.execute(query.order_by(arrivals.c.version.desc()).limit(1)).one()
            if (older.modified, older.etag) != (one.entry.modified, one.entry.etag):
                connection.execute(
                    update(arrivals).where(arrivals.c.id == older.id).values(modified=one.entry.modified, etag=one.entry.etag)
                )
                connection.execute(insert(events).values(arrival=older.id, at=at, what="touched", detail="a new time, the same bytes"))
            connection.execute(delete(events).where(events.c.arrival == one.arrival))
            connection.execute(delete(arrivals).where(arrivals.c.id == one.arrival))
            here = (known.c.route == route) & (known.c.source == source) & (known.c.path == one.entry.path)
            facts = {"size": one.entry.size, "modified": one.entry.modified, "precision": one.entry.precision, "etag": one.entry.etag}
            connection.execute(update(known).where(here).values(arrival=older.id, version=older.version, taken=True, **facts))

    def back(self, claim: int, node: str, ids: Sequence[int]) -> None:
        """The bytes of these, which lay on a node that is away, are here now; what they still owe is due here."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            mine = arrivals.c.id.in_(ids) & (arrivals.c.claim == claim)
            # What owes nothing yet but a word to its hook has not been through its steps.
            owes = exists().where(deliveries.c.arrival == arrivals.c.id, deliveries.c.target != "@hook")
            state = case((arrivals.c.recipe.is_not(None) & ~owes, "received"), else_="ready")
            connection.execute(
                update(arrivals).where(mine).values(state=state, node=node, claim=None, reason=None, next_try=None, updated=at)
            )
            connection.execute(
                insert(events), [{"arrival": one, "at": at, "what": "fetched again", "detail": f"now on {node}"} for one in ids]
            )

    def strand(self, nodes: Collection[str]) -> int:
        """What lies undelivered on a node that is none of `nodes` (all those alive) is to be fetched again; gives how many."""
        at = now()
        gone = arrivals.c.state.in_(("ready", "received")) & arrivals.c.node.not_in(nodes) & (arrivals.c.updated < at - _GRACE)
        # What our own servers received, and what was made of a file, cannot be fetched again: it waits for its node.
        gone &= (arrivals.c.source != SERVER) & arrivals.c.parent.is_(None)
        owing = exists().where(deliveries.c.arrival == arrivals.c.id, deliveries.c.state.in_(("owed", "staged")))
        query = select(arrivals.c.id, arrivals.c.node).where(gone, or_(owing, arrivals.c.state == "received"))
        if nodes == self._stranded[0] and at - self._stranded[1] < _AGAIN:
            return 0
        self._stranded = nodes, at
        with self._db.read() as connection:
            if connection.execute(query.limit(1)).first() is None:
                return 0
        with self._db.write() as connection:
            rows = connection.execute(query.with_for_update(skip_locked=True, of=arrivals)).all()
            reason = "its bytes lie on a node that is away: fetched again"
            connection.execute(
                update(arrivals).where(arrivals.c.id.in_([row.id for row in rows])).values(state="seen", reason=reason, updated=at)
            )
            connection.execute(
                insert(events), [{"arrival": row.id, "at": at, "what": "stranded", "detail": f"on {row.node}"} for row in rows]
            )
        return len(rows)

    def troubled(self, claim: int, troubles: Iterable[Trouble]) -> None:
        """These files could not be fetched: each is tried again at its time, or has failed."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            for one in troubles:
                tell_of(connection, one, at)
                values: dict[str, Any] = {"reason": one.reason, "next_try": one.until, "claim": None, "updated": at}
                values |= {"attempts": arrivals.c.attempts + one.spent} if one.spent else {}
                values |= {} if one.until is not None else {"state": one.state}
                connection.execute(update(arrivals).where(arrivals.c.id == one.id, arrivals.c.claim == claim).values(values))
                if one.until is None:
                    taken(connection, [one.id])

    def gone(self, claim: int, ids: Sequence[int], reason: str) -> None:
        """These were not there any more when they were to be fetched: not ours, and forgotten by the look."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            connection.execute(
                update(arrivals)
                .where(arrivals.c.id.in_(ids), arrivals.c.claim == claim)
                .values(state="skipped", reason=reason, claim=None, updated=at)
            )
            forget(connection, ids)
            connection.execute(insert(events), [{"arrival": one, "at": at, "what": "skipped", "detail": reason} for one in ids])


class Outcome:
    """What `received` did: deliveries owed, bytes known already, duplicates skipped."""

    def __init__(self) -> None:
        from transload.ledger.owing import Owing

        self.owed = Owing()
        self.unchanged = 0
        self.duplicates = 0
        self.taken: list[int] = []
        self.claims: list[Claim] = []


_WANTED = (
    "select id, source, version, attempts, first_seen, folder, path, size, modified, precision, etag, link, sha256 "
    "from arrivals where claim = ? and state = 'seen' order by id"
)
_LATEST = "select path, sha256, settle, version from arrivals where route = ? and source = ? and sha256 is not null and path in ?"
_FIRST = "select sha256, id, route from arrivals where same_as is null and sha256 in ?"
_TAKE = (
    "update arrivals set size = ?, modified = ?, precision = ?, etag = ?, sha256 = ?, same_as = ?, state = ?, reason = ?, node = ?, "
    "updated = ?, claim = null, next_try = null, deaths = 0 where id = ?"
)
_REMEMBER = (
    "update known set taken = true, size = ?, modified = ?, precision = ?, etag = ? "
    "where route = ? and source = ? and path = ? and arrival = ?"
)
