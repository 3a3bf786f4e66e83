"""Story Q, its gate: nothing unscanned is ever delivered, nothing bad is lost from sight. With a real clamd."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import zipfile

import pytest

from tests.commanding import FOLDERS, Place
from tests.peers.clamd import Clamd

pytestmark = pytest.mark.xdist_group("tests/stories/test_quarantine.py")
VIRUS = b"".join((b"X5O!P%@AP[4", b"\\PZX54(P^)7CC)7}$", b"EICAR-STANDARD-", b"ANTIVIRUS-TEST", b"-FILE!$H+H*"))


@pytest.fixture(scope="module")
def clamd():
    with Clamd() as clamd:
        yield clamd


@pytest.fixture
def place(tmp_path, clamd):
    with Place(tmp_path) as place:
        place.config(
            f'{FOLDERS}\n[[routes]]\nname = "gate"\nfrom = {{ remote = "source", settle = "0s" }}\n'
            f'steps = [{{ kind = "unpack" }}, {{ kind = "scan", clamd = "unix:{clamd.socket}", timeout = "5s" }}]\n'
            'to = [{ remote = "archive" }]\nbackoff = { first = "0.1s", cap = "0.5s" }\nattempts = 2\n'
        )
        yield place


def _zip(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.csv", data)
    return out.getvalue()


def _tar_gz(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        facts = tarfile.TarInfo(name)
        facts.size = len(data)
        archive.addfile(facts, io.BytesIO(data))
    return out.getvalue()


def _put(place: Place, **files: bytes) -> None:
    for name, data in files.items():
        (place.folder / "in" / name.replace("__", ".")).write_bytes(data)


def _states(place: Place) -> dict[str, str]:
    return {one["path"]: one["state"] for one in place.give("ls", "--limit", "1000", "--json").document}


def test_a_virus_in_every_wrapping_is_kept_apart_and_never_seen_at_a_destination(place):
    _put(
        place,
        good__csv=b"1,2\n",
        bare__csv=VIRUS,
        renamed__pdf=VIRUS,
        good__zip=_zip(one=b"1", two=b"2"),
        one__zip=_zip(one=b"1", two=VIRUS),
        deep__tar__gz=_tar_gz("in/inner.zip", _zip(evil=VIRUS)),
    )
    assert 1 == place.give("run").code
    assert {"good.csv": "1,2\n", "good/one.csv": "1", "good/two.csv": "2"} == place.delivered()
    bad = {path for path, state in _states(place).items() if state == "quarantined"}
    assert {"bare.csv", "renamed.pdf", "one.zip", "deep.tar.gz"} == bad
    listed = place.give("quarantine", "ls", "--json").document
    assert bad == {one["path"] for one in listed}
    assert {True} == {one["reason"].startswith("infected: ") for one in listed}


def test_nothing_is_delivered_while_the_scanner_is_away_and_everything_when_it_is_back(place, clamd):
    _put(place, **{f"{number}__csv": b"%d" % number for number in range(200)})
    os.kill(clamd.process.pid, signal.SIGSTOP)
    place.config((place.folder / "transload.toml").read_text().replace('timeout = "5s"', 'timeout = "0.3s"'))
    try:
        assert 1 == place.give("run").code
        assert {} == place.delivered()
        assert {"received"} == set(_states(place).values())
        # Told once of each file, with when it was asked last; status says who is away.
        [life] = place.give("trace", "1", "--json").document
        assert 1 == [event["what"] for event in life["events"]].count("held")
        assert ("not scanned: ", True) == (life["reason"][:13], life["next_try"] is not None)
        assert "; tried " in place.give("trace", "1").out.splitlines()[2]
        status = place.give("status")
        assert (1, True) == (status.code, "what the steps of gate ask on " in status.out)
        assert " is away: not scanned: " in status.err
        assert "fetched, and waits: not scanned: " in place.give("explain", "source:1.csv").out
    finally:
        os.kill(clamd.process.pid, signal.SIGCONT)
    assert 0 == place.give("run").code
    assert {f"{number}.csv": str(number) for number in range(200)} == place.delivered()


def test_what_is_released_goes_on_and_what_is_discarded_is_gone(place):
    _put(place, a__csv=VIRUS, b__csv=VIRUS + b"\n")
    place.give("run")
    numbers = {one["path"]: str(one["arrival"]) for one in place.give("quarantine", "ls", "--json").document}
    shown = place.give("quarantine", "show", numbers["a.csv"])
    assert "infected: " in shown.out
    get = ("quarantine", "get", numbers["a.csv"], "--to", "looked-at", "--why", "to look at it")
    refused = place.give(*get)
    assert (2, True) == (refused.code, "is infected (" in refused.err and "): --infected, if you mean it" in refused.err)
    assert 0 == place.give(*get, "--infected").code
    assert VIRUS == (place.folder / "looked-at").read_bytes()
    assert 2 == place.give("quarantine", "release", numbers["a.csv"], "--why", " ").code
    assert 0 == place.give("quarantine", "release", numbers["a.csv"], "--why", "our own test file").code
    assert 0 == place.give("quarantine", "discard", numbers["b.csv"], "--why", "not wanted").code
    assert 0 == place.give("run").code
    assert {"a.csv": VIRUS.decode()} == place.delivered()
    assert {"a.csv": "delivered", "b.csv": "skipped"} == _states(place)
    assert "our own test file" in place.give("trace", numbers["a.csv"]).out
    assert 1 == len(list((place.folder / "data" / "quarantine").glob("??/*")))
    assert 2 == place.give("quarantine", "show", "999").code


def test_a_route_s_scanner_is_tried_out(place, clamd):
    told = place.give("test", "gate", "--json")
    tried = {one["what"]: one["told"] for one in told.document["tried"]}
    assert [] == tried["unpack"]
    # The database of this clamd holds EICAR alone: nothing worse may be said of it than that.
    assert all("signatures" in line for line in tried["scan"]), tried["scan"]
    text = (place.folder / "transload.toml").read_text()
    place.config(text.replace(str(clamd.socket), f"{clamd.socket}.not"))
    gone = place.give("test", "gate")
    assert 1 == gone.code
    assert "gate: scan: " in gone.err
    assert "nothing is wrong with it" in gone.out
