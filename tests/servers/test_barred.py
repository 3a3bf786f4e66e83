"""What is kept apart cannot be had back from the home that it came into: as the landing sees it, and as clients are told."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests import forge
from tests.crash.until import until
from tests.peers.base import PASSWORD
from tests.servers.clients import CLIENTS, EXPLICIT, IMPLICIT, PLAIN, SFTP
from tests.servers.landings import USER, Wharf
from tests.servers.running import SECRET, Up
from transload.accounts import Account
from transload.errors import Denied, LedgerAway
from transload.model import Name
from transload.servers.landing import barred
from transload.servers.landing.ledgered import LedgerLanding
from transload.workplace import vault_of

STEPS = {"steps": [{"kind": "limits", "max_size": "10B"}]}
BAD, GOOD = b"far too large for it", b"small"


@pytest.fixture
def gated(wharves):
    """A landing whose route has steps."""
    wharf = wharves(STEPS)
    (wharf.config.data / "quarantine").mkdir(mode=0o700)
    return wharf


def keep_apart(wharf: Wharf) -> list[int]:
    """What waits for its steps is held, as a worker would do it; gives the arrivals."""
    claim = wharf.ledger.claims.process("w1", "all", "@steps:n1", node="n1", files=10, size=1 << 40)
    numbers = [item.id for item in wharf.ledger.processing.items(claim.id)]
    for number in numbers:
        wharf.ledger.quarantine.put(claim.id, number, "n1", "too large")
    wharf.ledger.claims.done(claim.id)
    vault_of(wharf.config).changed()
    return numbers


def readable(wharf: Wharf, name: str, landing: LedgerLanding | None = None) -> bool:
    try:
        (landing or wharf.landing).check_read(wharf.home, Name(name))
    except Denied:
        return False
    return True


def test_what_is_held_or_discarded_cannot_be_read_and_what_is_released_can(gated):
    gated.put("a.csv", BAD)
    assert readable(gated, "a.csv")
    [first] = keep_apart(gated)
    gated.put("b.csv", BAD + b"!")
    assert (False, True, True) == tuple(readable(gated, name) for name in ("a.csv", "b.csv", "none.csv"))
    [second] = keep_apart(gated)
    gated.ledger.quarantine.discard(first, "anna", "no")
    gated.ledger.quarantine.release(second, "anna", "yes")
    vault_of(gated.config).changed()
    assert (False, True) == tuple(readable(gated, name) for name in ("a.csv", "b.csv"))


def test_another_name_or_folder_or_a_restart_changes_nothing(gated):
    gated.put("a.csv", BAD)
    keep_apart(gated)
    gated.rename("a.csv", "b.csv")
    assert (True, False) == tuple(readable(gated, name) for name in ("a.csv", "b.csv"))
    os.mkdir(os.path.join(gated.home.root, b"in"))
    gated.rename("b.csv", "in/c.csv")
    gated.rename("in", "out")
    assert (True, False) == tuple(readable(gated, name) for name in ("b.csv", "out/c.csv"))
    again = gated.opened()
    try:
        assert not readable(gated, "out/c.csv", again)
    finally:
        again.close()


def test_another_file_that_takes_its_name_can_be_read(gated):
    gated.put("a.csv", BAD)
    keep_apart(gated)
    gated.put("a.csv", GOOD)
    # The older one has another name now, and is the one that is kept apart.
    assert {"a.csv": True, "a.v1.csv": False} == {name: readable(gated, name) for name in gated.files()}
    gated.remove("a.v1.csv")
    vault_of(gated.config).changed()
    assert readable(gated, "a.csv")


def test_the_same_bytes_sent_once_more_are_judged_once_more(gated):
    gated.put("a.csv", BAD)
    keep_apart(gated)
    gated.remove("a.csv")
    gated.put("a.csv", BAD)
    assert readable(gated, "a.csv")
    keep_apart(gated)
    assert not readable(gated, "a.csv")


def test_who_shares_the_home_cannot_read_it_either(gated):
    gated.ledger.people.put(Account(name="other", home=USER))
    gated.put("a.csv", BAD)
    keep_apart(gated)
    home = gated.homes.of("other", USER)
    with pytest.raises(Denied, match="kept apart"):
        gated.landing.check_read(home, Name("a.csv"))


def test_what_is_decided_on_another_machine_is_felt_too(gated, monkeypatch):
    monkeypatch.setattr(barred, "_FRESH", 0.0)
    gated.put("a.csv", BAD)
    [number] = keep_apart(gated)
    assert not readable(gated, "a.csv")
    gated.ledger.quarantine.release(number, "anna", "yes")
    assert readable(gated, "a.csv")


def test_nobody_is_asked_while_nothing_has_changed(gated, monkeypatch):
    gated.put("a.csv", GOOD)
    assert readable(gated, "a.csv")
    monkeypatch.setattr(barred, "_FRESH", 1e9)
    monkeypatch.setattr(type(gated.ledger.quarantine), "uploads", lambda *_: pytest.fail("asked"))
    monkeypatch.setattr(type(gated.ledger.uploads), "at", lambda *_: pytest.fail("asked"))
    assert readable(gated, "a.csv")


def test_without_the_ledger_what_was_known_holds_on(gated, monkeypatch):
    gated.put("a.csv", BAD)
    gated.ledger.people.put(Account(name="other", home="other"))
    keep_apart(gated)
    assert not readable(gated, "a.csv")

    def away(*_):
        raise LedgerAway("the ledger is away")

    monkeypatch.setattr(type(gated.ledger.quarantine), "uploads", away)
    monkeypatch.setattr(type(gated.ledger.uploads), "at", away)
    vault_of(gated.config).changed()
    gated.landing.check_read(gated.homes.of("other", "other"), Name("a.csv"))
    with pytest.raises(LedgerAway):
        gated.landing.check_read(gated.home, Name("a.csv"))
    again = gated.opened()
    try:
        with pytest.raises(LedgerAway):
            again.check_read(gated.home, Name("a.csv"))
    finally:
        again.close()


# Real clients, the whole program


@pytest.fixture(scope="module")
def up():
    route = STEPS | {"from": {"server": True, "match": ["*.csv"]}}
    with tempfile.TemporaryDirectory(prefix="barred-") as folder, Up(Path(folder), route=route) as up:
        yield up


def decide(up: Up, *words: str) -> None:
    done = forge.run(["quarantine", *words, "-c", str(up.config)], env=os.environ | {SECRET: PASSWORD}, timeout=40)
    assert 0 == done.returncode, done.stderr


CASES = [("curl", PLAIN), ("curl", IMPLICIT), ("curl", SFTP), ("lftp", EXPLICIT), ("lftp", SFTP), ("sftp", SFTP)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "way"), CASES, ids=lambda one: one.replace(" ", "-"))
def test_a_client_cannot_fetch_back_what_is_kept_apart_until_it_is_released(up, tmp_path, name, way):
    client = CLIENTS[name](up, way, tmp_path)
    folder = client.folder
    client.mkdir(folder)
    (tmp_path / "bad.csv").write_bytes(BAD + folder.encode())
    (tmp_path / "good.csv").write_bytes(GOOD)
    client.put("good.csv", f"{folder}/good.csv")
    client.put("bad.csv", f"{folder}/bad.csv")
    states = lambda: {path: state for path, _, _, state in up.arrivals()}  # noqa: E731
    until(lambda: states()[f"{folder}/bad.csv".encode()] == "quarantined")
    with pytest.raises(AssertionError, match=r"(?i)kept apart|550|permission denied|denied"):
        client.get(f"{folder}/bad.csv", "back")
    assert not (tmp_path / "back").exists() or not (tmp_path / "back").read_bytes()
    assert {"good.csv", "bad.csv"} == client.names(folder)
    client.rename(f"{folder}/bad.csv", f"{folder}/renamed.csv")
    with pytest.raises(AssertionError, match=r"(?i)kept apart|550|permission denied|denied"):
        client.get(f"{folder}/renamed.csv", "back2")
    client.get(f"{folder}/good.csv", "good")
    assert GOOD == (tmp_path / "good").read_bytes()

    [number] = [number for number, text in up.asks("select id, text from arrivals") if text.endswith(f"{folder}/bad.csv")]
    decide(up, "release", str(number), "--why", "ours")
    client.get(f"{folder}/renamed.csv", "released")
    assert BAD + folder.encode() == (tmp_path / "released").read_bytes()
    client.remove(f"{folder}/renamed.csv")
    assert {"good.csv"} == client.names(folder)


@pytest.mark.slow
def test_what_a_client_is_told_is_one_clear_line(up, tmp_path):
    ftp, sftp = CLIENTS["lftp"](up, PLAIN, tmp_path), CLIENTS["sftp"](up, SFTP, tmp_path)
    ftp.mkdir(ftp.folder)
    path = f"{ftp.folder}/bad.csv"
    (tmp_path / "bad.csv").write_bytes(BAD)
    ftp.put("bad.csv", path)
    until(lambda: ("quarantined",) in up.asks("select state from arrivals where text like ?", f"%{path}"))
    with pytest.raises(AssertionError, match=f"550 {path}: it is kept apart, and cannot be read"):
        ftp.get(path, "back")
    with pytest.raises(AssertionError, match="Permission denied"):
        sftp.get(path, "back")
    # Nor can it be had by going on with it.
    (tmp_path / "more").write_bytes(BAD + b" and more")
    with pytest.raises(AssertionError):
        sftp.reput("more", path)
    up.kill()
    up.start()
    with pytest.raises(AssertionError, match="kept apart"):
        ftp.get(path, "back")
