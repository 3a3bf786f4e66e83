"""What was delivered is looked at again by clamd with new signatures: the bad is named wherever it went, the unseen is never clean."""

from __future__ import annotations

import io
import itertools
import os
import signal
import zipfile
from pathlib import Path

import pytest

from tests.engine.byhand import ByHand, Yard
from tests.peers.clamd import EICAR, Clamd
from tests.peers.fixtures import running
from tests.steps.test_scan import answering
from transload.errors import ConfigError
from transload.ledger import now
from transload.ledger.rescans import Window
from transload.rescan import Find, Rescan, Store, Unknown, delivered, look_at_held

WORM, WORM_2, FINE = b"a worm that nobody knows yet", b"another worm that nobody knows", b"a fine file, whatever comes"
BOTH = '{ remote = "dst" }, { remote = "other", name = "x/{name}" }'
_versions = itertools.count(27000)


class Again:
    """A yard with a scan step, and what looks at it again."""

    def __init__(self, yard: Yard, clamd: Clamd) -> None:
        self.yard, self.clamd = yard, clamd

    @property
    def scan(self) -> str:
        return f'{{ kind = "scan", clamd = "unix:{self.clamd.socket}", max_size = "1MB" }}'

    def update(self, **bad: bytes) -> None:
        """Signatures of a new version come in, which know these."""
        self.clamd.signatures(next(_versions), **bad)

    def deliver(self, **files: bytes) -> None:
        for name, data in files.items():
            self.yard.put(name.replace("__", "."), data)
        self.yard.hand.go()

    def store(self, node: str = "here") -> Store:
        hand = self.yard.hand
        return Store(node, hand.spool, hand.work.vault, hand.config.data)

    def rescan(self, window: Window | None = None, node: str = "here", **more) -> tuple[Rescan, list[Find | Unknown]]:
        hand = self.yard.hand
        rescan = Rescan(hand.config, hand.ledger, self.store(node), window or Window(), "anna", **more)
        return rescan, list(rescan)

    def held(self) -> list:
        hand = self.yard.hand
        return list(look_at_held(hand.config, hand.ledger, self.store(), hand.ledger.quarantine.list(), "anna"))

    def spooled(self, path: str) -> Path:
        return Path(self.yard.hand.spool.path(self.yard.hand.row(path).sha256))

    def event(self, path: str, what: str) -> list[str]:
        return [one.detail for one in self.yard.hand.ledger.view.events(self.yard.hand.row(path).id) if one.what == what]


@pytest.fixture
def clamd():
    clamd = running("clamd of test_rescan", lambda: Clamd({"ConcurrentDatabaseReload": "yes"}))
    clamd.signatures(next(_versions))
    return clamd


@pytest.fixture
def it(tmp_path, url, clamd):
    yard = Yard(tmp_path)
    yard.hand.close()
    again = Again(yard, clamd)
    yard.write(f"steps = [{again.scan}]", to=BOTH)
    yard.hand = ByHand(yard.file, database=url)
    yield again
    yard.hand.close()


