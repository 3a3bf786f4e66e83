"""Steps in a route: what comes out is owed, all of it or nothing; nothing unchecked is ever delivered."""

from __future__ import annotations

import errno
import gzip
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from tests.steps.test_archives import zipped
from transload.config.kinds import STEPS
from transload.engine.batches import Batches
from transload.errors import Busy, Rejected, Unreachable, Waiting
from transload.keeper import Keeper
from transload.model import Name, to_datetime
from transload.protocols import STEPS as STEPS_OF
from transload.steps import FileView, Output, Scratch, Step, Verdict
from transload.workplace import StepsPlace


class Judge(Step):
    """Does what the file's bytes say."""

    asked: ClassVar[list[bytes]] = []
    away: ClassVar[bool] = False
    kind: Literal["judge"] = "judge"
    shout: bool = False

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        data = file.path.read_bytes()
        self.asked.append(data)
        if Judge.away:
            raise Busy("the judge is away")
        if b"bad" in data:
            work.note(Verdict("judge", "infected", {"signature": "Bad"}))
            raise Rejected("bad in itself")
        work.note(Verdict("judge", "clean"))
        if data.startswith(b"split:"):
            for part in data[6:].split(b","):
                yield work.write(Name(file.name.stem + b"/" + part), part, member=True)
        elif self.shout:
            yield work.write(file.name, data.upper())
        elif not data.startswith(b"nothing"):
            yield work.keep(file)


@pytest.fixture(autouse=True)
def judge(monkeypatch):
    monkeypatch.setitem(STEPS.ours, "judge", f"{__name__}:Judge")
    Judge.asked.clear()
    Judge.away = False
    return Judge


STEP = 'steps = [{ kind = "judge" }]'


def _row(it, path: str) -> Any:
    return it.hand.row(path)


def test_what_passes_is_delivered_and_what_is_bad_is_not(yard):
    it = yard(STEP)
    it.put("good.csv", b"good")
    it.put("evil.csv", b"bad")
    it.hand.go()
    assert {"good.csv": b"good"} == it.delivered
    assert {"good.csv": "delivered", "evil.csv": "quarantined"} == it.hand.states()
    assert "bad in itself" == _row(it, "evil.csv").reason
    assert "judge" in it.hand.events("evil.csv")


def test_what_is_made_of_a_file_is_delivered_under_its_own_names(yard):
    it = yard(STEP)
    it.put("in/a.zip", b"split:x.csv,y.csv")
    it.hand.go()
    assert {"a/x.csv": b"x.csv", "a/y.csv": b"y.csv"} == it.delivered
    assert {"in/a.zip": "split", "in/a.zip!/a/x.csv": "delivered", "in/a.zip!/a/y.csv": "delivered"} == it.hand.states()


def test_files_that_are_given_one_name_are_versions_of_it_at_the_destination(yard):
    it = yard('steps = [{ kind = "judge" }, { kind = "rename", to = "{name}.txt" }]')
    it.put("a.zip", b"split:in/x,out/x,x")
    it.put("b.csv", b"good")
    it.hand.go()
    assert {"x.txt": b"in/x", "x.v2.txt": b"out/x", "x.v3.txt": b"x", "b.csv.txt": b"good"} == it.delivered


def test_a_member_and_a_file_of_the_source_may_have_one_path(yard):
    it = yard(STEP)
    it.put("a.zip!/a/x.csv", b"of the source")
    it.put("a.zip", b"split:x.csv")
    it.hand.go()
    assert {"a.zip!/a/x.csv": b"of the source", "a/x.csv": b"x.csv"} == it.delivered
    it.put("a.zip!/a/x.csv", b"another of the source")
    it.put("a.zip", b"split:x.csv,y.csv")
    it.hand.go()
    assert b"another of the source" in it.delivered.values()
    assert b"y.csv" in it.delivered.values()


def test_one_bad_member_holds_back_all(yard):
    it = yard('steps = [{ kind = "judge" }, { kind = "judge" }]')
    it.put("a.zip", b"split:x.csv,y.bad")
    it.hand.go()
    assert {} == it.delivered
    assert {"a.zip": "quarantined"} == it.hand.states()


def test_changed_bytes_are_a_file_of_their_own(yard):
    it = yard('steps = [{ kind = "judge", shout = true }]')
    it.put("a.csv", b"quiet")
    it.hand.go()
    assert {"a.csv": b"QUIET"} == it.delivered


