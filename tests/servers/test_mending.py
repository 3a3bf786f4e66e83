"""Homes after a death: they show again what the ledger says, and nothing that a dead process left; the rest is left alone."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.servers.landings import USER, Wharf, answered, evidence
from transload.model import Name
from transload.servers.base import KEPT, RESERVED
from transload.servers.landing import FolderLanding, groups, members, placing, sweeping
from transload.servers.landing.kept import PASSING
from transload.servers.landing.mending import Mending


@pytest.fixture
def again(wharf):
    """Lets another landing begin where the first one has ended, and waits until it has put the homes right."""

    def begin():
        wharf.landing.close()
        wharf.landing = wharf.opened()
        assert wharf.landing._tending.mended.wait(20)

    # The first one has begun to put them right too.
    assert wharf.landing._tending.mended.wait(20)
    return begin


def at(wharf, name) -> Path:
    return Path(os.fsdecode(wharf.home.root), name)


def told_long_ago(wharf, name, micros=3600 * 1_000_000) -> None:
    with wharf.ledger.database.write() as connection:
        connection.execute(text("update uploads set updated = updated - :ago where text = :name"), {"ago": micros, "name": name})


def test_a_copy_that_is_missing_is_made_again(wharf, again):
    wharf.put("a.csv", b"one")
    wharf.home.make_folder(b"d")
    wharf.put("d/b.csv", b"two")
    at(wharf, "a.csv").unlink()
    at(wharf, "d/b.csv").unlink()
    at(wharf, "d").rmdir()
    again()
    assert {"a.csv": b"one", "d/b.csv": b"two"} == wharf.files(hidden=True)


@pytest.mark.parametrize("broken", [b"", b"tw", b"xyz", b"longer"])
def test_a_copy_that_is_broken_is_made_again_and_what_is_no_part_of_it_is_kept(wharf, again, broken):
    wharf.put("a.csv", b"one")
    at(wharf, "a.csv").write_bytes(broken)
    again()
    aside = {} if len(broken) < 3 else {"a.v1.csv": broken}
    assert {"a.csv": b"one"} | aside == wharf.files(hidden=True)


def test_what_somebody_took_out_of_the_home_long_ago_stays_out(wharf, again):
    for name in ("old.csv", "changed.csv", "x.tmp", "new.csv"):
        wharf.put(name, name.encode())
    for name in ("old.csv", "x.tmp"):
        at(wharf, name).unlink()
    at(wharf, "changed.csv").write_bytes(b"by somebody who may")
    for name in ("old.csv", "changed.csv", "x.tmp"):
        told_long_ago(wharf, name)
    again()
    assert {"changed.csv": b"by somebody who may", "x.tmp": b"x.tmp", "new.csv": b"new.csv"} == wharf.files(hidden=True)
    assert wharf.landing.sha256(wharf.home, Name("old.csv")) is None


@pytest.mark.parametrize("exists", ["version", "replace"])
def test_a_death_between_ledger_and_home_is_mended(wharves, url, monkeypatch, exists):
    wharf = wharves({"arrival": {"exists": exists}})
    wharf.put("a.csv", b"one")

    def died(*_, **__):
        raise members.Missing("a stand-in for a death")

    with monkeypatch.context() as patched:
        patched.setattr(placing.Placing, "show", died)
        wharf.put("a.csv", b"two")
    assert {b"one", b"two"} == set(wharf.files(hidden=True).values())
    wharf.close()
    second = Wharf(wharf.folder, url, {"arrival": {"exists": exists}})
    try:
        assert second.landing._tending.mended.wait(20)
        until = time.monotonic() + 10
        while len(second.files(hidden=True)) > (2 if exists == "version" else 1) and time.monotonic() < until:
            time.sleep(0.01)
        wanted = {"a.csv": b"two"} | ({"a.v1.csv": b"one"} if exists == "version" else {})
        found = second.files(hidden=True)
        assert wanted.items() <= found.items()
        assert not [name for name in found if os.fsencode(name).startswith(RESERVED)]
    finally:
        second.close()


def test_a_rename_that_died_between_disk_and_ledger_leaves_one_file(wharf, again):
    wharf.put("x.tmp", b"data")
    at(wharf, "x.tmp").rename(at(wharf, "x.csv"))
    again()
    assert {"x.tmp": b"data"} == wharf.files(hidden=True)
    wharf.rename("x.tmp", "x.csv")
    assert ["x.csv"] == wharf.names()


def test_what_others_have_put_into_a_home_is_left_alone(wharf, again):
    at(wharf, "price list.csv").write_bytes(b"for the user to fetch")
    wharf.put("a.csv", b"one")
    again()
    assert {"price list.csv": b"for the user to fetch", "a.csv": b"one"} == wharf.files(hidden=True)


def test_cut_uploads_are_kept_for_as_long_as_the_contract_says(wharves):
    wharf = wharves({"arrival": {"expire": "1h"}})
    wharf.cut("a.csv", b"young")
    wharf.cut("b.csv", b"old")
    os.utime(at(wharf, os.fsdecode(KEPT) + "b.csv"), (time.time() - 3700,) * 2)
    wharf.landing.close()
    wharf.landing = wharf.opened()
    until = time.monotonic() + 10
    while wharf.kept("b.csv") and time.monotonic() < until:
        time.sleep(0.01)
    assert (b"young", None) == (wharf.kept("a.csv"), wharf.kept("b.csv"))


def test_each_is_kept_for_as_long_as_its_own_route_says(wharves):
    short = {"name": "short", "from": {"path": "a"}, "arrival": {"expire": "1h"}}
    wharf = wharves(short, {"name": "long", "from": {"path": "b"}, "arrival": {"expire": "2h"}})
    for folder in "a", "b":
        wharf.home.make_folder(folder.encode())
        wharf.cut(f"{folder}/cut.csv", b"half")
        os.utime(at(wharf, f"{folder}/{os.fsdecode(KEPT)}cut.csv"), (time.time() - 3700,) * 2)
    wharf.landing.close()
    wharf.landing = wharf.opened()
    until = time.monotonic() + 10
    while wharf.kept("a/cut.csv") and time.monotonic() < until:
        time.sleep(0.01)
    assert (None, b"half") == (wharf.kept("a/cut.csv"), wharf.kept("b/cut.csv"))


def test_a_replaced_file_that_a_death_left_behind_is_removed_after_a_while(wharf, again, monkeypatch):
    left = os.fsdecode(PASSING) + "0123456789abcdef"
    at(wharf, left).write_bytes(b"replaced")
    wharf.put("a.csv", b"data")
    again()
    assert {left, "a.csv"} == wharf.files(hidden=True).keys()
    monkeypatch.setattr(sweeping, "_PASSED", 0.0)
    again()
    until = time.monotonic() + 10
    while left in wharf.files(hidden=True) and time.monotonic() < until:
        time.sleep(0.01)
    assert {"a.csv": b"data"} == wharf.files(hidden=True)


def test_what_a_dead_process_was_about_to_show_is_removed_and_what_a_live_one_is_stays(wharf, again):
    dead = RESERVED + b"new." + b"0123456789abcdef.7"
    alive = RESERVED + b"new." + wharf.spool.token.encode() + b".999"
    for name in (dead, alive):
        at(wharf, os.fsdecode(name)).write_bytes(b"half")
    again()
    until = time.monotonic() + 10
    while os.fsdecode(dead) in wharf.files(hidden=True) and time.monotonic() < until:
        time.sleep(0.01)
    assert [os.fsdecode(alive)] == list(wharf.files(hidden=True))


def test_bytes_that_are_in_neither_place_any_more_are_no_longer_here(wharf, again):
    wharf.put("a.csv", b"one")
    at(wharf, "a.csv").unlink()
    Path(wharf.spool.path(wharf.landing.sha256(wharf.home, Name("a.csv")))).unlink()
    again()
    assert ({}, None) == (wharf.files(hidden=True), wharf.landing.sha256(wharf.home, Name("a.csv")))


def test_uploads_go_on_while_homes_are_mended(wharf):
    for number in range(50):
        wharf.put(f"{number}.csv", b"%d" % number)
        at(wharf, f"{number}.csv").unlink()
    wharf.landing.close()
    wharf.landing = wharf.opened()
    for number in range(50):
        upload = wharf.begin(f"{number}.csv")
        upload.write(b"again %d" % number)
        answered(upload.finish)
    assert wharf.landing._tending.mended.wait(20)
    rows = {row.path.decode(): row.sha256 for row in wharf.ledger.uploads.under(USER, b"")}
    assert {f"{number}.csv" for number in range(50)} <= rows.keys()
    assert rows.keys() == wharf.files(hidden=True).keys()
    assert all(wharf.files()[f"{number}.csv"] == b"again %d" % number for number in range(50))


def test_a_plain_folder_is_swept_at_the_start_too(tmp_path):
    home = tmp_path / "inbox" / "agent"
    home.mkdir(parents=True)
    old, young, dead = (home / (os.fsdecode(KEPT) + "old"), home / (os.fsdecode(KEPT) + "young"), home / "\x2e\x1fnew.0123456789abcdef.1")
    for path in (old, young, dead):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 8 * 86400,) * 2)
    landing = FolderLanding(tmp_path / "inbox")
    until = time.monotonic() + 10
    while (old.exists() or dead.exists()) and time.monotonic() < until:
        time.sleep(0.01)
    landing.close()
    assert (False, False, True) == (old.exists(), dead.exists(), young.exists())


def test_a_server_that_stops_keeps_what_it_was_not_sure_of(wharf):
    upload, sure, heard = wharf.begin("a.csv"), evidence(), []
    upload.write(b"data")
    upload.finish(heard.append, sure)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(groups, "_LAST", 0.1)
        wharf.landing.close()
    assert (["the server is stopping"], b"dat") == ([str(one) for one in heard], wharf.kept("a.csv"))
    sure.set_result(True)
    wharf.landing = wharf.opened()
    wharf.put("a.csv", b"a and more", append=True)
    assert {"a.csv": b"data and more"} == wharf.files(hidden=True)


def test_what_came_since_the_process_began_is_not_a_dead_ones(wharf):
    """Another program changed it, not a death: it stays as it is until a later process finds it."""
    mending = Mending(wharf.ledger, wharf.spool, "n1", nullcontext())
    wharf.put("a.csv", b"data")
    at(wharf, "a.csv").write_bytes(b"longer than before")
    assert 0 == mending.mend(lambda _: wharf.home, lambda: True)
    assert {"a.csv": b"longer than before"} == wharf.files()
    assert 1 == Mending(wharf.ledger, wharf.spool, "n1", nullcontext()).mend(lambda _: wharf.home, lambda: True)
    assert b"data" == wharf.files()["a.csv"]
