"""When an upload counts: the arrival contract in each of its ways."""

from __future__ import annotations

import hashlib
import time

import pytest

from tests.crash.until import until
from tests.servers.landings import USER, Wharf
from transload.errors import Conflict
from transload.ledger import now
from transload.model import Name


def test_a_temporary_name_counts_once_under_the_name_that_it_gets(wharf):
    wharf.put("x.$$$", b"data")
    assert ([], "all: its name is one of the temporary ones") == (wharf.arrivals(), wharf.why("x.$$$"))
    assert 1 == wharf.ledger.uploads.untaken()
    wharf.rename("x.$$$", "x.csv")
    assert ([(f"{USER}/x.csv", 1, "ready")], {"x.csv": b"data"}) == (wharf.arrivals(), wharf.files(hidden=True))
    assert 0 == wharf.ledger.uploads.untaken()
    [event] = wharf.ledger.view.events(1)
    assert event.detail.startswith("received over ftps from 10.0.0.7")


def test_a_direct_upload_counts_when_it_is_closed_and_a_later_rename_changes_nothing(wharf):
    wharf.put("a.csv", b"data")
    wharf.rename("a.csv", "seen.csv")
    assert ["a.csv"] == wharf.names()


def test_a_temporary_name_may_be_renamed_over_an_earlier_version(wharf):
    for number in (1, 2, 3):
        wharf.put("x.$$$", b"reading %d" % number)
        wharf.rename("x.$$$", "x.csv")
    assert {"x.csv": b"reading 3", "x.v1.csv": b"reading 1", "x.v2.csv": b"reading 2"} == wharf.files(hidden=True)
    assert [(f"{USER}/x.csv", number, "ready") for number in (1, 2, 3)] == wharf.arrivals()


def test_a_rename_over_another_replaces_or_is_refused_as_the_contract_says(wharves):
    wharf = wharves(
        {"name": "in", "from": {"path": "in"}, "arrival": {"exists": "replace"}},
        {"name": "no", "from": {"path": "no"}, "arrival": {"exists": "refuse"}},
    )
    for folder in ("in", "no"):
        wharf.home.make_folder(folder.encode())
        wharf.put(f"{folder}/x.csv", b"one")
        wharf.put(f"{folder}/x.tmp", b"two")
    wharf.rename("in/x.tmp", "in/x.csv")
    with pytest.raises(Conflict):
        wharf.rename("no/x.tmp", "no/x.csv")
    assert {"in/x.csv": b"two", "no/x.csv": b"one", "no/x.tmp": b"two"} == wharf.files(hidden=True)
    assert (2, 1) == (len(wharf.arrivals("in")), len(wharf.arrivals("no")))


def test_close_counts_at_once_whatever_the_name(wharves):
    wharf = wharves({"arrival": {"complete": "close"}})
    wharf.put("x.tmp", b"data")
    assert ["x.tmp"] == wharf.names()


def test_rename_counts_only_what_was_renamed(wharves):
    wharf = wharves({"arrival": {"complete": "rename"}})
    wharf.put("a.csv", b"data")
    assert ([], "all: it counts once it is renamed") == (wharf.arrivals(), wharf.why("a.csv"))
    wharf.rename("a.csv", "b.csv")
    assert ["b.csv"] == wharf.names()


def test_what_does_not_match_says_why_and_is_judged_anew_at_each_rename(wharves):
    wharf = wharves({"from": {"match": "*.csv", "exclude": "old*", "min_size": 2}})
    wharf.put("notes.txt", b"text")
    wharf.put("old.csv", b"text two")
    wharf.put("a.csv", b"1")
    assert "all: its name does not match" == wharf.why("notes.txt")
    assert "all: its name is excluded" == wharf.why("old.csv")
    assert "smaller than min_size" in wharf.why("a.csv")
    wharf.rename("notes.txt", "notes2.txt")
    assert [] == wharf.arrivals()
    wharf.rename("notes2.txt", "notes.csv")
    assert ["notes.csv"] == wharf.names()


def test_a_folder_that_gets_another_name_has_its_files_judged_anew(wharves):
    wharf = wharves({"from": {"path": "done"}})
    wharf.home.make_folder(b"work")
    wharf.home.make_folder(b"work/deep")
    wharf.put("work/a.csv", b"one")
    wharf.put("work/deep/b.csv", b"two")
    wharf.put("work/c.tmp", b"three")
    assert "all: it does not lie in done" == wharf.why("work/a.csv")
    wharf.rename("work", "done")
    assert ["done/a.csv", "done/deep/b.csv"] == wharf.names()
    assert "all: its name is one of the temporary ones" == wharf.why("done/c.tmp")


