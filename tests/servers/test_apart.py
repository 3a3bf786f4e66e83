"""What is bad before any step, or comes without one, is kept apart too: as the landing sees it, and by the command line."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.crash.until import until
from tests.servers.landings import USER, Wharf
from tests.servers.site import Site, killed
from transload.errors import Denied
from transload.ledger import care
from transload.ledger.view import Query
from transload.model import Name
from transload.workplace import vault_of

DATA, OTHER = b"some data", hashlib.sha256(b"other").hexdigest()
SIDECAR = {"arrival": {"complete": "sidecar"}}
STEPS = SIDECAR | {"steps": [{"kind": "limits", "min_size": "1B"}]}
HOOK = {"on_received": {"command": ["true"]}}


def refuse(wharf: Wharf, name: str = "a.csv", data: bytes = DATA) -> int:
    """A file comes whose checksum is that of another; gives its number."""
    before = wharf.names()
    wharf.put(name, data)
    wharf.put(f"{name}.sha256", OTHER.encode())
    wharf.becomes([*before, name])
    return wharf.ledger.view.list(Query(limit=1))[0].id


def owes(wharf: Wharf, number: int) -> list[str]:
    return [one.target for one in wharf.ledger.view.deliveries(number)]


@pytest.mark.parametrize("route", [SIDECAR, STEPS, SIDECAR | HOOK, STEPS | HOOK], ids=["plain", "steps", "hook", "steps-and-hook"])
def test_what_its_checksum_belies_has_a_copy_and_a_row_and_goes_on_when_somebody_answers_for_it(wharves, url, route):
    wharf = wharves(route)
    number = refuse(wharf)
    # Nobody is owed it, nor told of it, in the moment before a worker has seen to it.
    assert ([], "received") == (owes(wharf, number), wharf.arrivals()[0][2])
    wharf.process()
    [one] = wharf.ledger.quarantine.list()
    assert (number, len(DATA), hashlib.sha256(DATA).hexdigest(), "n1") == (one.arrival, one.size, one.sha256, one.node)
    assert "but a.csv.sha256 says" in one.reason
    assert DATA == vault_of(wharf.config).path(one.sha256).read_bytes()
    assert [] == owes(wharf, number)
    assert ["received", "refused", "quarantined"] == [event.what for event in wharf.ledger.view.events(number)]
    with pytest.raises(Denied, match="it is kept apart"):
        wharf.landing.check_read(wharf.home, Name("a.csv"))
    assert [] == care.check(url)

    wharf.ledger.quarantine.release(number, "anna", "the checksum is wrong, not the file")
    vault_of(wharf.config).changed()
    wharf.process()
    assert "ready" == wharf.ledger.view.arrival(number).state
    assert {"lake"} | ({"@hook"} if "on_received" in route else set()) == set(owes(wharf, number))
    assert len(owes(wharf, number)) == len(set(owes(wharf, number)))
    wharf.landing.check_read(wharf.home, Name("a.csv"))


def test_a_retry_judges_it_anew_and_finds_the_same(wharves):
    wharf = wharves(SIDECAR)
    number = refuse(wharf)
    wharf.process()
    assert [number] == wharf.ledger.hand.retry([number], "anna")
    wharf.process()
    assert ("quarantined", []) == (wharf.ledger.view.arrival(number).state, owes(wharf, number))
    assert [number] == [one.arrival for one in wharf.ledger.quarantine.list()]


def test_what_is_discarded_is_skipped_and_the_same_bytes_with_a_checksum_of_their_own_arrive(wharves):
    wharf = wharves(SIDECAR)
    number = refuse(wharf)
    wharf.process()
    wharf.ledger.quarantine.discard(number, "anna", "no")
    wharf.put("b.csv", DATA)
    wharf.put("b.csv.sha256", hashlib.sha256(DATA).hexdigest().encode())
    wharf.becomes(["a.csv", "b.csv"])
    wharf.process()
    assert [(f"{USER}/a.csv", 1, "skipped"), (f"{USER}/b.csv", 1, "ready")] == wharf.arrivals()


def test_a_better_checksum_that_comes_before_the_worker_makes_the_same_bytes_a_version_of_their_own(wharves):
    wharf = wharves(SIDECAR)
    refuse(wharf)
    wharf.remove("a.csv")
    wharf.put("a.csv", DATA)
    wharf.put("a.csv.sha256", hashlib.sha256(DATA).hexdigest().encode())
    wharf.becomes(["a.csv", "a.csv"])
    wharf.process()
    assert [(f"{USER}/a.csv", 1, "quarantined"), (f"{USER}/a.csv", 2, "ready")] == wharf.arrivals()


def test_what_no_template_can_name_is_kept_apart_and_its_hook_is_told_of_it(wharves):
    wharf = wharves({"from": {"match": "(?P<site>[^_]*)_.*"}, "to": [{"remote": "lake", "name": "{site}/{name}"}]} | HOOK)
    wharf.put("_a.csv", DATA)
    wharf.process()
    [one] = wharf.ledger.quarantine.list()
    assert DATA == vault_of(wharf.config).path(one.sha256).read_bytes()
    assert ["@hook"] == owes(wharf, one.arrival)
    # No word of anybody gives it a name.
    wharf.ledger.quarantine.release(one.arrival, "anna", "let it go")
    wharf.process()
    assert ("quarantined", "held") == (wharf.ledger.view.arrival(one.arrival).state, wharf.ledger.quarantine.get(one.arrival).state)


# The command line, beside servers of ours


@pytest.fixture
def place(tmp_path):
    hook = 'on_received = { command = ["sh", "-c", "echo $TRANSLOAD_NAME >> told"] }\n'
    with Site(tmp_path, doors={"sftp": ""}, route=f'arrival = {{ complete = "sidecar" }}\n{hook}') as place:
        yield place


def send(place: Site) -> None:
    """A file comes whose checksum is that of another, while nobody works."""
    up = place.begin("up", "--only", "servers")
    up.until("transload: up")
    with place.client("sftp") as client:
        for name, data in (
            ("bad.csv", DATA),
            ("bad.csv.sha256", OTHER.encode()),
            ("good.csv", b"other"),
            ("good.csv.sha256", OTHER.encode()),
        ):
            (place.folder / "sent").write_bytes(data)
            client.put(place.folder / "sent", name)
    until(lambda: 2 == len(listed(place, "ls")))
    killed(up)


def listed(place: Site, *words: str) -> list:
    return json.loads(place.give(*words, "--json").out)


def told(place: Site) -> list[str]:
    path = place.folder / "told"
    return path.read_text().split() if path.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("point", ["", "copied apart", "kept apart"])
def test_the_quarantine_commands_see_what_a_checksum_belied_whatever_died_before(place, point):
    send(place)
    if point:
        assert -9 == place.give("run", env={"TRANSLOAD_CRASH_AT": point}).code
        assert [] == listed(place, "quarantine", "ls")
    assert 1 == place.give("run").code
    # Of the good one who died may have told already: then it is told twice.
    assert ({"good.csv": "other"}, {"good.csv"}) == (place.delivered(), set(told(place)))
    [one] = listed(place, "quarantine", "ls")
    assert ("first/bad.csv", len(DATA), True) == (one["path"], one["size"], "bad.csv.sha256 says" in one["reason"])
    number = str(one["arrival"])
    assert [one["sha256"]] == [path.name for path in (place.folder / "data/quarantine").glob("??/*")]
    assert f"on {one['node']}" in place.give("quarantine", "show", number).out
    assert 0 == place.give("quarantine", "get", number, "--to", "looked-at", "--why", "what is it").code
    assert DATA == (place.folder / "looked-at").read_bytes()
    scanned = place.give("quarantine", "rescan", number)
    assert (1, True) == (scanned.code, "the route received has no scan step" in scanned.out)
    assert 0 == place.give("quarantine", "release", number, "--why", "the checksum is wrong").code
    assert 0 == place.give("run").code
    assert {"good.csv": "other", "bad.csv": DATA.decode()} == place.delivered()
    assert ["good.csv", "bad.csv"] == (list(dict.fromkeys(told(place))) if point else told(place))
    assert 1 == told(place).count("bad.csv")
    assert 0 == place.give("db", "check").code
