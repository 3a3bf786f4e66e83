"""The commands about what is kept apart, on real files: handed out, encrypted, expired, decided."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from tests.commanding import FOLDERS, Place

CANARY = "a canary that must not be seen"
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(range(1, 33))).decode()
ROUTES = """
[[routes]]
name = "files"
from = { remote = "source", settle = "0s" }
steps = [{ kind = "limits", max_size = "10B" }]
to = [{ remote = "archive" }]
"""


@pytest.fixture
def place(tmp_path):
    with Place(tmp_path) as place:
        place.config(FOLDERS + ROUTES)
        yield place


def caught(place: Place, *names: str) -> dict[str, str]:
    """These came and were kept apart; gives their numbers."""
    for name in names:
        place.file(name, f"{CANARY} {name}")
    assert 1 == place.give("run").code
    found = {one["path"]: str(one["arrival"]) for one in place.give("quarantine", "ls", "--json").document}
    assert set(names) == set(found)
    return found


def again(place: Place, *, code: int = 0) -> str:
    """A run, an hour later as far as tidying goes."""
    (place.folder / "data" / "tidied").unlink(missing_ok=True)
    done = place.give("run")
    assert code == done.code, done
    return done.out


def spool_forgets(place: Place) -> None:
    """As it does when its time is over."""
    for path in (place.folder / "data" / "spool").glob("??/*"):
        path.unlink()


def copies(place: Place) -> list[Path]:
    return sorted((place.folder / "data" / "quarantine").glob("??/*"))


def test_the_bytes_are_handed_out_with_a_reason_that_is_kept(place):
    number = caught(place, "a.csv")["a.csv"]
    out = place.folder / "looked-at"
    assert 2 == place.give("quarantine", "get", number, "--to", str(out)).code
    refused = place.give("quarantine", "get", number, "--to", str(out), "--why", " ")
    assert (2, "quarantine get: --why wants a reason\n", False) == (refused.code, refused.err, out.exists())
    done = place.give("quarantine", "get", number, "--to", str(out), "--why", "what is it")
    assert (0, f"{CANARY} a.csv", 0o600) == (done.code, out.read_text(), out.stat().st_mode & 0o7777)
    twice = place.give("quarantine", "get", number, "--to", str(out), "--why", "again")
    assert (1, f"{out}: is there already, and is not replaced\n") == (twice.code, twice.err)
    trace = place.give("trace", number).out
    assert "handed out" in trace
    assert "what is it" in trace
    assert ("again" in trace) is False
    # It is there as it was.
    assert [number] == [str(one["arrival"]) for one in place.give("quarantine", "ls", "--json").document]
    assert 0 == place.give("quarantine", "discard", number, "--why", "no").code
    gone = place.give("quarantine", "get", number, "--to", str(out) + "2", "--why", "again")
    assert (1, True) == (gone.code, "its bytes are not in the quarantine of this machine" in gone.err)
    assert 2 == place.give("quarantine", "get", "999", "--to", str(out) + "2", "--why", "again").code


def test_a_list_that_ends_early_says_so_and_what_is_gone_lies_nowhere(place):
    numbers = caught(place, "a.csv", "b.csv", "c.csv")
    assert "these are the newest 2, and there are more: --limit" in place.give("quarantine", "ls", "--limit", "2").out
    assert "there are more" not in place.give("quarantine", "ls", "--limit", "3").out
    assert "its bytes: " in place.give("quarantine", "show", numbers["a.csv"]).out
    assert 0 == place.give("quarantine", "discard", numbers["a.csv"], "--why", "no").code
    assert "its bytes: " not in place.give("quarantine", "show", numbers["a.csv"]).out


def test_lists_are_narrowed_by_route_and_time_and_refuse_what_is_neither(place):
    caught(place, "a.csv", "b.csv")
    ls = lambda *words: place.give("quarantine", "ls", "--json", *words)  # noqa: E731
    assert 2 == len(ls("--route", "files", "--since", "1h").document)
    assert 1 == len(ls("--limit", "1").document)
    assert [] == ls("--since", "2999-01-01").document
    for words, told in ((("--route", "no"), 'there is no route "no"'), (("--since", "soon"), "--since soon: wants a time")):
        refused = ls(*words)
        assert (2, True) == (refused.code, told in refused.err)
    empty = place.give("quarantine", "ls", "--since", "2999-01-01")
    assert (0, "nothing is kept apart\n") == (empty.code, empty.out)


def test_status_tells_how_much_is_kept_apart(place):
    assert {"files": 0, "bytes": 0} == place.give("status", "--json").document["quarantine"]
    caught(place, "a.csv", "b.csv")
    told = place.give("status", "--json").document
    assert {"files": 2, "bytes": 2 * len(f"{CANARY} a.csv")} == told["quarantine"]
    assert "2 files kept apart, 72 B: transload quarantine ls" in place.give("status").out


def test_what_no_route_would_go_on_with_stays_held_and_in_sight(place):
    number = caught(place, "a.csv")["a.csv"]
    place.config(FOLDERS + ROUTES.replace('"files"', '"others"').replace("settle", 'match = ["b"], settle'))
    stands = place.give("status")
    told = "files: 1 quarantined of a route that the config does not have: transload quarantine ls"
    assert (1, True) == (stands.code, told in stands.err.splitlines())
    why = f'arrival {number} is of the route "files", which the config does not have: nobody would go on with it\n'
    for words in (("quarantine", "release", number, "--why", "ours"), ("retry", number)):
        refused = place.give(*words)
        assert (2, why) == (refused.code, refused.err)
    assert ["held"] == [one["state"] for one in place.give("quarantine", "ls", "--json").document]
    assert 0 == place.give("quarantine", "discard", number, "--why", "its route is gone").code
    assert 0 == place.give("status").code


# For how long


def test_nothing_goes_by_itself_unless_the_config_says_so(place):
    caught(place, "a.csv")
    again(place, code=1)
    assert 1 == len(copies(place))


def test_the_spool_lets_go_of_what_is_kept_apart_unless_another_needs_it(place):
    place.config(FOLDERS + ROUTES + ROUTES.replace('"files"', '"all"').replace('max_size = "10B"', 'max_size = "1MB"'))
    place.file("a.csv", f"{CANARY} a.csv")
    place.file("b.csv", "small")
    assert 1 == place.give("run").code
    spool = place.folder / "data" / "spool"
    again(place, code=1)
    assert 2 == len(list(spool.glob("??/*")))
    place.config(FOLDERS + ROUTES)
    place.file("c.csv", f"{CANARY} c.csv")
    again(place, code=1)
    assert f"{CANARY} c.csv" not in [path.read_text() for path in spool.glob("??/*")]
    assert 2 == len(copies(place))


def test_what_was_kept_apart_long_enough_is_discarded_with_its_bytes(place):
    numbers = caught(place, "a.csv", "b.csv")
    assert 0 == place.give("quarantine", "release", numbers["b.csv"], "--why", "ours").code
    place.config(FOLDERS + '[quarantine]\nkeep = "1ms"\n' + ROUTES)
    again(place)
    assert {"b.csv": f"{CANARY} b.csv"} == place.delivered()
    shown = place.give("quarantine", "show", numbers["a.csv"]).out
    assert "by transload: kept apart for as long as [quarantine] keep says" in shown
    # The copy of what was released went with the next tidying, as nobody needs it.
    again(place)
    assert [] == copies(place)
    assert 0 == place.give("status").code


@pytest.mark.parametrize("point", ["copied apart", "kept apart", "expired"])
def test_a_death_in_between_loses_nothing_and_leaves_nothing(place, point):
    place.config(FOLDERS + '[quarantine]\nkeep = "1ms"\n' + ROUTES)
    place.file("a.csv", f"{CANARY} a.csv")
    assert -9 == place.give("run", env={"TRANSLOAD_CRASH_AT": point}).code
    if point != "expired":
        assert f"{CANARY} a.csv" in [path.read_text() for path in copies(place)]
    again(place)
    [one] = place.give("quarantine", "ls", "--all", "--json").document
    assert ("discarded", "transload") == (one["state"], one["who"])
    again(place)
    assert [] == copies(place)


def test_a_copy_whose_discarding_died_half_way_is_collected(place):
    number = caught(place, "a.csv")["a.csv"]
    [copy] = copies(place)
    data = copy.read_bytes()
    assert 0 == place.give("quarantine", "discard", number, "--why", "no").code
    assert [] == copies(place)
    copy.write_bytes(data)
    again(place)
    assert [] == copies(place)


def test_a_retry_finds_the_bytes_though_the_spool_has_them_no_more(place):
    number = caught(place, "a.csv")["a.csv"]
    spool_forgets(place)
    assert 0 == place.give("retry", number).code
    assert [] == place.give("quarantine", "ls", "--json").document
    again(place, code=1)
    [one] = place.give("quarantine", "ls", "--json").document
    assert (number, "held") == (str(one["arrival"]), one["state"])


def test_what_was_given_up_and_is_taken_up_again_has_no_bytes_and_says_so(place):
    number = caught(place, "a.csv")["a.csv"]
    assert 0 == place.give("skip", number, "--why", "no use").code
    again(place)
    assert [] == copies(place)
    spool_forgets(place)
    assert 0 == place.give("retry", number).code
    again(place, code=1)
    assert "its bytes are no longer here, neither in the spool nor in the quarantine" in place.give("trace", number).out


# Encrypted


def sealing(place: Place, *, key: str = '{ file = "key" }', more: str = "") -> None:
    place.config(f"{FOLDERS}[quarantine]\nkey = {key}\n{more}\n{ROUTES}")


def key(place: Place, text: str = KEY) -> None:
    path = place.folder / "key"
    path.write_text(text + "\n")
    path.chmod(0o600)


def test_copies_are_encrypted_where_there_is_a_key(place):
    key(place)
    sealing(place)
    number = caught(place, "a.csv")["a.csv"]
    assert [True] == [path.name.endswith(".sealed") and CANARY.encode() not in path.read_bytes() for path in copies(place)]
    assert f"{copies(place)[0]}" in place.give("quarantine", "show", number).out
    out = place.folder / "out-of-it"
    assert 0 == place.give("quarantine", "get", number, "--to", str(out), "--why", "a look").code
    assert f"{CANARY} a.csv" == out.read_text()
    spool_forgets(place)
    assert 0 == place.give("quarantine", "release", number, "--why", "ours").code
    again(place)
    assert {"a.csv": f"{CANARY} a.csv"} == place.delivered()


def test_another_key_is_one_line_and_an_older_one_goes_on_reading(place):
    key(place)
    sealing(place)
    number = caught(place, "a.csv")["a.csv"]
    before = copies(place)[0].read_bytes()
    spool_forgets(place)
    sealing(place, key='{ env = "OTHER_KEY" }')
    env = {"OTHER_KEY": OTHER}
    for words in (("release", number), ("get", number, "--to", "x")):
        refused = place.give("quarantine", *words, "--why", "ours", env=env)
        assert (2, 1) == (refused.code, refused.err.count("\n"))
        assert "none of the keys in the config has sealed it: name the key that has in [quarantine] key or older_keys" in refused.err
    missing = place.give("quarantine", "release", number, "--why", "ours")
    assert (2, "quarantine.key: the environment variable OTHER_KEY is not set\n") == (missing.code, missing.err)
    assert before == copies(place)[0].read_bytes()
    assert ["held"] == [one["state"] for one in place.give("quarantine", "ls", "--json").document]
    sealing(place, key='{ env = "OTHER_KEY" }', more='older_keys = [{ file = "key" }]')
    assert 0 == place.give("quarantine", "release", number, "--why", "ours", env=env).code


def test_what_lay_there_before_there_was_a_key_is_found_by_a_retry(place):
    number = caught(place, "a.csv")["a.csv"]
    spool_forgets(place)
    key(place)
    sealing(place)
    assert f"{copies(place)[0]} on " in place.give("quarantine", "show", number).out
    assert 0 == place.give("retry", number).code
    again(place, code=1)
    [one] = place.give("quarantine", "ls", "--json").document
    assert (number, "held") == (str(one["arrival"]), one["state"])
    assert [".sealed"] == [path.suffix for path in copies(place)]


def test_what_cannot_be_encrypted_waits_and_is_not_lost(place):
    # A command is not run by `check`: its key is found to be none when it is needed.
    sealing(place, key='{ command = ["cat", "key"] }')
    (place.folder / "key").write_text("no key")
    place.file("a.csv", f"{CANARY} a.csv")
    assert 1 == place.give("run", env={"PWD": str(place.folder)}).code
    [one] = place.give("ls", "--json").document
    assert "received" == one["state"]
    assert "quarantine.key: wants 32 bytes in base64; make one: (umask 077; openssl rand -base64 32 > quarantine.key)" == one["reason"]
    assert [] == copies(place)
    key(place)
    assert 1 == place.give("run").code
    assert 1 == len(copies(place))
    assert CANARY not in json.dumps(os.listdir(copies(place)[0].parent))


def test_check_refuses_a_key_that_is_none_and_tells_how_to_make_one(place):
    key(place, "no key")
    (place.folder / "old").write_text(KEY)
    (place.folder / "old").chmod(0o604)
    sealing(place, more='older_keys = [{ file = "old" }, { env = "NO_SUCH_KEY" }]')
    told = place.give("check")
    assert 2 == told.code
    assert "quarantine.key: wants 32 bytes in base64; make one: (umask 077; openssl rand -base64 32 > quarantine.key)" in told.err
    assert f"quarantine.older_keys[0]: {place.folder / 'old'} is a private key that everybody on this machine can get at" in told.err
    assert "quarantine.older_keys[1]: the environment variable NO_SUCH_KEY is not set" in told.err
    assert "no key" not in told.err + told.out
    key(place)
    sealing(place)
    assert 0 == place.give("check").code
    place.config(FOLDERS + '[quarantine]\nkey = "abc"\nkeep = "0s"\nfor = 3\n' + ROUTES)
    told = place.give("check").err
    for line in ("quarantine.key: a secret is written as a reference", "quarantine.keep: ", "quarantine.for: "):
        assert line in told
