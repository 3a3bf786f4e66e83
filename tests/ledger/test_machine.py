"""Whatever workers, crashes and people do, in whatever order: the ledger agrees with a model of thirty lines."""

from __future__ import annotations

import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.ledger.acts import Acts, entry, owed
from tests.stores import MEMORY
from transload.ledger import Ledger, Lost
from transload.ledger.care import _FAULTS
from transload.ledger.claims import POISON_AFTER
from transload.ledger.plain import rows
from transload.ledger.suspects import ALONE_AFTER

TARGETS = ("lake", "mirror")
NAMES = st.sampled_from(["a.csv", "b.csv", "c.csv"])
WORKERS = st.sampled_from(["w1", "w2"])
ONE = st.integers(0, 99)


class Model:
    """Every file's state; what is still owed, what failed or was given up, who holds what, how many died of it."""

    def __init__(self):
        self.state, self.open, self.shut, self.known = {}, {}, {}, {}
        self.hands, self.deaths, self.alone = {}, {}, {}

    def due(self, wanted):
        held = {item for _, items in self.hands.values() for item in items}
        return {item for item in wanted if item not in held}

    def offered(self, worker, due):
        """What saw two deaths goes alone: after all else, and while nothing else is in the worker's hands."""
        suspects = {item for item in due if self.deaths.get(item, 0) >= ALONE_AFTER}
        if self.alone.get(worker) in self.hands:
            return set()
        if due - suspects:
            return due - suspects
        return set() if any(mine == worker for mine, _ in self.hands.values()) else suspects

    def fetchable(self):
        return self.due({("in", n) for n, state in self.state.items() if state == "seen"})

    def owed(self, target):
        return self.due({(target, n) for n, targets in self.open.items() if target in targets})

    def delivered(self, number, target):
        self.open[number].discard(target)
        if self.state[number] == "ready" and not self.open[number] and not self.shut[number]:
            self.state[number] = "delivered"

    def end(self, number, state):
        self.state[number] = state
        self.shut[number] |= self.open[number] if state == "skipped" else set()
        self.open[number] = set() if state == "skipped" else self.open[number]

    def died(self, worker):
        for claim in [claim for claim, (mine, _) in self.hands.items() if mine == worker]:
            for kind, number in self.hands.pop(claim)[1]:
                self.deaths[kind, number] = self.deaths.get((kind, number), 0) + 1
        for (kind, number), count in self.deaths.items():
            if count >= POISON_AFTER and (self.state[number] == "seen" if kind == "in" else kind in self.open[number]):
                self.open[number].discard(kind)
                self.shut[number] |= {kind} - {"in"}
                self.state[number] = "failed"