def test_names_at_the_destination_are_below_the_routes_folder(wharves):
    wharf = wharves({"from": {"path": "out"}})
    wharf.home.make_folder(b"out")
    wharf.home.make_folder(b"out/deep")
    wharf.put("out/deep/a.csv", b"data")
    [owed] = wharf.ledger.view.deliveries(1)
    assert "deep/a.csv" == owed.text


def test_each_route_takes_its_own_and_only_its_users(wharves):
    wharf = wharves(
        {"name": "csv", "from": {"match": "*.csv"}},
        {"name": "both", "from": {"user": USER}},
        {"name": "none", "from": {"user": "somebody"}},
    )
    wharf.put("a.csv", b"one")
    wharf.put("b.txt", b"two")
    assert (["a.csv"], ["a.csv", "b.txt"], []) == (wharf.names("csv"), wharf.names("both"), wharf.names("none"))


def test_two_contracts_for_one_file_are_both_kept(wharves):
    wharf = wharves({"name": "now", "arrival": {"complete": "close"}}, {"name": "later", "arrival": {"complete": "rename"}})
    wharf.put("a.csv", b"one")
    assert (["a.csv"], []) == (wharf.names("now"), wharf.names("later"))
    wharf.rename("a.csv", "b.csv")
    assert (["a.csv"], ["b.csv"]) == (wharf.names("now"), wharf.names("later"))


def test_without_a_route_it_stays_and_says_so(wharves):
    wharf = wharves({"from": {"user": "somebody"}})
    wharf.put("a.csv", b"one")
    assert "no route takes what this user uploads" == wharf.why("a.csv")


def test_bytes_that_another_name_brought_are_skipped_where_the_route_says_so(wharves):
    wharf = wharves({"from": {"duplicate": "skip"}})
    wharf.put("a.csv", b"same")
    wharf.put("b.csv", b"same")
    assert [(f"{USER}/a.csv", 1, "ready"), (f"{USER}/b.csv", 1, "skipped")] == wharf.arrivals()


def test_a_template_that_makes_no_safe_name_quarantines_with_the_reason(wharves):
    wharf = wharves({"from": {"match": "(?P<site>[^_]*)_.*"}, "to": [{"remote": "lake", "name": "{site}/{name}"}]})
    wharf.put("_a.csv", b"data")
    wharf.process()
    [(path, _, state)] = wharf.arrivals()
    assert (f"{USER}/_a.csv", "quarantined") == (path, state)


# Markers


def test_a_file_counts_when_its_marker_comes_and_the_marker_is_none(wharves):
    wharf = wharves({"arrival": {"complete": "marker"}})
    wharf.put("a.csv", b"data")
    assert "all: it waits for its marker a.csv.done" == wharf.why("a.csv")
    wharf.put("b.csv.done", b"")
    wharf.put("a.csv.done", b"")
    wharf.becomes(["a.csv"])
    wharf.put("b.csv", b"after its marker")
    wharf.becomes(["a.csv", "b.csv"])
    assert 0 == wharf.ledger.uploads.untaken()


def test_a_marker_speaks_for_one_version_and_may_come_again_with_the_same_bytes(wharves):
    wharf = wharves({"arrival": {"complete": "marker", "marker": "{stem}.ok"}})
    wharf.put("a.csv", b"one")
    wharf.put("a.ok", b"")
    wharf.becomes(["a.csv"])
    wharf.put("a.csv", b"two")
    time.sleep(0.1)
    assert [1] == [version for _, version, _ in wharf.arrivals()]
    wharf.put("a.ok", b"")
    wharf.becomes(["a.csv", "a.csv"])
    assert [1, 2] == [version for _, version, _ in wharf.arrivals()]


