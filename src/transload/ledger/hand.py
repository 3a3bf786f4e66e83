"""What people do by hand: skip, retry; each with its entry in the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from transload.errors import Missing
from transload.ledger.database import Database, now
from transload.ledger.entries import KEEP_RECIPE
from transload.ledger.memory import taken
from transload.ledger.plain import each
from transload.ledger.quarantine import decided
from transload.ledger.schema import arrivals, audit, deliveries, events, still_open


class Hand:
    """Acts of people; every one is one transaction, with who, what and why."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def note(self, who: str, what: str, subject: str, reason: str | None = None) -> None:
        """Write an act into the audit."""
        with self._db.write() as connection:
            connection.execute(insert(audit).values(at=now(), who=who, what=what, subject=subject, reason=reason))

    def skip(self, number: int, who: str, why: str) -> None:
        """This arrival is wanted no more; its open deliveries are skipped with it. Missing when there is none of that number."""
        at = now()
        with self._db.write() as connection:
            row = connection.execute(select(arrivals.c.id).where(arrivals.c.id == number).with_for_update()).first()
            if row is None:
                message = f"there is no arrival {number}"
                raise Missing(message)
            reason = f"skipped by {who}: {why}"
            connection.execute(
                update(arrivals)
                .where(arrivals.c.id == number)
                .values(state="skipped", reason=reason, next_try=None, claim=None, updated=at)
            )
            open_ = deliveries.c.state.in_(("owed", "staged", "failed"))
            connection.execute(
                update(deliveries)
                .where(deliveries.c.arrival == number, open_)
                .values(state="skipped", reason=reason, claim=None, updated=at)
            )
            taken(connection, [number])
            decided(connection, number, "discarded", who, why, at)
            connection.execute(insert(events).values(arrival=number, at=at, what="skipped", detail=reason))
            connection.execute(insert(audit).values(at=at, who=who, what="skip", subject=str(number), reason=why))

    def retry(self, numbers: Sequence[int], who: str, recipes: Mapping[str, tuple[str, str]] | None = None) -> list[int]:
        """Try these again now: what failed or is held is due at once. Gives those for which there was something to do.

        What has not come through its steps goes through those that `recipes` has for its route: a scanner or a password may
        have been put right.
        """
        at = now()
        done = []
        recipes = recipes or {}
        with self._db.write() as connection:
            each(connection, KEEP_RECIPE, [(*recipe, at) for recipe in recipes.values()])
            for number in sorted(set(numbers)):
                row = connection.execute(
                    select(arrivals.c.state, arrivals.c.sha256, arrivals.c.settle, arrivals.c.next_try, arrivals.c.recipe, arrivals.c.route)
                    .where(arrivals.c.id == number)
                    .with_for_update()
                ).first()
                if row is None:
                    message = f"there is no arrival {number}"
                    raise Missing(message)
                fresh: dict[str, Any] = {"reason": None, "next_try": None, "attempts": 0, "deaths": 0, "updated": at}
                bad = deliveries.c.state.in_(("failed", "skipped") if row.state == "skipped" else ("failed",))
                waiting = deliveries.c.state.in_(("owed", "staged")) & deliveries.c.next_try.is_not(None)
                touched = connection.execute(
                    update(deliveries)
                    .where(deliveries.c.arrival == number, or_(bad, waiting), deliveries.c.name != b"")
                    .values(fresh | {"state": "owed"})
                ).rowcount
                state = "ready" if row.sha256 and touched else "seen" if not row.sha256 else row.state
                # What did not get through its steps goes through them again.
                stopped = row.recipe is not None and row.state in ("received", "quarantined", "failed", "skipped")
                stopped = stopped and not _owes(connection, number)
                state = "received" if stopped else state
                fresh |= {"recipe": recipes[row.route][0]} if stopped and row.route in recipes else {}
                settle = {"settle": "owed"} if row.settle == "failed" else {}
                waits = row.settle in ("owed", "begun") and row.next_try is not None
                if touched or state in ("seen", "received") or settle or waits:
                    connection.execute(update(arrivals).where(arrivals.c.id == number).values(fresh | settle | {"state": state}))
                    if state == "seen":
                        taken(connection, [number], yes=False)
                    decided(connection, number, "retried", who, "transload retry", at)
                    connection.execute(insert(events).values(arrival=number, at=at, what="retried", detail=f"by {who}"))
                    connection.execute(insert(audit).values(at=at, who=who, what="retry", subject=str(number)))
                    done.append(number)
        return done

    def afresh(self, routes: Sequence[str]) -> None:
        """What is held after failed tries is due now, with all its attempts."""
        with self._db.write() as connection:
            unanswered = (arrivals.c.state == "received") & arrivals.c.reason.is_not(None)
            tried = (arrivals.c.route.in_(routes)) & or_(arrivals.c.attempts > 0, unanswered)
            connection.execute(update(arrivals).where(tried, arrivals.c.state.in_(("seen", "received"))).values(attempts=0, next_try=None))
            open_ = still_open & deliveries.c.route.in_(routes) & (deliveries.c.attempts > 0)
            connection.execute(update(deliveries).where(open_).values(attempts=0, next_try=None))


def _owes(connection: Connection, number: int) -> bool:
    """Whether an arrival has come through its steps: then it owes more than a word to its hook."""
    query = select(deliveries.c.id).where(deliveries.c.arrival == number, deliveries.c.target != "@hook")
    return connection.execute(query.limit(1)).first() is not None
