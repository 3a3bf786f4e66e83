"""Unknown outcomes are settled by looking; sources are removed and moved."""

from __future__ import annotations

import os

import pytest

from tests.remotes.contract.asking import (
    HOSTILE,
    LINE_ENDS,
    delivered,
    listed,
    sha256,
)
from transload.errors import Conflict, Missing
from transload.model import Name, unspell


class Looking:
    """The truth about what is there, to settle what nobody answered."""

    needs = frozenset({"writes"})

    def test_look_tells_name_and_size(self, place):
        place.plant(b"sub/a", b"abc")
        with place.connect() as session:
            seen = session.look(Name(b"sub/a"))
            assert session.look(Name(b"sub/b")) is None
            assert session.look(Name(b"none/b")) is None
        assert (b"sub/a", 3) == (seen.path, seen.size)

    def test_hash_is_that_of_the_bytes_that_are_there(self, place, parcel):
        data = os.urandom(300_000)
        place.plant(b"sub/a", data)
        with place.connect() as session:
            delivered(session, parcel(b"sub/b", data))
            assert sha256(data) == session.hash(Name(b"sub/a"))
            assert sha256(data) == session.hash(Name(b"sub/b"))
            assert session.hash(Name(b"sub/c")) is None

    def test_hash_is_not_what_was_once_delivered(self, place, parcel):
        with place.connect() as session:
            delivered(session, parcel(b"a", b"ours"))
            place.plant(b"a", b"theirs")
            assert sha256(b"theirs") == session.hash(Name(b"a"))


class Settling:
    """Removing and moving what was delivered elsewhere."""

    needs = frozenset({"settles"})

    def test_a_removed_file_is_gone_and_others_are_not(self, place):
        place.plant(b"sub/a", b"abc")
        place.plant(b"sub/b", b"def")
        with place.connect() as session:
            entry = listed(session, "sub")[b"a"]
            session.remove(entry)
            assert {b"sub/b": b"def"} == place.files()
            with pytest.raises(Missing):
                session.remove(entry)
            assert [b"b"] == list(listed(session, "sub"))

    def test_a_moved_file_is_where_it_was_moved_to(self, place):
        place.plant(b"sub/a", b"abc")
        with place.connect() as session:
            entry = listed(session, "sub")[b"a"]
            session.move(entry, Name(b"done/today/a"))
            assert {b"sub/done/today/a": b"abc"} == place.files()
            with pytest.raises(Missing):
                session.move(entry, Name(b"done/today/a2"))

    def test_a_move_never_goes_over_another_file(self, place):
        place.plant(b"a", b"abc")
        place.plant(b"done/a", b"other")
        with place.connect() as session:
            with pytest.raises(Conflict):
                session.move(listed(session)[b"a"], Name(b"done/a"))
            assert {b"a": b"abc", b"done/a": b"other"} == place.files()
            session.move(listed(session)[b"a"], Name(b"done/a.2"))
        assert {b"done/a.2": b"abc", b"done/a": b"other"} == place.files()

    def test_hostile_names_are_moved_and_removed(self, place):
        names = [name for name in HOSTILE[:36] if place.holds(name) and Name(name).is_text and not any(end in name for end in LINE_ENDS)]
        for name in names:
            place.plant(name, name)
        with place.connect() as session:
            for entry in listed(session).values():
                session.move(entry, Name(b"done") / entry.name)
            moved = place.files()
            # As it was called, or in a spelling that can be undone.
            assert all(data in (name[5:], unspell(name[5:].decode())) for name, data in moved.items())
            assert sorted(names) == sorted(moved.values())
            for entry in listed(session, "done").values():
                session.remove(entry)
        assert {} == place.files()
