"""One route driven by hand, batch after batch in this very thread, over a real ledger, spool and remotes: no queues, no waiting."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.roomy import roomy
from transload.alerts import Finding, places_of, tell
from transload.config import Config
from transload.deliver import deliver
from transload.errors import Unreachable
from transload.intake import Intake
from transload.keeper import Keeper
from transload.ledger import Ledger
from transload.ledger.view import Query, Row
from transload.process import process
from transload.pull import fetch, look
from transload.remotes.wrap import Sessions
from transload.settle import settle
from transload.spool import Spool
from transload.workplace import Workplace, hooks_of, steps_of

WORK = {"look": look, "fetch": fetch, "deliver": deliver, "process": process, "settle": settle, "tell": tell}


class ByHand:
    """The worker `name`; `go` looks once and does all that is due then, `work_off` only the latter."""

    def __init__(self, config: Path, *, name: str = "hand", database: str | None = None) -> None:
        self.config = Config.load(config)
        self.ledger = Ledger(database or self.config.database_url)
        self.spool = Spool(self.config.data / "spool", min_free=self.config.spool.min_free, keep=self.config.spool.keep)
        self.sessions = Sessions()
        self.told: list[tuple[str, int, int]] = []
        self.name = name
        self.away: set[str] = set()
        self.ledger.fleet.join(_worker(name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sessions.close_all()
        self.spool.close()
        self.ledger.close()

    @contextmanager
    def _open(self, name: str) -> Iterator[Any]:
        if name in self.away:
            message = f"nobody answers at {name}"
            raise Unreachable(message)
        with self.sessions.open(name, self.work.place(name), moved=self.moved) as session:
            yield session

    def moved(self, count: int) -> None:
        """Hears of bytes."""

    @property
    def work(self) -> Workplace:
        config = self.config
        return Workplace(
            config=config,
            ledger=self.ledger,
            spool=self.spool,
            intake=Intake(self.ledger, self.spool, "here"),
            worker=self.name,
            node="here",
            open=self._open,
            told=lambda *told: self.told.append(told),
            once=True,
            deliver=deliver,
            beside=hooks_of(config) | steps_of("here") | places_of(config),
        )

    def reload(self, config: Path) -> None:
        """Go on with another config."""
        self.config = Config.load(config)

    def go(self) -> None:
        """Every route looks once; then all that is due is done."""
        names = [route.name for route in self.config.routes]
        self.ledger.looks.declare(names)
        self.ledger.looks.ask(names)
        self.work_off()

    def work_off(self) -> int:
        """Batch after batch, until nothing is due; how many batches."""
        work = self.work
        keeper = Keeper(work)
        count = 0
        while claims := [claim for remote in work.connections if (claim := keeper.take(remote))]:
            for claim in claims:
                WORK[claim.kind](work, claim)
                self.ledger.claims.done(claim.id)
                count += 1
            assert count < 1000, "it goes round in circles"
        return count

    def find(self) -> None:
        """Find what somebody should hear of."""
        finding = Finding(self.work, self.config.routes)
        finding.begin()
        finding.look(alone=True)

    def rows(self, **query: Any) -> list[Row]:
        """What the ledger lists, oldest first."""
        return self.ledger.view.list(Query(**query))[::-1]

    def states(self) -> dict[str, str]:
        """Path and version of every arrival, and how it stands."""
        return {row.text if row.version == 1 else f"{row.text} v{row.version}": row.state for row in self.rows()}

    def events(self, path: str) -> list[str]:
        """What happened to the newest arrival of that path."""
        return [event.what for event in self.ledger.view.events(self.row(path).id)]

    def row(self, path: str) -> Row:
        """The newest arrival of that path."""
        return next(row for row in self.ledger.view.list(Query()) if row.text == path)

    def deliveries(self, path: str) -> Mapping[str, Any]:
        """Its deliveries, by destination."""
        return {one.target: one for one in self.ledger.view.deliveries(self.row(path).id)}

    def again(self) -> None:
        """All that waits for a time is due now."""
        from sqlalchemy import update

        from transload.ledger.schema import arrivals, deliveries, remotes

        with self.ledger.database.write() as connection:
            for table in (arrivals, deliveries, remotes):
                connection.execute(update(table).values(next_try=None))


def _worker(name: str) -> Any:
    from transload.ledger import Worker

    at = time.time_ns() // 1000
    return Worker(name, "here", 1, "here", "hand", at, at)


class Yard:
    """A folder `src`, folders `dst` and `other`, and one route "r" between them, written as TOML; `hand` drives it."""

    def __init__(self, folder: Path, route: str = "", **more: str) -> None:
        self.folder = folder
        self.file = folder / "transload.toml"
        for name in ("src", "dst", "other"):
            (folder / name).mkdir(exist_ok=True)
        self.write(route, **more)
        self.hand = ByHand(self.file)

    def write(self, route: str = "", *, source: str = 'remote = "src"', to: str = '{ remote = "dst" }', more: str = "") -> None:
        """Write the config."""
        places = "".join(f'[remotes.{name}]\nkind = "folder"\npath = "{name}"\n' for name in ("src", "dst", "other"))
        head = f'[transload]\ndata = "data"\nspool = {{ min_free = "1MB" }}\n{places}{more}\n'
        self.file.write_text(roomy(f'{head}[[routes]]\nname = "r"\nfrom = {{ {source} }}\nto = [{to}]\n{route}\n'))

    def rewrite(self, route: str = "", **more: str) -> None:
        """Write another config, and go on with it."""
        self.write(route, **more)
        self.hand.reload(self.file)

    def put(self, name: str | bytes, data: bytes = b"data", modified: float = 1700000000.0) -> None:
        """A file at the source."""
        path = os.path.join(os.fsencode(self.folder), b"src", os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        os.utime(path, (modified, modified))

    def at(self, place: str) -> dict[str, bytes]:
        """All files at a place."""
        root = self.folder / place
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}

    @property
    def delivered(self) -> dict[str, bytes]:
        """All files at `dst`."""
        return self.at("dst")
