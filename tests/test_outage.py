"""A scanner that is away: said once, backed off from like a remote, and nothing that waits for it is lost from sight."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar, Literal

import pytest
from sqlalchemy import update

from tests.engine.byhand import WORK
from transload import log
from transload.config.kinds import STEPS
from transload.errors import Busy, TransloadError, Unreachable
from transload.keeper import Keeper
from transload.ledger import now
from transload.ledger.schema import arrivals, remotes
from transload.process import process
from transload.protocols import STEPS as STEPS_OF
from transload.steps import FileView, Output, Scratch, Step
from transload.workplace import StepsPlace, steps_at

FILES = 300
STEP = 'steps = [{ kind = "asks" }]\nbackoff = { first = "1s", cap = "15m" }\nattempts = 1000'
PLACE = steps_at("here", "r")


class Asks(Step):
    """Asks somebody about each file, who may be away."""

    asked: ClassVar[list[str]] = []
    fault: ClassVar[TransloadError | None] = None
    of: ClassVar[str | tuple[str, ...]] = ""
    kind: Literal["asks"] = "asks"

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        Asks.asked.append(file.name.text)
        if Asks.fault is not None and file.name.text.startswith(Asks.of):
            raise Asks.fault
        yield work.keep(file)


@pytest.fixture
def asks(monkeypatch):
    monkeypatch.setitem(STEPS.ours, "asks", f"{__name__}:Asks")
    Asks.asked, Asks.fault, Asks.of = [], None, ""
    return Asks


@pytest.fixture
def logged(tmp_path):
    """What was logged so far, by what was said."""
    log.setup(tmp_path / "monitor.log", tmp_path / "error.log")
    yield lambda: [json.loads(line) for line in (tmp_path / "monitor.log").read_text().splitlines()]
    log.stop()


def held(it) -> Counter[str]:
    """How often it was said of a file that it waits."""
    return Counter(row.text for row in it.hand.rows(limit=1000) for event in it.hand.ledger.view.events(row.id) if event.what == "held")


def later(it) -> None:
    """The time has come at which what is away is asked again."""
    gone = it.hand.ledger.fleet.trips()[PLACE].next_try - now()
    with it.hand.ledger.database.write() as connection:
        for table in (arrivals, remotes):
            connection.execute(update(table).where(table.c.next_try.is_not(None)).values(next_try=table.c.next_try - gone))


def test_of_an_outage_each_file_hears_once_and_the_log_once(yard, asks, logged):
    it = yard(STEP)
    for number in range(FILES):
        it.put(f"{number:03}.csv")
    asks.fault = Unreachable("not scanned: nobody answers")
    it.hand.go()
    # Nobody asks for the second file once the first has heard nothing.
    assert ["000.csv"] == asks.asked
    assert {("received", "not scanned: nobody answers")} == {(row.state, row.reason) for row in it.hand.rows(limit=1000)}
    assert {1} == set(held(it).values())
    assert FILES == len(held(it))
    for _ in range(9):
        later(it)
        it.hand.work_off()
    assert (10, 10) == (len(asks.asked), it.hand.ledger.fleet.trips()[PLACE].failures)
    assert (FILES, {1}) == (len(held(it)), set(held(it).values()))
    assert ["a remote cannot be used"] == [line["event"] for line in logged()]
    [line] = logged()
    assert (PLACE, "r", "not scanned: nobody answers") == (line["remote"], line["route"], line["reason"])
    # When it was asked last is in each file's row.
    assert now() - min(row.updated for row in it.hand.rows(limit=1000)) < 60_000_000

    # A new file waits with the others, without being asked for.
    it.put("new.csv")
    it.hand.go()
    assert 10 == len(asks.asked)
    asks.fault = None
    later(it)
    it.hand.work_off()
    # That for which it was asked last goes after the others.
    assert FILES <= len(it.delivered)
    it.hand.again()
    it.hand.work_off()
    assert FILES + 1 == len(it.delivered)
    assert ["a remote cannot be used", "a remote can be used again"] == [line["event"] for line in logged()]
    assert {} == it.hand.ledger.fleet.trips()


def test_another_reason_is_told_again(yard, asks, logged):
    it = yard(STEP)
    it.put("a.csv")
    for reason in ("no answer", "refused", "refused", "no answer"):
        asks.fault = Unreachable(reason)
        it.hand.again()
        it.hand.go()
    assert {"a.csv": 3} == held(it)
    assert ["no answer", "refused", "no answer"] == [line["reason"] for line in logged()]


def test_a_file_that_silences_whoever_is_asked_does_not_keep_the_others_waiting(yard, asks):
    it = yard(STEP)
    for name in ("0.csv", "1.csv", "2.csv"):
        it.put(name)
    asks.fault, asks.of = Unreachable("it hung up"), "0"
    it.hand.go()
    later(it)
    it.hand.work_off()
    assert {"1.csv", "2.csv"} == set(it.delivered)
    assert ({}, "it hung up") == (it.hand.ledger.fleet.trips(), it.hand.row("0.csv").reason)


def test_several_of_them_at_once_are_one_silence(yard, asks, monkeypatch):
    monkeypatch.setattr("tests.engine.byhand.steps_of", lambda node: {f"{STEPS_OF}{node}": StepsPlace(connections=2)})
    it = yard(STEP.replace("attempts = 1000", "attempts = 2"))
    for number in range(8):
        it.put(f"{number}.csv")
    asks.fault, asks.of = Unreachable("it hung up"), ("0", "4")
    it.hand.ledger.looks.declare(["r"])
    it.hand.ledger.looks.ask(["r"])
    work, keeper = it.hand.work, Keeper(it.hand.work)
    for _ in range(2):
        claim = keeper.take("src")
        WORK[claim.kind](work, claim)
        it.hand.ledger.claims.done(claim.id)
    # Two are in hand when the first of them hears nothing.
    claims = [keeper.take(f"{STEPS_OF}here") for _ in range(2)]
    for claim in claims:
        process(work, claim)
        it.hand.ledger.claims.done(claim.id)
    assert (2, 1) == (len(asks.asked), it.hand.ledger.fleet.trips()[PLACE].failures)
    later(it)
    it.hand.work_off()
    assert 6 == len(it.delivered)
    # A run that hears nothing twice leaves all of it to the next one.
    asks.of = ""
    it.put("8.csv")
    it.hand.go()
    it.hand.again()
    it.hand.work_off()
    left = it.hand.ledger.view.left("r", 2, patience=now())
    assert (0, 0, 3) == (left.open, left.held, left.given_up)


def test_what_each_file_hears_for_itself_is_logged_together_and_once(yard, asks, logged, monkeypatch):
    monkeypatch.setattr("tests.engine.byhand.steps_of", lambda node: {f"{STEPS_OF}{node}": StepsPlace(connections=1)})
    it = yard(STEP)
    for number in range(5):
        it.put(f"{number}.csv")
    asks.fault = Busy("not scanned: ERROR")
    for _ in range(4):
        it.hand.again()
        it.hand.go()
    assert 20 == len(asks.asked)
    assert {f"{number}.csv": 1 for number in range(5)} == held(it)
    [line] = logged()
    assert ("tried again later", "not scanned: ERROR", 5) == (line["event"], line["reason"], line["files"])
    assert 4 == it.hand.row("0.csv").attempts


def test_what_the_steps_before_it_say_is_told_once_too(yard, asks):
    it = yard(STEP.replace("[{", '[{ kind = "checksum", required = false }, {'))
    it.put("a.csv")
    it.put("a.csv.sha256", b"%s" % hashlib.sha256(b"data").hexdigest().encode())
    asks.fault = Busy("not scanned: ERROR")
    for _ in range(4):
        it.hand.again()
        it.hand.go()
    assert 1 == it.hand.events("a.csv").count("checksum")
    assert {"a.csv": 1} == {name: count for name, count in held(it).items() if name == "a.csv"}


def test_other_routes_do_not_wait_for_a_silence_that_is_not_theirs(yard, asks):
    it = yard(STEP)
    it.file.write_text(
        it.file.read_text() + '[[routes]]\nname = "plain"\nfrom = { remote = "src" }\nto = [{ remote = "other" }]\n'
        'steps = [{ kind = "limits", min_size = "1B" }]\n'
    )
    it.hand.reload(it.file)
    it.put("a.csv")
    asks.fault = Unreachable("no answer")
    it.hand.go()
    it.put("b.csv")
    it.hand.go()
    assert ({}, {"a.csv", "b.csv"}) == (it.delivered, set(it.at("other")))
