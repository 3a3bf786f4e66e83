"""The life of files in few words: seen, fetched, received, staged, delivered; each word is what the program itself would call."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from sqlalchemy import select, update

from transload.ledger import Claim, Due, Found, Ledger, Outcome, Owed, Received, now
from transload.ledger.schema import arrivals, deliveries
from transload.model import Entry, Name, Parcel, Receipt, Spooled, Staged, Verify
from transload.names import versioned

TIME = 1_700_000_000_000_000
SECOND = 1_000_000
LATER = 3600 * SECOND
BEGIN = """
import sys
from tests.ledger.acts import *
from transload.ledger import *
from transload.ledger import care
ledger = Ledger(sys.argv[1])
me = sys.argv[2]
acts = Acts(ledger, worker=me)
"""
GO = """
print("ready", flush=True)
sys.stdin.readline()
"""


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry(name: str | bytes = "a.csv", size: int | None = 5, modified: int | None = TIME, folder: str = "", **more) -> Entry:
    return Entry(folder, Name(name), size, modified, **more)


def owed(name: str | bytes = "a.csv", remote: str = "lake", target: str = "", conflict: str = "version", *, required: bool = True) -> Owed:
    return Owed(target or remote, remote, Name(name), required, conflict, versioned)


class Acts:
    """One worker's doings on one route."""

    def __init__(self, ledger: Ledger, route: str = "orders", source: str = "carrier", worker: str = "w1", node: str = "n1") -> None:
        self.ledger, self.route, self.source, self.worker, self.node = ledger, route, source, worker, node

    # In

    def see(self, *entries: Entry, version: int = 1) -> list[int]:
        """The arrivals that a look makes of these."""
        self.ledger.looks.record(None, self.route, self.source, [Found(one, version) for one in entries])
        known = self.ledger.looks.known(self.route, self.source, [one.path for one in entries])
        return [known[one.path].arrival for one in entries]

    def fetch(self, files: int = 1000, size: int = 1 << 40) -> Claim | None:
        return self.ledger.claims.fetch(self.worker, self.route, self.source, files=files, size=size)

    def receive(
        self,
        claim: Claim,
        *data: bytes,
        owes: Sequence[Owed] | None = None,
        skip_same: bool = False,
        spot: Sequence[str] = (),
        end: bool = True,
    ) -> Outcome:
        """The files of a fetch claim come in with these bytes; each owes itself to the lake, or what `owes` says."""
        wanted = self.ledger.arrivals.wanted(claim.id)
        group = [
            Received(one.id, one.entry, Spooled("part", len(body), sha(body)), [owed(one.entry.name.raw)] if owes is None else owes)
            for one, body in zip(wanted, data, strict=True)
        ]
        outcome = self.take(claim, group, skip_same=skip_same, spot=spot)
        if end:
            self.ledger.claims.done(claim.id)
        return outcome

    def take(self, claim: Claim | None, group: Sequence[Received], *, skip_same: bool = False, spot: Sequence[str] = ()) -> Outcome:
        number = claim.id if claim else None
        return self.ledger.arrivals.received(
            number, self.route, self.source, self.node, group, skip_same=skip_same, worker=self.worker, deliver=spot
        )

    def bring(self, name: str | bytes = "a.csv", data: bytes = b"hello", owes: Sequence[Owed] | None = None, **more) -> int:
        """One file, seen and received."""
        [number] = self.see(entry(name, len(data)), **more)
        claim = self.fetch()
        assert claim is not None
        self.receive(claim, data, owes=owes)
        return number

    # Out

    def take_out(self, remote: str = "lake", files: int = 1000, size: int = 1 << 40) -> Claim | None:
        return self.ledger.claims.deliver(self.worker, self.route, remote, node=self.node, files=files, size=size)

    def stage(self, claim: Claim) -> list[Due]:
        dues = self.ledger.deliveries.due(claim.id)
        self.ledger.deliveries.staged(claim.id, [Staged(parcel(due, claim.id), f"tmp-{due.id}") for due in dues])
        return dues

    def publish(self, claim: Claim, dues: Sequence[Due], *, settle: bool = False) -> None:
        done = [(due, Receipt(parcel(due, claim.id), Verify.HASH, "etag-1")) for due in dues]
        self.ledger.deliveries.delivered(claim.id, done, settle=settle)

    def deliver(self, remote: str = "lake", *, settle: bool = False) -> list[Due]:
        """All that is owed there, made."""
        claim = self.take_out(remote)
        assert claim is not None
        dues = self.stage(claim)
        self.publish(claim, dues, settle=settle)
        self.ledger.claims.done(claim.id)
        return dues

    # What stands in the ledger

    def state(self, number: int) -> str:
        row = self.ledger.view.arrival(number)
        assert row is not None
        return row.state

    def events(self, number: int) -> list[str]:
        """What happened, in order; what concerns one destination with its name."""
        return [f"{one.what} {one.target}" if one.target else one.what for one in self.ledger.view.events(number)]

    def column(self, name: str, number: int) -> object:
        with self.ledger.database.read() as connection:
            return connection.execute(select(arrivals.c[name]).where(arrivals.c.id == number)).scalar_one()

    def names(self, remote: str = "lake") -> list[str]:
        """The names that are owed or delivered at a remote, oldest first."""
        query = select(deliveries.c.text).where(deliveries.c.remote == remote, deliveries.c.state != "failed").order_by(deliveries.c.id)
        with self.ledger.database.read() as connection:
            return list(connection.execute(query).scalars())

    def age(self, number: int, micros: int) -> None:
        """As if that arrival had last been touched so long ago."""
        with self.ledger.database.write() as connection:
            connection.execute(update(arrivals).where(arrivals.c.id == number).values(updated=now() - micros))


def parcel(due: Due, claim: int) -> Parcel:
    return Parcel(due.id, f"transload-{due.id}-{claim}", due.name, "", due.size, due.sha256)


def python(program: str, url: str, *words: object, before: str = "") -> subprocess.Popen[str]:
    """A process of its own on the same ledger, with pipes to talk by; `before` is done before the ledger is opened."""
    command = [sys.executable, "-c", "import sys\n" + before + BEGIN + program, url, *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


def together(url: str, program: str, *workers: object, before: str = "") -> list[list[str]]:
    """What processes say that run `program` at the same time, each with its worker's name; GO is where they wait for each other."""
    processes = [python(program, url, worker, before=before) for worker in workers]
    for process in processes:
        assert process.stdout is not None
        assert "ready" == process.stdout.readline().strip()
    told = []
    for process in processes:
        process.stdin.write("go\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    for process in processes:
        told.append(process.communicate(timeout=60)[0].splitlines())
        assert 0 == process.returncode
    return told


def until(condition, seconds: float = 10.0) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False
