"""What cannot be reached, or breaks, is told in one line, in time."""

from __future__ import annotations

import os
import socket
import time

import pytest

from tests.peers.relay import Relay
from tests.remotes.contract.asking import (
    BIG,
    delivered,
    listed,
    published,
    staged,
)
from transload.errors import ConfigError, Denied, Transient, Unreachable
from transload.secret import Secret


class BreakingUploads:
    """The same the other way."""

    needs = frozenset({"one-port", "writes"})

    @staticmethod
    def broken_put(place, relay, wanted):
        with place.connect(port=relay.port) as session:
            relay.up_left = BIG // 2
            published(session, staged(session, [wanted]))

    def test_a_put_that_breaks_half_way_shows_nothing_and_is_swept(self, place, parcel):
        wanted = parcel(b"in/big", os.urandom(BIG))
        with Relay(place.port) as relay, pytest.raises(Unreachable):
            self.broken_put(place, relay, wanted)
        assert b"in/big" not in place.files()
        with place.connect() as session:
            session.sweep(wanted.key, wanted.name)
            assert {} == place.files()
            delivered(session, wanted)
            assert [b"in/big"] == list(place.files())

    def test_a_put_that_breaks_half_way_leaves_the_old_file(self, place, parcel):
        place.plant(b"big", b"old")
        with Relay(place.port) as relay, pytest.raises(Unreachable):
            self.broken_put(place, relay, parcel(b"big", os.urandom(BIG), replace=True))
        assert b"old" == place.files()[b"big"]


class Reaching:
    """What cannot be reached is said in one line, in time."""

    needs = frozenset({"network"})

    def test_a_refused_port_names_host_and_port(self, place):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        place.plant(b"a")
        with pytest.raises(Unreachable, match=rf"(?s)127\.0\.0\.1.*{port}"), place.connect(port=port) as session:
            listed(session)

    def test_a_server_that_hangs_is_unreachable_within_the_timeout(self, place):
        place.plant(b"a")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            began = time.monotonic()
            with pytest.raises(Unreachable), place.connect(port=silent.getsockname()[1], timeout=1) as session:
                listed(session)
            assert time.monotonic() - began < 8

    def test_a_fetch_that_stalls_is_unreachable_within_the_timeout(self, place, spool):
        place.plant(b"big", os.urandom(BIG))
        with Relay(place.port) as relay:
            with place.connect(port=relay.port, timeout=1) as session:
                entries = list(listed(session).values())
                relay.stall, relay.down_left = True, 1
                began = time.monotonic()
                try:
                    (outcome,) = session.fetch(entries, spool)
                    assert isinstance(outcome.error, Transient)
                except Transient:
                    pass
            assert time.monotonic() - began < 12


class LoggingIn:
    """Who may not come in is told so, and no secret is told."""

    needs = frozenset({"password"})

    def test_a_wrong_password_is_denied_and_not_told(self, place):
        with pytest.raises(Denied) as caught, place.connect(**place.wrong) as session:
            listed(session)
        assert not [value for secret in place.wrong.values() for value in [secret.reveal()] if value in _told(caught.value)]

    def test_a_secret_that_is_not_set_is_named(self, place):
        unset = dict.fromkeys(place.wrong, Secret(env="TRANSLOAD_TEST_NOT_SET"))
        with pytest.raises(ConfigError, match="TRANSLOAD_TEST_NOT_SET"), place.connect(**unset) as session:
            listed(session)


def _told(error: BaseException) -> str:
    return str(error) + (_told(error.__cause__) if error.__cause__ else "")
