"""The outbox of notices, and what stands wrong: written once, told once, kept over restarts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import NamedTuple

from sqlalchemy import Connection

from transload.ledger.claims import Claim, fence, new_claim
from transload.ledger.database import Database, now
from transload.ledger.plain import each, rows
from transload.notice import Notice

_PAGE = 2000
_CAME = ("received", "ready", "delivered", "split")


class Condition(NamedTuple):
    """Something that stands wrong: of which kind, since when (microseconds), and whether it has been told."""

    name: str
    event: str
    route: str
    subject: str
    reason: str
    since: int
    told: bool


class Came(NamedTuple):
    """A file that a route has received: when it was first seen (microseconds), where, how large."""

    at: int
    path: bytes
    folder: str
    size: int
    sha256: str


class Waiting(NamedTuple):
    """Files of a route that wait: how many, and why the first of them does."""

    route: str
    files: int
    reason: str


@dataclass(slots=True)
class News:
    """What is written down together: notices for targets, conditions that are there or there no more, watches moved on.

    `told` is what the targets are told of a condition, by its name: only by the one who changes it.
    """

    notices: list[tuple[str, Notice]] = field(default_factory=list)
    told: dict[str, list[tuple[str, Notice]]] = field(default_factory=dict)
    standing: list[Condition] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    watches: list[tuple[str, int]] = field(default_factory=list)


class Notices:
    """What is to be told, to whom, and what was; one transaction per call."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def watching(self) -> dict[str, int]:
        """Since when (microseconds) each thing is watched."""
        with self._db.read() as connection:
            return {name: int(at) for name, at in rows(connection, "select name, at from watches")}

    def conditions(self) -> dict[str, Condition]:
        """What stands wrong, by name."""
        with self._db.read() as connection:
            found = [Condition(*row) for row in rows(connection, _CONDITIONS)]
        return {one.name: one._replace(told=bool(one.told)) for one in found}

    def troubles(self, since: int) -> Sequence[Notice]:
        """What was quarantined, failed or found infected since then, as notices; one that is read twice has the same key."""
        with self._db.read() as connection:
            found = [_trouble(*row) for row in rows(connection, _TROUBLES, since)]
        # Of a file that failed at a destination both are written down, its delivery and itself, in one moment.
        alone: dict[str, Notice] = {}
        for one in found:
            alone.setdefault(one.key, one)
        return list(alone.values())

    def unscanned(self) -> Sequence[Waiting]:
        """The routes whose files wait because they could not be scanned."""
        with self._db.read() as connection:
            return [Waiting(*row) for row in rows(connection, _UNSCANNED)]

    def oldest(self, route: str) -> int | None:
        """When the oldest file of a route that is not delivered yet was first seen."""
        with self._db.read() as connection:
            found = (rows(connection, _OLDEST, route, state).scalar() for state in ("seen", "received", "ready"))
            return min((int(at) for at in found if at is not None), default=None)

    def came(self, route: str) -> Iterator[Came]:
        """What a route has received, the newest first; read in pages."""
        with self._db.read() as connection:
            pages = [_pages(connection, route, state) for state in _CAME]
            for number_and_row in merge(*pages, key=lambda row: -row[0]):
                yield Came(*number_and_row[1:])

    def write(self, news: News) -> None:
        """Write it down, all or nothing; a notice that a target has under the same key is not owed to it again.

        What somebody else has found meanwhile stands as they found it, and is not told once more.
        """
        with self._db.write() as connection:
            changed = [name for name in sorted(news.over) if rows(connection, _OVER, name).first()]
            changed += [one.name for one in sorted(news.standing) if rows(connection, _STANDS, *one).first()]
            notices = news.notices + [one for name in changed for one in news.told.get(name, ())]
            each(connection, _ADD, [(target, one.key, *_facts(one)) for target, one in notices])
            each(connection, _WATCH, news.watches)

    def waiting(self) -> dict[str, tuple[int, int]]:
        """For each target that is owed notices: how many, and when the oldest came up."""
        with self._db.read() as connection:
            return {target: (int(count), int(first)) for target, count, first in rows(connection, _WAITING)}

    def unsent(self, target: str) -> Sequence[Notice]:
        """What is owed to a target, the oldest first; 20,000 at most."""
        with self._db.read() as connection:
            return [Notice(*row) for row in rows(connection, _UNSENT, target)]

    def sent_since(self, target: str, since: int) -> Sequence[int]:
        """When (microseconds) the messages went out that this target was sent since then."""
        with self._db.read() as connection:
            found = rows(connection, "select distinct sent from notices where target = ? and sent > ?", target, since)
            return [int(row[0]) for row in found]

    def claim(self, worker: str, place: str) -> Claim:
        """The telling of a target, in this worker's hands."""
        at = now()
        with self._db.write() as connection:
            number = new_claim(connection, {"kind": "tell", "route": "", "remote": place, "worker": worker, "begun": at})
        return Claim(number, "tell", "", place, worker, at)

    def sent(self, claim: int | None, target: str, told: Iterable[Notice]) -> None:
        """One message with these has arrived."""
        at = now()
        with self._db.write() as connection:
            if claim is not None:
                fence(connection, claim)
            each(connection, "update notices set sent = ? where target = ? and key = ?", [(at, target, one.key) for one in told])

    def forget(self, before: int) -> None:
        """Forget notices that are older, sent or not: nobody is served by them any more."""
        with self._db.write() as connection:
            rows(connection, "delete from notices where at < ?", before)


