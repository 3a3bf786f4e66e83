"""What is delivered is whole or absent, once, under its own name."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.remotes.contract.asking import (
    BIG,
    HOSTILE,
    KIB,
    LINE_ENDS,
    OLD,
    delivered,
    published,
    sha256,
    staged,
)
from tests.remotes.places import now
from transload.errors import Conflict, Missing, Refused
from transload.model import Name, Staged, Verify, unspell


class Writing:
    """Whole or absent, once."""

    needs = frozenset({"writes"})

    def test_what_is_delivered_is_there(self, place, parcel):
        sizes = (0, 1, 4 * KIB, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 8 * KIB * KIB, BIG)
        parcels = [parcel(b"%d" % size, os.urandom(size)) for size in sizes]
        with place.connect() as session:
            receipts = delivered(session, *parcels)
        assert all(receipt.verified.rank >= Verify.SIZE.rank for receipt in receipts)
        for item in parcels:
            assert item.sha256 == sha256(place.files()[item.name.raw])
        assert len(parcels) == len(place.files())

    def test_nothing_shows_before_it_is_published(self, place, parcel):
        with place.connect() as session:
            staged(session, [parcel(b"a.csv"), parcel(b"sub/b.csv", b"x" * 100_000)])
            shown = [name for name in place.files() if not name.rpartition(b"/")[2].startswith(b".")]
            assert [] == shown
            assert session.look(Name(b"a.csv")) is None

    def test_missing_folders_are_made(self, place, parcel):
        with place.connect() as session:
            delivered(session, parcel(b"one/two/three/a"), parcel(b"one/two/three/b"), parcel(b"one/other/c"))
        assert [b"one/other/c", b"one/two/three/a", b"one/two/three/b"] == sorted(place.files())

    def test_two_hundred_and_fifty_six_small_files_in_one_batch(self, place, parcel):
        parcels = [parcel(b"in/%d/%03d" % (number % 5, number), b"%d" % number * 400) for number in range(256)]
        with place.connect() as session:
            delivered(session, *parcels)
        found = place.files()
        assert {item.name.raw: item.sha256 for item in parcels} == {name: sha256(data) for name, data in found.items()}

    def test_a_marker_is_an_empty_file(self, place, parcel):
        marker = replace(parcel(b"a.done"), file="", size=0, sha256=sha256(b""))
        with place.connect() as session:
            delivered(session, marker)
        assert {b"a.done": b""} == place.files()

    @pytest.mark.parametrize("level", [Verify.NONE, Verify.SIZE, Verify.HASH, Verify.READ_BACK])
    def test_it_is_verified_as_far_as_was_asked(self, place, parcel, level):
        with place.connect() as session:
            receipts = delivered(session, parcel(b"a", b"x" * 300_000, verify=level), parcel(b"b", b"", verify=level))
        assert all(receipt.verified.rank >= level.rank for receipt in receipts)

    def test_another_file_of_that_name_is_a_conflict_and_stays(self, place, parcel):
        place.plant(b"sub/a", b"old")
        with place.connect() as session:
            receipts = published(session, staged(session, [parcel(b"sub/a", b"new"), parcel(b"sub/b", b"other")]))
        faults = {receipt.parcel.name.raw: receipt.error for receipt in receipts}
        assert isinstance(faults[b"sub/a"], Conflict)
        assert faults[b"sub/b"] is None
        assert (b"old", b"other") == (place.files()[b"sub/a"], place.files()[b"sub/b"])

    def test_after_a_conflict_it_can_be_published_as_a_replacement(self, place, parcel):
        place.plant(b"a", b"old")
        with place.connect() as session:
            (waiting,) = staged(session, [parcel(b"a", b"new")])
            (refused,) = published(session, [waiting])
            assert isinstance(refused.error, Conflict)
            (receipt,) = published(session, [replace(waiting, parcel=replace(waiting.parcel, replace=True))])
        assert receipt.error is None
        assert {b"a": b"new"} == place.files()

    def test_a_replacement_replaces(self, place, parcel):
        place.plant(b"sub/a", b"old and long")
        with place.connect() as session:
            delivered(session, parcel(b"sub/a", b"new", replace=True))
        assert {b"sub/a": b"new"} == place.files()

    def test_a_replacement_of_nothing_is_a_plain_delivery(self, place, parcel):
        with place.connect() as session:
            delivered(session, parcel(b"a", b"new", replace=True))
        assert {b"a": b"new"} == place.files()

    def test_another_session_publishes_what_a_dead_one_staged(self, place, parcel):
        with place.connect() as session:
            waiting = staged(session, [parcel(b"sub/a", b"abc"), parcel(b"b", b"def")])
        again = [Staged(item.parcel, item.token, item.verified) for item in waiting]
        with place.connect() as session:
            assert [None, None] == [receipt.error for receipt in published(session, again)]
        assert {b"sub/a": b"abc", b"b": b"def"} == place.files()

    def test_publishing_twice_is_settled(self, place, parcel):
        with place.connect() as session:
            waiting = staged(session, [parcel(b"sub/a", b"abc", replace=True)])
            published(session, waiting)
        with place.connect() as session:
            (receipt,) = published(session, waiting)
        assert receipt.error is None or isinstance(receipt.error, Missing)
        assert {b"sub/a": b"abc"} == place.files()

    def test_publishing_twice_without_replacing_never_touches_what_is_there(self, place, parcel):
        with place.connect() as session:
            waiting = staged(session, [parcel(b"sub/a", b"abc")])
            published(session, waiting)
        with place.connect() as session:
            (receipt,) = published(session, waiting)
        assert receipt.error is None or isinstance(receipt.error, Missing | Conflict)
        assert {b"sub/a": b"abc"} == place.files()

    def test_staging_again_under_the_same_key_takes_the_new_bytes(self, place, parcel):
        first, second = parcel(b"a", b"x" * 300_000), parcel(b"a", b"short")
        with place.connect() as session:
            staged(session, [first])
        with place.connect() as session:
            delivered(session, replace(second, key=first.key))
        assert {b"a": b"short"} == place.files()

    def test_a_sweep_removes_what_a_dead_try_left(self, place, parcel):
        dead, alive = parcel(b"sub/a"), parcel(b"sub/b")
        with place.connect() as session:
            staged(session, [dead, alive])
        with place.connect() as session:
            waiting = staged(session, [alive])
            session.sweep(dead.key, dead.name)
            session.sweep(dead.key, dead.name)
            session.sweep("never-was", Name(b"no/such/folder/x"))
            published(session, waiting)
        assert {b"sub/b": b"data"} == place.files()

    def test_bytes_that_are_gone_or_fewer_than_told_are_outcomes_and_stop_no_other(self, place, parcel):
        gone, short, good = parcel(b"gone"), parcel(b"short", b"half of it"), parcel(b"good")
        os.unlink(gone.file)
        short = replace(short, size=20)
        with place.connect() as session:
            first = {outcome.parcel.name.raw: outcome for outcome in session.stage([gone, short, good])}
            faults = {name: outcome.error for name, outcome in first.items()}
            receipts = published(session, [outcome for outcome in first.values() if outcome.error is None])
        faults |= {receipt.parcel.name.raw: receipt.error for receipt in receipts}
        assert {b"gone": True, b"short": True, b"good": False} == {name: fault is not None for name, fault in faults.items()}
        assert [b"good"] == [name for name in place.files() if not name.startswith(b".")]

    def test_a_name_that_is_in_the_way_of_a_folder_is_an_outcome(self, place, parcel):
        place.plant(b"file", b"old")
        with place.connect() as session:
            outcomes = {outcome.parcel.name.raw: outcome for outcome in session.stage([parcel(b"file/below"), parcel(b"good")])}
            receipts = published(session, [outcome for outcome in outcomes.values() if outcome.error is None])
        assert b"good" in {receipt.parcel.name.raw for receipt in receipts if receipt.error is None}
        assert (b"old", b"data") == (place.files()[b"file"], place.files()[b"good"])
        if place.folders:
            assert outcomes[b"file/below"].error is not None

    def test_a_folder_of_that_name_is_an_outcome(self, place, parcel):
        place.plant(b"name/inside", b"old")
        with place.connect() as session:
            outcomes = list(session.stage([parcel(b"name", replace=True), parcel(b"good")]))
            receipts = published(session, [outcome for outcome in outcomes if outcome.error is None])
        errors = {item.parcel.name.raw: item.error for item in [*outcomes, *receipts]}
        assert errors[b"good"] is None
        assert b"old" == place.files()[b"name/inside"]
        assert errors[b"name"] is not None or not place.folders

    def test_the_time_is_carried_where_it_can_be(self, place, parcel):
        with place.connect() as session:
            delivered(session, parcel(b"a", modified=int(OLD * 10**6)))
            seen = session.look(Name(b"a"))
        moment = OLD if place.carries_time else now()
        assert abs(seen.modified / 10**6 - moment) < 60 + seen.precision


class WritingNames:
    """A name comes through as it is, in a spelling that can be undone, or is refused; two never become one."""

    needs = frozenset({"writes"})

    def test_hostile_names_stay_apart_and_can_be_told_again(self, place, parcel):
        parcels = [parcel(b"out/" + name, b"%d" % number) for number, name in enumerate(HOSTILE)]
        with place.connect() as session:
            outcomes = list(session.stage(parcels))
            receipts = published(session, [outcome for outcome in outcomes if outcome.error is None])
            good = [receipt.parcel for receipt in receipts if receipt.error is None]
            assert {item.name: item.size for item in good} == {item.name: session.look(item.name).size for item in good}
            assert {item.name: item.sha256 for item in good} == {item.name: session.hash(item.name) for item in good}
        refused = [item for item in [*outcomes, *receipts] if item.error is not None]
        assert all(isinstance(item.error, Refused) for item in refused), [(item.parcel.name, item.error) for item in refused]
        found = place.files()
        assert len(good) == len(found)
        for item in good:
            names = [name for name, data in found.items() if sha256(data) == item.sha256]
            assert any(name == item.name.raw or unspell(name.decode("utf-8", "surrogateescape")) == item.name.raw for name in names), (
                item.name
            )
        unheld = [item.parcel.name for item in refused if not any(end in item.parcel.name.raw for end in LINE_ENDS)]
        assert [] == unheld

    def test_names_that_spell_alike_stay_apart(self, place, parcel):
        alike = [b"a\xffb", b"a%FFb", b"a%ffb", b"a%25FFb", b"a\nb", b"a%0Ab", b"a:b", b"a%3Ab", b"a\\b", b"a%5Cb"]
        parcels = [parcel(name, name) for name in alike]
        with place.connect() as session:
            outcomes = list(session.stage(parcels))
            receipts = published(session, [outcome for outcome in outcomes if outcome.error is None])
        good = sorted(receipt.parcel.name.raw for receipt in receipts if receipt.error is None)
        assert good == sorted(place.files().values())

    def test_a_part_of_more_than_255_bytes_is_refused_or_held(self, place, parcel):
        parcels = [parcel(b"x" * 256, b"1"), parcel(b"y" * 1000, b"2"), parcel(b"ok", b"3")]
        with place.connect() as session:
            outcomes = list(session.stage(parcels))
            receipts = published(session, [outcome for outcome in outcomes if outcome.error is None])
            for item in parcels:
                session.sweep(item.key, item.name)
        errors = {item.parcel.name.raw: item.error for item in [*outcomes, *receipts]}
        assert errors.pop(b"ok") is None
        assert {Refused if place.folders else type(None)} == {type(error) for error in errors.values()}
        held = {b"ok"} | {name for name, error in errors.items() if error is None}
        assert held == set(place.files())

    def test_looking_for_a_name_that_cannot_be_is_no_accident(self, place):
        with place.connect() as session:
            for name in (b"x" * 300, b"new\nline", b"\xff", b"no/such/folder/at/all"):
                try:
                    assert session.look(Name(name)) is None
                    assert session.hash(Name(name)) is None
                except Refused:
                    pass
            assert session.look(Name(b"absent")) is None
