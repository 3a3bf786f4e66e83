"""Bytes come whole and right, or it is said why not."""

from __future__ import annotations

import os
from dataclasses import replace

from tests.peers.relay import Relay
from tests.remotes.contract.asking import (
    BIG,
    KIB,
    OLD,
    Counting,
    content,
    fetched,
    listed,
)
from transload.errors import Changed, Missing, Transient, Unreachable
from transload.model import Name


class Fetching:
    """Bytes, whole and right, or an outcome that says why not."""

    needs = frozenset({"reads"})

    def test_sizes_at_every_edge_come_with_the_right_hash(self, place, spool):
        for size in (0, 1, 4 * KIB, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, BIG):
            place.plant(b"in/%d" % size, os.urandom(size))
        with place.connect() as session:
            outcomes = fetched(session, listed(session, "in").values(), spool)
        assert place.planted == {path: content(outcome) for path, outcome in outcomes.items()}

    def test_three_hundred_files_come_in_one_batch(self, place, spool):
        for number in range(300):
            place.plant(b"in/%03d" % number, b"%d" % number * number)
        with place.connect() as session:
            outcomes = fetched(session, listed(session, "in").values(), spool)
        assert place.planted == {path: content(outcome) for path, outcome in outcomes.items()}

    def test_a_missing_file_is_an_outcome_and_stops_no_other(self, place, spool):
        for name in (b"a", b"b", b"c"):
            place.plant(name, name * 10)
        with place.connect() as session:
            found = listed(session)
            entries = [found[b"a"], replace(found[b"b"], name=Name(b"gone")), found[b"b"], found[b"c"]]
            outcomes = fetched(session, entries, spool)
            assert isinstance(outcomes.pop(b"gone").error, Missing)
            assert place.planted == {path: content(outcome) for path, outcome in outcomes.items()}
            assert place.planted == {path: content(outcome) for path, outcome in fetched(session, found.values(), spool).items()}

    def test_a_file_that_changed_since_it_was_listed_is_changed(self, place, spool):
        place.plant(b"a", b"first" * 1000)
        place.plant(b"b", b"same")
        with place.connect() as session:
            entries = list(listed(session).values())
            place.plant(b"a", b"second and longer" * 1000, OLD + 5000)
            outcomes = fetched(session, entries, spool)
        assert isinstance(outcomes[b"a"].error, Changed)
        assert outcomes[b"a"].spooled is None
        assert b"same" == content(outcomes[b"b"])

    def test_a_cut_fetch_is_continued(self, place, spool):
        data = os.urandom(BIG)
        place.plant(b"big", data)
        counting = Counting(spool)
        with place.connect() as session:
            entries = list(listed(session).values())
            part = spool.part(entries[0])
            part.write(data[: BIG // 2])
            part.keep()
            assert data == content(fetched(session, entries, counting)[b"big"])
        assert len(data) // 2 == counting.written

    def test_a_part_of_another_file_is_not_continued(self, place, spool):
        data = os.urandom(BIG)
        place.plant(b"big", data)
        with place.connect() as session:
            entries = list(listed(session).values())
            part = spool.part(entries[0])
            part.write(os.urandom(BIG // 2))
            part.keep()
            assert data == content(fetched(session, entries, spool)[b"big"])

    def test_a_part_that_is_whole_is_fetched_to_its_end(self, place, spool):
        data = os.urandom(256 * KIB)
        place.plant(b"big", data)
        with place.connect() as session:
            entries = list(listed(session).values())
            part = spool.part(entries[0])
            part.write(data)
            part.keep()
            assert data == content(fetched(session, entries, spool)[b"big"])

    def test_stat_tells_what_the_listing_told(self, place):
        place.plant(b"sub/a", b"abc")
        with place.connect() as session:
            (entry,) = listed(session, "sub").values()
            seen = session.stat(entry)
            assert (entry.folder, entry.name, entry.size, entry.etag) == (seen.folder, seen.name, seen.size, seen.etag)
            assert abs(seen.modified - entry.modified) / 10**6 < max(entry.precision, seen.precision)
            assert session.stat(replace(entry, name=Name(b"gone"))) is None or not place.absolute


class Breaking:
    """Lines that break in the middle; for remotes whose every byte passes one port."""

    needs = frozenset({"one-port"})

    def test_a_fetch_that_was_cut_is_continued_by_the_next_session(self, place, spool):
        data = os.urandom(BIG)
        place.plant(b"big", data)
        with Relay(place.port) as relay:
            with place.connect(port=relay.port) as session:
                entries = list(listed(session).values())
                relay.down_left = BIG // 2
                try:
                    (outcome,) = session.fetch(entries, spool)
                    assert isinstance(outcome.error, Transient)
                except Unreachable:
                    pass
            relay.mend()
            counting = Counting(spool)
            with place.connect(port=relay.port) as session:
                assert data == content(fetched(session, entries, counting)[b"big"])
        assert counting.written < len(data)