def test_nothing_is_delivered_while_the_judge_is_away_and_all_of_it_when_it_is_back(yard, judge):
    it = yard(STEP)
    for number in range(5):
        it.put(f"{number}.csv", b"good")
    judge.away = True
    it.hand.go()
    assert {} == it.delivered
    assert {"received"} == set(it.hand.states().values())
    assert "the judge is away" == _row(it, "0.csv").reason
    judge.away = False
    it.hand.again()
    it.hand.work_off()
    assert 5 == len(it.delivered)


@pytest.mark.parametrize("how", ["write", "remove"])
def test_bytes_that_a_step_changes_go_nowhere(yard, monkeypatch, how):
    def change(self, file, work):
        if file.name.base == b"a.csv":
            file.path.write_bytes(b"CHANGED") if how == "write" else file.path.unlink()
        yield work.keep(file)

    monkeypatch.setattr(Judge, "__call__", change)
    it = yard(STEP)
    it.put("a.csv", b"arrived")
    it.put("b.csv", b"another")
    it.hand.go()
    assert {"b.csv": b"another"} == it.delivered
    assert "failed" == _row(it, "a.csv").state
    assert "were changed or removed while it was in the step judge" in _row(it, "a.csv").reason


def test_a_step_may_touch_its_file_and_leave_its_bytes(yard, monkeypatch):
    def touch(self, file, work):
        file.path.write_bytes(file.path.read_bytes())
        yield work.keep(file)

    monkeypatch.setattr(Judge, "__call__", touch)
    it = yard(STEP)
    it.put("a.csv", b"arrived")
    it.hand.go()
    assert {"a.csv": b"arrived"} == it.delivered


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENOSPC])
def test_a_disk_that_fails_under_a_step_says_nothing_of_the_file(yard, monkeypatch, number):
    def fail(self, file, work):
        raise OSError(number, "what the system says")
        yield

    it = yard(STEP)
    it.put("a.csv", b"x")
    with monkeypatch.context() as broken:
        broken.setattr(Judge, "__call__", fail)
        it.hand.go()
    assert ("received", "its steps cannot go on: what the system says") == (_row(it, "a.csv").state, _row(it, "a.csv").reason)
    it.hand.again()
    it.hand.work_off()
    assert {"a.csv": b"x"} == it.delivered


ODD = "odd \udcff \ud800 \0 \x1b[2J\n"


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (Rejected(ODD), "quarantined", "odd ? ? ? ?[2J\n"),
        (Busy(ODD), "received", "odd ? ? ? ?[2J\n"),
        (Unreachable(ODD), "received", "odd ? ? ? ?[2J\n"),
        (Waiting(ODD, b"x", 2**60), "received", "odd ? ? ? ?[2J\n"),
        (Waiting(ODD, b"x", 0), "quarantined", "odd ? ? ? ?[2J\n: it never came"),
    ],
)
def test_whatever_a_step_says_can_be_kept_and_shown(yard, monkeypatch, error, state, reason):
    def say(self, file, work):
        work.note(Verdict(ODD, ODD, {ODD: ODD, "more": object()}))
        raise error

    monkeypatch.setattr(Judge, "__call__", say)
    it = yard(STEP)
    it.put("a.csv", b"x")
    it.hand.go()
    assert (state, reason) == (_row(it, "a.csv").state, _row(it, "a.csv").reason)
    assert "odd ? ? ? ?[2J\n" in it.hand.events("a.csv")


def test_a_file_that_the_desk_did_not_give_is_a_mistake_of_the_step(yard, monkeypatch):
    def make(self, file, work):
        yield Output(file.name, Path("/etc/passwd"), 3, "a" * 64)

    monkeypatch.setattr(Judge, "__call__", make)
    it = yard(STEP)
    it.put("a.csv", b"x")
    it.hand.go()
    assert {} == it.delivered
    assert ("received", "it lets on a file that work.write did not give, or that is not whole") == (
        _row(it, "a.csv").state,
        _row(it, "a.csv").reason,
    )


def test_a_step_that_wants_the_process_to_end_is_at_fault_and_ends_neither_thread_nor_claim(yard, monkeypatch):
    def end(self, file, work):
        raise SystemExit(3)

    monkeypatch.setattr(Judge, "__call__", end)
    it = yard(STEP)
    it.put("a.csv", b"x")
    stop = threading.Event()
    stop.set()
    batches, work = Batches(stop), it.hand.work
    it.hand.ledger.looks.declare(["r"])
    it.hand.ledger.looks.ask(["r"])
    keeper, done = Keeper(work), []
    while claims := [claim for remote in work.connections if (claim := keeper.take(remote))]:
        for claim in claims:
            batches.do(work, claim)
            done.append(claim.kind)
    assert ["look", "fetch", *["process"] * 4] == done
    assert ("failed", "the process died 4 times with this file in hand") == (_row(it, "a.csv").state, _row(it, "a.csv").reason)