CHANGES = {
    "removed": lambda wharf, _: wharf.remove("in/a.csv"),
    "renamed": lambda wharf, _: wharf.rename("in/a.csv", "in/a.old"),
    "sent again": lambda wharf, _: wharf.put("in/a.csv", b"another"),
    "replaced by a rename": lambda wharf, _: (wharf.put("in/a.tmp", b"another"), wharf.rename("in/a.tmp", "in/a.csv")),
    "moved with its folder": lambda wharf, _: wharf.rename("in", "out"),
    "left without its word": lambda wharf, word: wharf.remove(word),
    "left by its word": lambda wharf, word: wharf.rename(word, word + ".old"),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("complete", ["marker", "sidecar"])
def test_what_is_done_to_a_file_after_the_yes_to_its_word_changes_nothing(wharves, monkeypatch, complete, what):
    wharf = wharves({"from": {"path": "in"}, "arrival": {"complete": complete}})
    wharf.home.make_folder(b"in")
    # Nobody has looked yet at what the word is about.
    monkeypatch.setattr(wharf.landing._judging, "poke", lambda: None)
    wharf.put("in/a.csv", b"data")
    word = "in/a.csv.done" if complete == "marker" else "in/a.csv.sha256"
    wharf.put(word, hashlib.sha256(b"data").hexdigest().encode())
    woken = wharf.woken
    CHANGES[what](wharf, word)
    assert ["a.csv"] == [name.rpartition("/")[2] for name in wharf.names()]
    [row] = wharf.ledger.view.list(_any())
    assert (hashlib.sha256(b"data").hexdigest(), woken + 1) == (row.sha256, wharf.woken)


@pytest.mark.parametrize("complete", ["marker", "sidecar"])
def test_a_file_that_comes_again_with_its_word_leaves_no_word_for_the_next_version(wharves, complete):
    wharf = wharves({"arrival": {"complete": complete}})
    word = "a.csv.done" if complete == "marker" else "a.csv.md5"
    for _ in range(3):
        wharf.put("a.csv", b"one")
        wharf.put(word, hashlib.md5(b"one").hexdigest().encode())
        wharf.becomes(["a.csv"])
        until = time.monotonic() + 10
        while wharf.why(word) and time.monotonic() < until:
            time.sleep(0.005)
        assert 0 == wharf.ledger.uploads.untaken()
    wharf.put("a.csv", b"two")
    time.sleep(0.1)
    assert [1] == [version for _, version, _ in wharf.arrivals()]
    # One that comes alone is for what comes next.
    wharf.put(word, hashlib.md5(b"two").hexdigest().encode())
    wharf.becomes(["a.csv", "a.csv"])
    wharf.put(word, hashlib.md5(b"three").hexdigest().encode())
    time.sleep(0.1)
    assert f"all: it is a {'marker' if complete == 'marker' else 'checksum'}, and no file waits for it" == wharf.why(word)
    wharf.put("a.csv", b"three")
    wharf.becomes(["a.csv"] * 3)


def test_a_marker_that_is_renamed_to_its_name_counts(wharves):
    wharf = wharves({"arrival": {"complete": "marker"}})
    wharf.put("a.csv", b"data")
    wharf.put("done.tmp", b"")
    wharf.rename("done.tmp", "a.csv.done")
    wharf.becomes(["a.csv"])


# Sidecars

KINDS = ("md5", "sha1", "sha256", "sha512")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", ["file", "sidecar"])
def test_a_checksum_that_agrees_lets_the_file_arrive(wharves, kind, first):
    wharf = wharves({"arrival": {"complete": "sidecar"}})
    data = b"some data"
    said = hashlib.new(kind, data).hexdigest()
    files = [("a.csv", data), (f"a.csv.{kind}", f"{said}  a.csv\n".encode())]
    for name, body in files if first == "file" else reversed(files):
        wharf.put(name, body)
    wharf.becomes(["a.csv"])
    assert [(f"{USER}/a.csv", 1, "ready")] == wharf.arrivals()
    assert 0 == wharf.ledger.uploads.untaken()


@pytest.mark.parametrize("first", ["file", "sidecar"])
def test_a_checksum_that_does_not_agree_quarantines_the_file(wharves, first):
    wharf = wharves({"arrival": {"complete": "sidecar"}})
    said = hashlib.sha256(b"other").hexdigest().upper()
    files = [("a.csv", b"some data"), ("a.csv.SHA256", f"SHA256 (a.csv) = {said}".encode())]
    for name, body in files if first == "file" else reversed(files):
        wharf.put(name, body)
    wharf.becomes(["a.csv"])
    wharf.process()
    row = wharf.ledger.view.arrival(1)
    assert "quarantined" == row.state
    assert "a.csv.SHA256 says" in row.reason
    wharf.put("a.csv", b"other")
    wharf.put("a.csv.sha256", hashlib.sha256(b"other").hexdigest().encode())
    wharf.becomes(["a.csv", "a.csv"])
    assert [(f"{USER}/a.csv", 1, "quarantined"), (f"{USER}/a.csv", 2, "ready")] == wharf.arrivals()


DIGEST = hashlib.sha256(b"some data").hexdigest()


@pytest.mark.parametrize(
    "said",
    [
        f"{DIGEST}\n",
        f"{DIGEST.upper()} *a.csv\r\n",
        f"SHA256 (a.csv) = {DIGEST}\n",
        f"SHA256(out/a.csv)= {DIGEST}\n",
        f"{'0' * 64}  b.csv\n{DIGEST}  ./a.csv\n",
    ],
)
def test_a_checksum_is_read_as_the_usual_programs_write_it(wharves, said):
    wharf = wharves({"arrival": {"complete": "sidecar"}})
    wharf.put("a.csv", b"some data")
    wharf.put("a.csv.sha256", said.encode())
    wharf.becomes(["a.csv"])
    assert [(f"{USER}/a.csv", 1, "ready")] == wharf.arrivals()


@pytest.mark.parametrize("said", [f"{DIGEST}  b.csv\n", f"SHA256 (b.csv) = {DIGEST}\n", f"# made by {DIGEST}\n", f"MD5 (a.csv) = {DIGEST}"])
def test_a_checksum_of_another_file_says_nothing_of_this_one(wharves, said):
    wharf = wharves({"arrival": {"complete": "sidecar"}})
    wharf.put("a.csv", b"some data")
    wharf.put("a.csv.sha256", said.encode())
    waits = "all: it waits for its checksum (.sha256, .sha512, .sha1, .md5); a.csv.sha256 says nothing of it"
    until(lambda: wharf.why("a.csv") == waits)
    assert [] == wharf.arrivals()


def test_two_checksums_of_one_file_in_one_sidecar_quarantine_it(wharves):
    wharf = wharves({"arrival": {"complete": "sidecar"}})
    wharf.put("a.csv", b"some data")
    wharf.put("a.csv.sha256", f"{DIGEST}  a.csv\n{'0' * 64}  a.csv\n".encode())
    wharf.becomes(["a.csv"])
    wharf.process()
    row = wharf.ledger.view.arrival(1)
    assert ("quarantined", True) == (row.state, "more than one checksum" in row.reason)


def test_a_checksum_that_cannot_be_read_lets_the_file_wait(wharves):
    wharf = wharves({"arrival": {"complete": "sidecar"}})
    wharf.put("a.csv", b"some data")
    wharf.put("a.csv.md5", b"no checksum at all")
    time.sleep(0.1)
    assert ([], True) == (wharf.arrivals(), wharf.why("a.csv").startswith("all: it waits for its checksum"))


# Quiet


def test_quiet_counts_what_nobody_has_touched_for_so_long(wharves):
    wharf = wharves({"arrival": {"complete": "quiet", "quiet": "0.3s"}})
    began = now()
    wharf.put("a.csv", b"one")
    assert ([], "all: it counts once nothing has changed for 0.3s") == (wharf.arrivals(), wharf.why("a.csv"))
    wharf.put("a.csv", b"two", append=True)
    wharf.becomes(["a.csv"])
    assert now() - began >= 300_000
    [row] = wharf.ledger.view.list(_any())
    assert hashlib.sha256(b"onetwo").hexdigest() == row.sha256


@pytest.mark.parametrize("exists", ["version", "replace"])
def test_what_was_sent_again_before_it_counted_never_counts_under_another_name(wharves, exists):
    wharf = wharves({"arrival": {"complete": "quiet", "quiet": "0.3s", "exists": exists}})
    for data in b"one", b"two", b"three":
        wharf.put("a.csv", data)
    wharf.becomes(["a.csv"])
    time.sleep(0.3)
    assert [(f"{USER}/a.csv", 1, "ready")] == wharf.arrivals()
    if exists == "version":
        assert "a newer file took its name before it counted" == wharf.why("a.v1.csv")
        wharf.rename("a.v1.csv", "b.csv")
        wharf.becomes(["a.csv", "b.csv"])


def test_quiet_goes_on_after_a_restart(folder, url):
    route = {"arrival": {"complete": "quiet", "quiet": "0.2s"}}
    wharf = Wharf(folder, url, route)
    wharf.put("a.csv", b"one")
    wharf.landing.close()
    time.sleep(0.25)
    assert [] == wharf.arrivals()
    wharf.landing = wharf.opened()
    wharf.becomes(["a.csv"])
    wharf.close()


def _any():
    from transload.ledger.view import Query

    return Query()


def test_a_younger_file_waits_for_its_age(wharves):
    wharf = wharves({"from": {"min_age": "0.3s"}})
    wharf.put("a.csv", b"one")
    assert "younger than min_age" in wharf.why("a.csv")
    wharf.becomes(["a.csv"])


def test_other_routes_judge_from_now_on_when_the_config_changes(wharves):
    wharf = wharves({"from": {"match": "*.txt"}})
    wharf.put("a.csv", b"one")
    before = wharf.ledger.uploads.at(USER, Name("a.csv"))
    assert not before.taken
    other = wharf.config.model_copy(update={"routes": wharves({"name": "csv", "from": {"match": "*.csv"}}).config.routes})
    wharf.landing.change(other)
    wharf.rename("a.csv", "b.csv")
    assert ["b.csv"] == wharf.names("csv")
