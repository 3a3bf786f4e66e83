"""A web server that takes what it is told, or does not."""

from __future__ import annotations

import pytest

from tests.peers.certificates import Certificates
from tests.peers.receiver import Receiver
from transload.notice import Notice
from transload.notify import Message


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def certificates():
    return Certificates()


@pytest.fixture
def secure(certificates):
    """Makes servers with TLS."""
    made: list[Receiver] = []

    def make(name: str = "good") -> Receiver:
        made.append(Receiver(getattr(certificates, name)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def message():
    notice = Notice("quarantined", "acl", "in/a b.csv", "EICAR was found", 1_700_000_000_000_000, "acl/1", "sftp://carrier/out")
    return Message("Transload: acl: quarantined (1)", "quarantined: in/a b.csv <!channel> & *bold*", (notice,))