SUM = b"%s  x.csv\n" % hashlib.sha256(b"1").hexdigest().encode()
OTHER = b"%s  x.csv\n" % hashlib.sha256(b"2").hexdigest().encode()


@pytest.mark.parametrize("name", ["x.csv.sha256", "SHA256SUMS"])
@pytest.mark.parametrize("required", ["true", "false"])
def test_a_checksum_in_an_archive_holds_for_what_lies_beside_it_there(yard, name, required):
    it = yard(f'steps = [{{ kind = "unpack" }}, {{ kind = "checksum", required = {required} }}]')
    it.put("good.zip", zipped(("in/x.csv", b"1"), (f"in/{name}", SUM)))
    it.put("bad.zip", zipped(("in/x.csv", b"1"), (f"in/{name}", OTHER)))
    it.hand.go()
    assert {"good/in/x.csv": b"1"} == it.delivered
    assert "quarantined" == _row(it, "bad.zip").state
    assert f"its sha256 is 6b86b273ff34fce1..., but {name} says d4735e3a265e16ee..." == _row(it, "bad.zip").reason


def test_a_checksum_beside_a_compressed_file_holds_for_what_is_in_it(yard):
    it = yard('steps = [{ kind = "unpack" }, { kind = "checksum" }]')
    it.put("x.csv.gz", gzip.compress(b"1"))
    it.put("x.csv.sha256", SUM)
    it.hand.go()
    assert {"x.csv": b"1"} == it.delivered


def test_nothing_let_on_is_a_skipped_file(yard):
    it = yard(STEP)
    it.put("a.csv", b"nothing of it")
    it.hand.go()
    assert {"a.csv": "skipped"} == it.hand.states()


@pytest.mark.parametrize("after", ['after = "delete"', 'after = { move = "done" }'])
def test_the_source_is_settled_when_all_that_was_made_of_it_is_delivered(yard, after):
    it = yard(f"{after}\n{STEP}")
    it.put("a.zip", b"split:x.csv,y.csv")
    it.put("b.csv", b"good")
    it.put("c.csv", b"bad")
    it.hand.go()
    assert 3 == len(it.delivered)
    left = {"c.csv"} | ({"done/a.zip", "done/b.csv"} if "move" in after else set())
    assert left == set(it.at("src"))


def test_a_file_keeps_the_steps_that_it_was_received_under(yard, judge):
    it = yard(STEP)
    it.put("a.csv", b"bad")
    judge.away = True
    it.hand.go()
    it.rewrite("")
    judge.away = False
    it.hand.again()
    it.hand.work_off()
    assert {"a.csv": "quarantined"} == it.hand.states()
    assert {} == it.delivered


def test_a_name_made_of_the_time_is_the_same_for_every_try(yard, judge):
    it = yard('steps = [{ kind = "rename", to = "{now:%Y%m%dT%H%M%S.%f}.csv" }, { kind = "judge" }]')
    it.put("a.csv", b"good")
    judge.away = True
    it.hand.go()
    name = to_datetime(_row(it, "a.csv").first_seen).strftime("%Y%m%dT%H%M%S.%f.csv")
    judge.away = False
    it.hand.away.add("dst")
    it.hand.again()
    it.hand.work_off()
    assert ({}, {"a.csv": "split", f"a.csv!/{name}": "ready"}) == (it.delivered, it.hand.states())
    it.hand.away.clear()
    it.hand.again()
    it.hand.work_off()
    assert {name: b"good"} == it.delivered


def test_bytes_that_no_step_left_stay_nowhere(yard):
    it = yard(STEP)
    it.put("a.zip", b"split:x.csv,y.bad")
    it.put("b.zip", b"split:x.csv,y.csv")
    it.hand.go()
    parts = it.folder / "data" / "spool" / "parts"
    assert [] == [path for path in parts.rglob("*") if path.is_file() and not path.name.endswith(".alive")]