def _facts(one: Notice) -> tuple[str, str, str, str, str, int]:
    return one.event, one.route, one.subject, one.reason, one.source, one.at


def _trouble(what: str, at: int, target: str | None, detail: str | None, arrival: int, route: str, text: str, source: str) -> Notice:
    reason = detail or "no reason was written down"
    return Notice(what, route, text, f"to {target}: {reason}" if target else reason, at, f"{what}/{arrival}/{at}", source)


def _pages(connection: Connection, route: str, state: str) -> Iterator[tuple[int, int, bytes, str, int, str]]:
    last = 1 << 62
    while page := rows(connection, _CAME_OF, route, state, last).all():
        for number, at, path, folder, size, sha256 in page:
            yield number, int(at), bytes(path), folder, size or 0, sha256 or ""
        last = page[-1][0]
        if len(page) < _PAGE:
            return


_CONDITIONS = "select name, event, route, subject, reason, since, told from conditions"
_TROUBLES = (
    "select e.what, e.at, e.target, e.detail, a.id, a.route, a.text, a.source from events e join arrivals a on a.id = e.arrival "
    "where e.what in ('failed', 'quarantined', 'infected') and e.at >= ? order by e.at, e.id"
)
_UNSCANNED = (
    "select route, count(*), min(reason) from arrivals where state = 'received' and reason is not null "
    "and substr(reason, 1, 11) = 'not scanned' group by route"
)
_OLDEST = "select first_seen from arrivals where id = (select min(id) from arrivals where route = ? and state = ?)"
_CAME_OF = (
    "select id, first_seen, path, folder, size, sha256 from arrivals where route = ? and state = ? and id < ? order by id desc limit 2000"
)
_ADD = (
    "insert into notices (target, key, event, route, subject, reason, source, at) values (?, ?, ?, ?, ?, ?, ?, ?) "
    "on conflict (target, key) do nothing"
)
_OVER = "delete from conditions where name = ? returning name"
_STANDS = (
    "insert into conditions (name, event, route, subject, reason, since, told) values (?, ?, ?, ?, ?, ?, ?) on conflict (name) do update "
    "set event = excluded.event, subject = excluded.subject, reason = excluded.reason, since = excluded.since, told = excluded.told "
    "where excluded.told and not conditions.told returning name"
)
_WATCH = "insert into watches (name, at) values (?, ?) on conflict (name) do update set at = excluded.at"
_WAITING = "select target, count(*), min(at) from notices where sent is null group by target"
_UNSENT = "select event, route, subject, reason, at, key, source from notices where target = ? and sent is null order by at, id limit 20000"