def zipped(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.csv", data)
    return made.getvalue()


def went(copies) -> dict[str, tuple[str, str]]:
    return {one.remote: (one.text, one.state) for one in copies}


def test_what_new_signatures_find_is_named_with_every_destination_that_got_it(it):
    it.deliver(a__csv=WORM, b__csv=FINE)
    assert {"dst": ("a.csv", "delivered"), "other": ("x/a.csv", "delivered")} == went(it.yard.hand.deliveries("a.csv").values())
    it.update(Worm=WORM)
    rescan, [find] = it.rescan()
    assert ("a.csv", "Worm.UNOFFICIAL", False) == (find.row.text, find.signature, find.released)
    assert {"dst": ("a.csv", "delivered"), "other": ("x/a.csv", "delivered")} == went(find.copies)
    tally = rescan.tally
    assert (2, 2, 2, 0, 1, 1, False) == (
        tally.files,
        tally.contents,
        tally.scanned,
        tally.verified,
        tally.clean,
        tally.infected,
        tally.well,
    )
    assert ["rescanned: Worm.UNOFFICIAL; delivered to dst:a.csv, other:x/a.csv"] == it.event("a.csv", "infected")
    assert [] == it.event("b.csv", "infected")
    assert [("infected", "a.csv")] == [(one.event, one.subject) for one in it.yard.hand.ledger.notices.troubles(0)]
    found, facts = it.yard.hand.ledger.processing.verdict("scan", find.row.sha256)
    assert ("infected", "Worm.UNOFFICIAL") == (found, facts["signature"])


def test_what_was_found_infected_once_stays_so_and_is_told_in_the_ledger_once(it):
    it.deliver(a__csv=WORM)
    it.update(Worm=WORM)
    it.rescan()
    it.update()
    rescan, [find] = it.rescan(again=True)
    assert ("Worm.UNOFFICIAL", 0, 1) == (find.signature, rescan.tally.scanned, rescan.tally.infected)
    assert 1 == len(it.event("a.csv", "infected"))


def test_what_is_clean_by_the_signatures_of_now_is_not_scanned_again_unless_it_is_asked_for(it):
    it.deliver(a__csv=FINE, b__csv=b"another fine file")
    before, _ = it.rescan()
    it.update()
    first, _ = it.rescan()
    second, _ = it.rescan()
    third, _ = it.rescan(again=True)
    assert [(0, 2), (2, 0), (0, 2), (2, 0)] == [(one.tally.scanned, one.tally.verified) for one in (before, first, second, third)]
    assert {(2, True)} == {(one.tally.clean, one.tally.well) for one in (before, first, second, third)}


def test_the_same_bytes_are_looked_at_once_and_named_under_every_name(it, monkeypatch):
    monkeypatch.setattr(delivered, "_PAGE", 2)
    it.deliver(**{f"{name}__csv": WORM for name in "abc"}, **{f"fine{number}__csv": FINE + b"%d" % number for number in range(7)})
    it.update(Worm=WORM)
    shares: list[float] = []
    rescan, found = it.rescan(told=lambda share, _tally: shares.append(share))
    assert ["a.csv", "b.csv", "c.csv"] == sorted(one.row.text for one in found)
    assert (10, 8, 8) == (rescan.tally.files, rescan.tally.contents, rescan.tally.scanned)
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


def test_a_member_of_an_archive_and_the_archive_are_both_looked_at(it):
    it.yard.rewrite(f'steps = [{{ kind = "unpack" }}, {it.scan}]', to=BOTH)
    it.deliver(a__zip=zipped(good=FINE, bad=WORM))
    it.update(Worm=WORM)
    _, found = it.rescan()
    by = {one.row.text: one for one in found}
    assert {"a.zip", "a.zip!/a/bad.csv"} == by.keys()
    archive, member = by["a.zip"], by["a.zip!/a/bad.csv"]
    assert (archive.row.id, None) == (member.parent, archive.parent)
    assert {"dst": ("a/bad.csv", "delivered"), "other": ("x/bad.csv", "delivered")} == went(member.copies)
    assert ["a.zip!/a/bad.csv", "a.zip!/a/good.csv"] == sorted(part.row.text for part in archive.made)
    assert [] == archive.copies
    [told] = it.event("a.zip", "infected")
    assert "delivered as a.zip!/a/bad.csv to dst:a/bad.csv, other:x/bad.csv" in told
    assert [] == it.event("a.zip!/a/good.csv", "infected")


def test_an_archive_that_cannot_be_scanned_whole_is_none_of_what_was_delivered(it):
    it.yard.rewrite(f'steps = [{{ kind = "unpack" }}, {it.scan}]')
    it.deliver(a__zip=zipped(one=b"1" * 700_000, two=b"2" * 700_000))
    it.update()
    rescan, found = it.rescan()
    assert ([], 2, 1, True) == (found, rescan.tally.clean, rescan.tally.archives, rescan.tally.well)


def test_bytes_that_are_gone_are_never_clean(it):
    it.deliver(a__csv=WORM, b__csv=FINE)
    it.spooled("a.csv").unlink()
    it.update(Worm=WORM)
    before = now()
    rescan, found = it.rescan()
    assert ([], 1, 1, False) == (found, rescan.tally.gone, rescan.tally.clean, rescan.tally.well)
    assert 0 < rescan.tally.gone_last < before


def test_bytes_that_lie_on_another_node_are_to_be_looked_at_there(it):
    it.deliver(a__csv=WORM)
    it.spooled("a.csv").unlink()
    it.update(Worm=WORM)
    rescan, found = it.rescan(node="there")
    assert ([], {"here": 1}, 0, False) == (found, rescan.tally.elsewhere, rescan.tally.gone, rescan.tally.well)


def test_what_only_the_quarantine_still_has_is_looked_at_there(it):
    it.deliver(a__csv=WORM)
    row = it.yard.hand.row("a.csv")
    with it.yard.hand.work.vault.keeping(row.sha256, it.spooled("a.csv")):
        pass
    it.spooled("a.csv").unlink()
    it.update(Worm=WORM)
    _, [find] = it.rescan()
    assert "a.csv" == find.row.text


@pytest.mark.parametrize("how", ["down", "frozen"])
def test_a_scanner_that_is_away_leaves_all_unknown_and_is_asked_once(it, how):
    it.yard.rewrite(f"steps = [{it.scan}]".replace("max_size", 'timeout = "0.2s", max_size'), to=BOTH)
    it.deliver(**{f"{number}__csv": FINE + b"%d" % number for number in range(20)})
    if how == "down":
        it.yard.rewrite(f"steps = [{it.scan}]".replace("clamd.ctl", "nobody.ctl"), to=BOTH)
        rescan, found = it.rescan()
    else:
        it.update()
        os.kill(it.clamd.process.pid, signal.SIGSTOP)
        try:
            rescan, found = it.rescan()
        finally:
            os.kill(it.clamd.process.pid, signal.SIGCONT)
    [(reason, files)] = rescan.tally.away.items()
    assert "answer" in reason
    assert ([], 20, 20, 0, False) == (found, files, rescan.tally.unknown, rescan.tally.clean, rescan.tally.well)


def test_one_file_that_gets_no_answer_does_not_stand_in_the_way_of_all_others(it, tmp_path):
    it.deliver(**{f"{number}__csv": FINE + b"%d" % number for number in range(5)})
    it.yard.rewrite(f'steps = [{{ kind = "scan", clamd = "unix:{tmp_path}/s" }}]', to=BOTH)
    with answering(tmp_path, b"", *[b"fd[9]: OK\0"] * 4):
        rescan, [unknown] = it.rescan(again=True)
    assert "hung up before its reply was whole, and answers otherwise" in unknown.reason
    assert (1, {}, 4, False) == (rescan.tally.unknown, rescan.tally.away, rescan.tally.clean, rescan.tally.well)


def test_what_the_scanner_could_not_look_into_is_unknown(it):
    it.deliver(a__csv=b"x" * 200_000, b__csv=FINE)
    it.yard.rewrite(f"steps = [{it.scan}]".replace("1MB", "100kB"), to=BOTH)
    it.update()
    rescan, [unknown] = it.rescan()
    assert ("a.csv", 1) == (unknown.text, unknown.files)
    assert "more than max_size" in unknown.reason
    assert (1, 1, False) == (rescan.tally.unknown, rescan.tally.clean, rescan.tally.well)


def test_the_window_is_that_of_the_delivery_and_what_is_bad_is_named_wherever_it_went(it):
    it.deliver(a__csv=WORM, old__csv=WORM_2)
    between = now()
    it.deliver(b__csv=WORM)
    it.update(Worm=WORM, Other=WORM_2)
    rescan, found = it.rescan(Window(since=between))
    assert (1, ["a.csv", "b.csv"]) == (rescan.tally.files, sorted(one.row.text for one in found))
    rescan, found = it.rescan(Window("r", until=between))
    assert (2, 3) == (rescan.tally.files, len(found))
    rescan, found = it.rescan(Window("another route"))
    assert (0, []) == (rescan.tally.files, found)


def test_what_is_still_owed_is_told_as_such(it):
    it.yard.hand.away.add("other")
    it.deliver(a__csv=WORM)
    it.update(Worm=WORM)
    _, [find] = it.rescan()
    assert {"dst": ("a.csv", "delivered"), "other": ("x/a.csv", "owed")} == went(find.copies)
    assert ["rescanned: Worm.UNOFFICIAL; delivered to dst:a.csv; still owed to other:x/a.csv"] == it.event("a.csv", "infected")


def test_what_somebody_let_on_knowing_is_told_as_such(it):
    it.deliver(a__csv=EICAR)
    number = it.yard.hand.row("a.csv").id
    it.yard.hand.ledger.quarantine.release(number, "anna", "our own test")
    it.yard.hand.work_off()
    assert {"a.csv": "delivered"} == it.yard.hand.states()
    rescan, [find] = it.rescan()
    assert (True, 0, 1, True) == (find.released, rescan.tally.infected, rescan.tally.released, rescan.tally.well)
    assert [] == it.event("a.csv", "infected")


def test_what_was_let_on_for_another_reason_is_infected_like_all_else(it):
    it.yard.rewrite(f'steps = [{it.scan}, {{ kind = "limits", max_size = "10B" }}]', to=BOTH)
    it.deliver(a__csv=WORM)
    it.yard.hand.ledger.quarantine.release(it.yard.hand.row("a.csv").id, "anna", "large, but wanted")
    it.yard.hand.work_off()
    it.update(Worm=WORM)
    rescan, [find] = it.rescan()
    assert (False, 1) == (find.released, rescan.tally.infected)


def test_what_is_kept_apart_was_not_delivered(it):
    it.deliver(a__csv=EICAR)
    rescan, found = it.rescan()
    assert ([], 0, True) == (found, rescan.tally.files, rescan.tally.well)


def test_a_route_that_scans_no_more_is_looked_at_by_the_steps_of_before(it):
    it.deliver(a__csv=WORM)
    it.yard.rewrite("", to=BOTH)
    it.deliver(b__csv=FINE)
    it.update(Worm=WORM)
    rescan, [find] = it.rescan()
    assert ("a.csv", 1, 1) == (find.row.text, rescan.tally.unscanned, rescan.tally.contents)


def test_without_any_scan_step_there_is_nothing_to_look_with(it):
    it.yard.rewrite("", to=BOTH)
    it.deliver(a__csv=WORM)
    with pytest.raises(ConfigError, match="no route has a scan step"):
        it.rescan()
    with pytest.raises(ConfigError, match="the route r has no scan step"):
        it.rescan(Window("r"))


# ---------------------------------------------------------------- what is kept apart


def test_what_is_kept_apart_is_looked_at_again_from_its_own_copy_and_never_released_by_itself(it):
    it.update(Worm=WORM)
    it.deliver(a__csv=WORM, b__csv=EICAR)
    for path in ("a.csv", "b.csv"):
        it.spooled(path).unlink()
    it.update()
    by = {one.apart.text: one for one in it.held()}
    assert ("clean", "", "Worm.UNOFFICIAL") == by["a.csv"][1:4]
    assert ("infected", "Eicar-Test-Signature.UNOFFICIAL") == by["b.csv"][1:3]
    assert {"a.csv": "quarantined", "b.csv": "quarantined"} == it.yard.hand.states()
    assert "infected" == it.yard.hand.ledger.processing.verdict("scan", by["a.csv"].apart.sha256)[0]
    assert ["clean, for anna"] == it.event("a.csv", "rescanned")
    it.deliver(c__csv=WORM)
    assert "quarantined" == it.yard.hand.states()["c.csv"]


def test_what_is_kept_apart_and_was_delivered_as_another_file_is_told(it):
    it.deliver(a__csv=WORM)
    it.yard.rewrite(f'steps = [{it.scan}, {{ kind = "limits", max_size = "10B" }}]', to=BOTH)
    it.deliver(b__csv=WORM)
    it.update(Worm=WORM)
    [held] = it.held()
    assert ("b.csv", "infected", ["a.csv"]) == (held.apart.text, held.found, [one.row.text for one in held.delivered])
    assert 1 == len(it.event("a.csv", "infected"))


def test_what_cannot_be_looked_at_in_quarantine_is_unknown(it):
    it.deliver(a__csv=EICAR)
    [copy] = [path for path in (it.yard.hand.config.data / "quarantine").rglob("*") if len(path.name) == 64]
    copy.chmod(0o600)
    copy.write_bytes(b"other bytes")
    [held] = it.held()
    assert "unknown" == held.found
    assert "has other bytes than were put there" in held.told
    copy.unlink()
    [held] = it.held()
    assert ("unknown", "Eicar-Test-Signature.UNOFFICIAL") == (held.found, held.before)
    assert "not in the quarantine of this machine" in held.told
    assert 2 == len(it.event("a.csv", "rescanned"))
