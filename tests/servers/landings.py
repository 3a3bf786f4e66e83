"""A landing without a protocol in front: uploads in one line each, and what stands in ledger and home afterwards."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import pytest

from transload.accounts import Account, Login
from transload.config import Config
from transload.errors import TransloadError
from transload.intake import Intake
from transload.ledger import Ledger
from transload.ledger.view import Query
from transload.model import Name
from transload.process import process
from transload.protocols import STEPS
from transload.servers.base import KEPT, RESERVED, Sending
from transload.servers.home import Homes
from transload.servers.landing import LedgerLanding
from transload.spool import Spool
from transload.workplace import Workplace

USER = "observator"


class Wharf:
    """One landing on a ledger, with one user, in `folder`."""

    def __init__(self, folder: Path, url: str, *routes: dict, arrival: str | None = None) -> None:
        self.folder = folder
        raw = {
            "transload": {"data": str(folder / "data"), "spool": {"min_free": "1KB"}},
            "servers": {"sftp": {"listen": "127.0.0.1:0"}},
            "remotes": {"lake": {"kind": "folder", "path": str(folder / "lake")}},
            "routes": [{"name": "all"} | route for route in (routes or ({},))],
        }
        for route in raw["routes"]:
            route["from"] = {"server": True} | route.get("from", {})
            route.setdefault("to", [{"remote": "lake"}])
        self.config = Config.of(raw, folder)
        self.ledger = Ledger(url)
        self.spool = Spool(self.config.data / "spool", min_free=1000, keep=3600)
        self.account = Account(name=USER, home=USER, arrival=arrival)
        self.ledger.people.put(self.account)
        self.homes = Homes(self.config.data / "inbox")
        self.home = self.homes.of(USER, USER)
        self.login = Login("ftps", "10.0.0.7", USER)
        self.woken = 0
        self.closed = False
        self.landing = self.opened()

    def opened(self) -> LedgerLanding:
        return LedgerLanding(self.config, self.ledger, self.spool, "n1", self._wake, self.homes)

    def _wake(self) -> None:
        self.woken += 1

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.landing.close()
        self.spool.close()
        self.ledger.close()

    # What a session does

    def begin(self, name: str | bytes, **how):
        return self.landing.upload(Sending(self.account, self.login, self.home, Name(name), **how))

    def put(self, name: str | bytes, data: bytes, **how) -> None:
        """An upload that is answered with "yes"; raises why not."""
        upload = self.begin(name, **how)
        upload.write(data)
        answered(upload.finish)

    def cut(self, name: str | bytes, data: bytes, **how) -> None:
        upload = self.begin(name, **how)
        upload.write(data)
        upload.cut("the line broke")

    def rename(self, old: str | bytes, new: str | bytes) -> None:
        answered(lambda then: self.landing.rename(self.home, self.login, Name(old), Name(new), then))

    def remove(self, name: str | bytes) -> None:
        answered(lambda then: self.landing.remove(self.home, Name(name), then))

    def process(self, route: str = "all") -> None:
        """What waits for its steps goes through them, as a worker at this node would have it done."""
        claim = self.ledger.claims.process("w1", route, f"{STEPS}n1", node="n1", files=1000, size=1 << 40)
        if claim is not None:
            process(self.work, claim)
            self.ledger.claims.done(claim.id)

    @property
    def work(self) -> Workplace:
        intake = Intake(self.ledger, self.spool, "n1")
        return Workplace(self.config, self.ledger, self.spool, intake, "w1", "n1", lambda name: pytest.fail(f"{name} was opened"))

    # What there is

    def files(self, *, hidden: bool = False) -> dict[str, bytes]:
        """The files of the home, by path; with those that nobody sees."""
        found = {}
        root = os.fsdecode(self.home.root)
        for at, _, names in os.walk(root):
            for name in names:
                path = Path(at, name)
                if hidden or not name.encode(errors="surrogateescape").startswith(RESERVED):
                    with suppress(FileNotFoundError):
                        found[os.path.relpath(path, root)] = path.read_bytes()
        return found

    def kept(self, name: str) -> bytes | None:
        folder, _, base = name.rpartition("/")
        path = Path(os.fsdecode(self.home.root), folder, os.fsdecode(KEPT) + base)
        return path.read_bytes() if path.exists() else None

    def arrivals(self, route: str = "all") -> list[tuple[str, int, str]]:
        """Path, version and state of a route's arrivals, oldest first."""
        return [(row.text, row.version, row.state) for row in reversed(self.ledger.view.list(Query(route=route, limit=10_000)))]

    def names(self, route: str = "all") -> list[str]:
        return [path.removeprefix(USER + "/") for path, _, _ in self.arrivals(route)]

    def why(self, name: str) -> str | None:
        """Why no route took it yet."""
        row = self.ledger.uploads.at(USER, Name(name))
        assert row is not None
        return None if row.taken else row.reason

    def becomes(self, names: list[str], route: str = "all") -> None:
        """These are the arrivals, before long."""
        until = time.monotonic() + 10
        while self.names(route) != names and time.monotonic() < until:
            time.sleep(0.005)
        assert names == self.names(route)


def answered(ask) -> None:
    """Ask, wait for the answer; raises it unless it is "yes"."""
    heard, answers = threading.Event(), []

    def then(error: TransloadError | None) -> None:
        answers.append(error)
        heard.set()

    ask(then)
    assert heard.wait(20), "no answer"
    if answers[0] is not None:
        raise answers[0]


def evidence(value: bool | None = None) -> Future[bool]:
    future: Future[bool] = Future()
    if value is not None:
        future.set_result(value)
    return future