class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp(dir=MEMORY)
        self.ledger = Ledger(f"sqlite:///{self.folder}/ledger.db")
        self.model, self.zombies, self.events, self.made = Model(), [], 0, 0

    def acts(self, worker="w1"):
        return Acts(self.ledger, worker=worker)

    def pick(self, one, kinds):
        claims = [claim for claim in self.model.hands if claim.kind in kinds]
        return claims[one % len(claims)] if claims else None

    def take(self, claim, worker, items, due):
        offered = self.model.offered(worker, due)
        assert (claim is not None) == bool(offered)
        if claim is not None:
            assert items
            assert items <= offered
            if any(self.model.deaths.get(item, 0) >= ALONE_AFTER for item in items):
                assert 1 == len(items)
                self.model.alone[worker] = claim
            self.model.hands[claim] = (worker, items)

    @rule(name=NAMES)
    def look(self, name):
        known = self.ledger.looks.known("orders", "carrier", [name.encode()])
        assert (name in self.model.known) == bool(known)
        if not known:
            [number] = self.acts().see(entry(name))
            assert number not in self.model.state
            self.model.known[name] = number
            self.model.state[number], self.model.open[number], self.model.shut[number] = "seen", set(), set()

    @rule(worker=WORKERS, files=st.integers(1, 3))
    def fetch(self, worker, files):
        due, claim = self.model.fetchable(), self.acts(worker).fetch(files)
        self.take(claim, worker, {("in", one.id) for one in self.ledger.arrivals.wanted(claim.id)} if claim else set(), due)

    @rule(one=ONE)
    def receive(self, one):
        claim = self.pick(one, ("fetch",))
        if claim is None:
            return
        wanted = self.ledger.arrivals.wanted(claim.id)
        assert {number for _, number in self.model.hands[claim][1]} == {found.id for found in wanted}
        self.made += 1
        bodies = [f"{self.made} {found.id}".encode() for found in wanted]
        self.acts().receive(claim, *bodies, owes=[owed(f"{self.made}.csv", target) for target in TARGETS], end=False)
        for found in wanted:
            self.model.state[found.id], self.model.open[found.id] = "ready", set(TARGETS)
            self.model.deaths.pop(("in", found.id), None)
        self.model.hands[claim] = (claim.worker, set())

    @rule(worker=WORKERS, remote=st.sampled_from(TARGETS), files=st.integers(1, 3))
    def take_out(self, worker, remote, files):
        due, claim = self.model.owed(remote), self.acts(worker).take_out(remote, files)
        self.take(claim, worker, {(remote, one.arrival) for one in self.ledger.deliveries.due(claim.id)} if claim else set(), due)

    @rule(one=ONE, publish=st.booleans())
    def deliver(self, one, publish):
        claim = self.pick(one, ("deliver",))
        if claim is None:
            return
        dues = self.acts().stage(claim)
        assert self.model.hands[claim][1] == {(due.target, due.arrival) for due in dues}
        if publish:
            self.acts().publish(claim, dues, settle=True)
            for due in dues:
                self.model.delivered(due.arrival, due.target)
            self.model.hands[claim] = (claim.worker, set())

    @rule(worker=WORKERS, name=NAMES, onwards=st.integers(0, 2))
    def go_well(self, worker, name, onwards):
        """The common way, so that what comes after it is met often: seen, fetched, and made at so many destinations."""
        self.look(name)
        self.fetch(worker, 3)
        self.receive_all()
        for remote in TARGETS[:onwards]:
            self.take_out(worker, remote, 3)
            for one in range(len(self.model.hands)):
                self.deliver(one, publish=True)

    def receive_all(self):
        for one in range(len(self.model.hands)):
            self.receive(one)

    @rule(one=ONE)
    def done(self, one):
        claim = self.pick(one, ("fetch", "deliver"))
        if claim is not None:
            self.ledger.claims.done(claim.id)
            del self.model.hands[claim]

    @rule(worker=WORKERS)
    def crash(self, worker):
        self.zombies += [claim for claim, (mine, _) in self.model.hands.items() if mine == worker]
        self.ledger.claims.died([worker])
        self.model.died(worker)

    @rule(worker=WORKERS, times=st.integers(1, POISON_AFTER), coming=st.booleans())
    def crash_again_and_again(self, worker, times, coming):
        for _ in range(times):
            self.fetch(worker, 3) if coming else self.take_out(worker, "lake", 3)
            self.crash(worker)

    @precondition(lambda self: self.zombies)
    @rule(one=ONE)
    def wake(self, one):
        claim = self.zombies[one % len(self.zombies)]
        with pytest.raises(Lost):
            self.ledger.arrivals.troubled(claim.id, []) if claim.kind == "fetch" else self.ledger.deliveries.staged(claim.id, [])

    @precondition(lambda self: self.model.state)
    @rule(one=ONE)
    def skip(self, one):
        number = sorted(self.model.state)[one % len(self.model.state)]
        if self.model.state[number] in ("seen", "ready", "failed"):
            self.ledger.hand.skip(number, "anna", "why not")
            self.model.end(number, "skipped")
            for worker_items in self.model.hands.values():
                worker_items[1].difference_update({(kind, number) for kind in ("in", *TARGETS)})

    @precondition(lambda self: self.model.state)
    @rule(one=ONE)
    def retry(self, one):
        number = sorted(self.model.state)[one % len(self.model.state)]
        if self.model.state[number] not in ("failed", "skipped"):
            return
        received = bool(self.model.open[number] or self.model.shut[number])
        assert [number] == self.ledger.hand.retry([number], "anna") or (received and not self.model.shut[number])
        for kind in ("in", *self.model.shut[number]):
            self.model.deaths.pop((kind, number), None)
        if self.model.shut[number] or not received:
            self.model.state[number] = "ready" if received else "seen"
        self.model.open[number] |= self.model.shut[number]
        self.model.shut[number] = set()

    @rule(finish=st.booleans())
    def settle(self, finish):
        claim = self.ledger.claims.settle("w1", "orders", "carrier", files=10)
        waiting = {n for n, state in self.model.state.items() if state == "delivered" and n in self.model.known.values()}
        assert bool(waiting) == (claim is not None)
        if claim is not None:
            files = [file.id for file in self.ledger.deliveries.settling(claim.id)]
            assert waiting == set(files)
            self.ledger.deliveries.settle_begun(claim.id, files)
            if finish:
                self.ledger.deliveries.settled(claim.id, files, "removed")
                self.model.known = {name: number for name, number in self.model.known.items() if number not in files}
            self.ledger.claims.done(claim.id)

    @invariant()
    def the_ledger_agrees(self):
        assert self.model.state == {number: self.acts().state(number) for number in self.model.state}
        last = self.ledger.view.last_event()
        assert last >= self.events
        self.events = last

    def teardown(self):
        with self.ledger.database.read() as connection:
            twice = "select 1 from events where target is not null and what = 'delivered' group by arrival, target having count(*) > 1"
            once = f"select count(*) from ({twice})"
            assert dict.fromkeys((*_FAULTS, "delivered twice"), 0) == {
                told: rows(connection, query).scalar() for told, query in {**_FAULTS, "delivered twice": once}.items()
            }
        self.ledger.close()
        shutil.rmtree(self.folder)


FEW = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))


def test_the_ledger_agrees_with_its_model():
    """Invariant 10, as far as the ledger goes."""
    run_state_machine_as_test(Machine, settings=FEW)


@pytest.mark.prove
def test_the_ledger_agrees_with_its_model_ten_thousand_times():
    run_state_machine_as_test(Machine, settings=settings(FEW, max_examples=10_000))