def test_what_is_quarantined_has_a_copy_of_its_own_and_may_be_released(yard):
    it = yard(STEP)
    it.put("a.csv", b"bad")
    it.hand.go()
    row = _row(it, "a.csv")
    copy = it.folder / "data" / "quarantine" / row.sha256[:2] / row.sha256
    assert (b"bad", 0o400) == (copy.read_bytes(), copy.stat().st_mode & 0o777)
    assert 0o700 == (it.folder / "data" / "quarantine").stat().st_mode & 0o777
    it.hand.ledger.quarantine.release(row.id, "me", "I know it")
    it.hand.work_off()
    assert {"a.csv": b"bad"} == it.delivered
    assert "released" in it.hand.events("a.csv")
    it.put("b.csv", b"bad")
    it.hand.go()
    assert {"a.csv": "delivered", "b.csv": "quarantined"} == it.hand.states()


UNNAMED = {"source": 'remote = "src", match = "(?P<site>[^_]*)_.*"', "to": '{ remote = "dst", name = "{site}/{name}" }'}


def test_what_no_template_can_name_is_kept_apart_though_its_route_has_no_steps(yard):
    it = yard(**UNNAMED)
    it.put("kiel_a.csv", b"good")
    it.put("_a.csv", b"unnamed")
    it.hand.go()
    assert ({"kiel/kiel_a.csv": b"good"}, "quarantined") == (it.delivered, _row(it, "_a.csv").state)
    [one] = it.hand.ledger.quarantine.list()
    assert ("_a.csv", 7, "here") == (one.text, one.size, one.node)
    assert (it.folder / "data" / "quarantine" / one.sha256[:2] / one.sha256).read_bytes() == b"unnamed"
    parts = it.folder / "data" / "spool" / "parts"
    assert [] == [path for path in parts.rglob("*") if path.is_file() and not path.name.endswith(".alive")]
    # Somebody's word gives it no name; another template does.
    it.hand.ledger.quarantine.release(one.arrival, "me", "let it go")
    it.hand.work_off()
    assert ("quarantined", 1) == (_row(it, "_a.csv").state, len(it.hand.ledger.quarantine.list()))
    it.rewrite(**UNNAMED | {"to": '{ remote = "dst", name = "to/{name}" }'})
    assert [one.arrival] == it.hand.ledger.hand.retry([one.arrival], "me")
    it.hand.work_off()
    assert {"kiel/kiel_a.csv": b"good", "to/_a.csv": b"unnamed"} == it.delivered
    assert [] == it.hand.ledger.quarantine.list()


def test_what_was_waited_for_and_never_came_is_kept_apart_like_all_that_is_bad(yard):
    it = yard('steps = [{ kind = "checksum", wait = "0s" }]')
    it.put("a.csv", b"alone")
    for _ in range(3):
        it.hand.go()
        it.hand.again()
    row = _row(it, "a.csv")
    assert "quarantined" == row.state
    assert "it never came" in (row.reason or "")
    assert [row.id] == [one.arrival for one in it.hand.ledger.quarantine.list()]
    assert {} == it.delivered


class Kept:
    """Something that a step keeps open."""

    all: ClassVar[list[Kept]] = []

    def __init__(self) -> None:
        self.all.append(self)
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Remembers(Step):
    """Keeps something open, and says what was known of the bytes before."""

    knew: ClassVar[list[str | None]] = []
    kind: Literal["remembers"] = "remembers"

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        assert not work.held("line", Kept).closed
        before = work.known("remembers", file.sha256)
        self.knew.append(before and before.found)
        work.note(Verdict("remembers", "seen" if before is None else "seen again"))
        if file.name.text == "2.csv":
            raise Rejected("bad in itself")
        yield work.keep(file)


def test_the_files_of_a_batch_share_what_is_known_and_what_is_kept_open(yard, monkeypatch):
    monkeypatch.setitem(STEPS.ours, "remembers", f"{__name__}:Remembers")
    monkeypatch.setattr("tests.engine.byhand.steps_of", lambda node: {f"{STEPS_OF}{node}": StepsPlace(connections=1)})
    Kept.all.clear()
    Remembers.knew.clear()
    it = yard('steps = [{ kind = "remembers" }]')
    for number in range(4):
        it.put(f"{number}.csv", b"the same")
    it.hand.go()
    assert [None, "seen", "seen again", "seen again"] == Remembers.knew
    assert [True] == [one.closed for one in Kept.all]
    assert {"0.csv", "1.csv", "3.csv"} == set(it.delivered)
    assert it.hand.events("2.csv").index("remembers") < it.hand.events("2.csv").index("quarantined")
