"""Listings tell the whole truth."""

from __future__ import annotations

import pytest

from tests.peers.relay import Relay
from tests.remotes.contract.asking import (
    HOSTILE,
    KIB,
    LINE_ENDS,
    OLD,
    content,
    fetched,
    listed,
)
from tests.remotes.places import now
from transload.errors import Missing, Unreachable


class Listing:
    """What is there, told whole and right."""

    needs = frozenset({"reads"})

    def test_a_listing_tells_names_sizes_and_times(self, place):
        times = {b"old.csv": OLD, b"one": now() - 3600, b"sub/big.bin": now() - 90 * 86400, b"sub/deep/empty": OLD + 1}
        sizes = {b"old.csv": 3, b"one": 1, b"sub/big.bin": 256 * KIB + 1, b"sub/deep/empty": 0}
        for name, moment in times.items():
            place.plant(name, b"x" * sizes[name], moment)
        with place.connect() as session:
            found = listed(session)
        assert sizes == {name: entry.size for name, entry in found.items()}
        for name, entry in found.items():
            moment = times[name] if place.sets_time else now()
            assert abs(entry.modified / 10**6 - moment) < (entry.precision if place.sets_time else 60), name

    def test_a_listing_of_one_folder_does_not_descend(self, place):
        for name in (b"top", b"sub/one", b"sub/deep/two"):
            place.plant(name)
        with place.connect() as session:
            assert [b"top"] == sorted(listed(session, recursive=False))
            assert [b"one"] == sorted(listed(session, "sub", recursive=False))

    def test_names_are_relative_to_the_folder_that_was_asked_for(self, place):
        for name in (b"top", b"sub/one", b"sub/deep/two"):
            place.plant(name)
        with place.connect() as session:
            found = listed(session, "sub")
        assert {b"one": "sub", b"deep/two": "sub"} == {name: entry.folder for name, entry in found.items()}
        assert {b"sub/one", b"sub/deep/two"} == {entry.path for entry in found.values()}

    def test_a_folder_whose_name_only_begins_alike_is_not_listed(self, place):
        place.plant(b"sub/one")
        place.plant(b"sub2/two")
        with place.connect() as session:
            assert [b"one"] == sorted(listed(session, "sub"))

    def test_a_missing_folder_is_missing_and_not_an_empty_one(self, place):
        place.plant(b"there")
        with place.connect() as session:
            if place.folders:
                with pytest.raises(Missing, match="nowhere"):
                    listed(session, "nowhere")
            else:
                assert {} == listed(session, "nowhere")

    def test_after_a_missing_folder_the_session_goes_on(self, place):
        place.plant(b"there")
        with place.connect() as session:
            try:
                listed(session, "nowhere")
            except Missing:
                assert place.folders
            assert [b"there"] == sorted(listed(session))

    def test_a_file_in_place_of_a_folder_is_that_one_file(self, place):
        place.plant(b"sub/one.csv", b"abc")
        place.plant(b"sub/two.csv")
        with place.connect() as session:
            (entry,) = session.list("sub/one.csv", recursive=True)
        assert ("sub", b"one.csv", 3) == (entry.folder, entry.name.raw, entry.size)

    def test_an_absolute_folder_is_the_stores_own(self, place, spool):
        if place.absolute is None:
            return
        place.plant(b"sub/one", b"abc")
        with place.connect() as session:
            found = listed(session, place.absolute + "/sub")
            assert [b"one"] == list(found)
            assert [b"abc"] == [content(outcome) for outcome in fetched(session, found.values(), spool).values()]

    def test_a_place_with_nothing_in_it_yields_nothing(self, place):
        with place.connect() as session:
            if not place.planted and place.port and place.absolute is None:
                return  # web addresses: there is no listing without a file
            assert {} == listed(session)

    def test_more_files_than_fit_into_one_answer_are_all_listed(self, place):
        if place.absolute is None:
            return  # web addresses are asked one by one
        many = {b"many/%05d.dat" % number for number in range(1050)}
        for name in many:
            place.plant(name, b"x")
        with place.connect() as session:
            assert {name.removeprefix(b"many/") for name in many} == set(listed(session, "many"))

    def test_hostile_names_are_listed_right_or_not_at_all(self, place, spool):
        for number, name in enumerate(HOSTILE):
            if place.holds(name):
                place.plant(b"in/" + name, b"%d" % number)
        with place.connect() as session:
            found = listed(session, "in")
            outcomes = fetched(session, found.values(), spool)
        right = {path: data for path, data in place.planted.items() if path in outcomes and outcomes[path].error is None}
        assert right == {path: content(outcome) for path, outcome in outcomes.items() if outcome.error is None}
        lost = {path for path in place.planted if path not in right and not any(end in path for end in LINE_ENDS)}
        assert set() == lost

    def test_a_listing_that_breaks_is_unreachable(self, place):
        if place.port is None:
            return
        place.plant(b"one")
        with Relay(place.port) as relay, place.connect(port=relay.port) as session:
            listed(session)
            relay.cut()
            with pytest.raises(Unreachable):
                listed(session)
