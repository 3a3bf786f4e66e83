from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from transload.accounts import Account, Limits, Rights
from transload.accounts.file import FileBans, FilePeople
from transload.accounts.passwords import hashed
from transload.accounts.people import Ban
from transload.accounts.users import Users
from transload.errors import ConfigError, Conflict
from transload.ledger import Ledger

KINDS = ["sqlite", "postgresql", "file"]
FULL = Account(
    name="full",
    password="$argon2id$invented",
    keys=("ssh-ed25519 AAAA",),
    certificate="full.example",
    methods="key+password",
    home="/srv/full",
    rights=Rights("elr", {"/in": "elw", "/größe": ""}),
    limits=Limits.model_validate(
        {
            "quota": "2GB",
            "upload_rate": "300KB/s",
            "addresses": ["10.0.0.0/8"],
            "hours": "22:00-06:00",
            "expires": "2030-01-31T12:00:00+02:00",
        }
    ),
    arrival='{"complete":"close"}',
    declared=True,
    enabled=False,
)


@pytest.fixture(params=KINDS)
def opened(request, folder):
    """Opens the same people and bans as another process would."""
    if request.param == "file":
        yield lambda: (FilePeople(folder / "users.json"), FileBans(folder / "bans.json"))
        return
    url = f"sqlite:///{folder}/ledger.db" if request.param == "sqlite" else request.getfixturevalue("emptied")()
    ledgers = []

    def open_() -> tuple:
        ledgers.append(Ledger(url))
        return ledgers[-1].people, ledgers[-1].bans

    yield open_
    for ledger in ledgers:
        ledger.close()


def plain(name: str, **values) -> Account:
    return Account(name=name, home=f"/srv/{name}", **values)


def test_an_account_comes_back_as_it_was_put(opened):
    opened()[0].put(FULL, plain("b"))
    people, _ = opened()
    assert (FULL, plain("b")) == (people.find("full").account, people.find("b").account)
    assert [plain("b"), FULL] == list(people.all())
    assert people.find("nobody") is None
    assert Limits() == people.find("b").account.limits
    assert FULL.limits.model_fields_set == people.find("full").account.limits.model_fields_set


def test_every_change_changes_the_stamp_and_a_removal_takes_it_away(opened):
    (mine, _), (other, _) = opened(), opened()
    mine.put(plain("a"), plain("b"))
    first = other.stamps(["a", "b", "c"])
    assert {"a", "b"} == set(first)
    assert first["a"] == mine.find("a").stamp
    mine.put(plain("a", enabled=False))
    assert first["a"] != other.stamps(["a"])["a"]
    assert first["b"] == other.stamps(["b"])["b"]
    assert mine.remove("b")
    assert not mine.remove("b")
    assert {} == other.stamps(["b"])
    assert {} == other.stamps([])


def test_a_newer_hash_of_the_same_password_is_no_change_and_never_undoes_one(opened):
    people, _ = opened()
    people.put(plain("a", password="old"))
    known = people.find("a")
    people.rehashed(known, "newer")
    assert ("newer", known.stamp) == (people.find("a").account.password, people.find("a").stamp)
    people.put(plain("a", password="changed"))
    people.rehashed(known, "newest")
    assert "changed" == people.find("a").account.password
    assert known.stamp != people.find("a").stamp


def test_what_was_changed_meanwhile_is_not_overwritten_and_of_many_none_is_put(opened):
    people, _ = opened()
    people.put(plain("a"), seen={})
    seen = people.find("a").stamp
    with pytest.raises(Conflict, match=r"^a$"):
        people.put(plain("a"), plain("new"), seen={})
    assert people.find("new") is None
    people.put(plain("a", certificate="x"), seen={"a": seen})
    with pytest.raises(Conflict, match=r"^a$"):
        people.put(plain("a", certificate="y"), seen={"a": seen})
    assert "x" == people.find("a").account.certificate


def test_changes_made_at_the_same_moment_are_all_kept(opened):
    people = [opened()[0] for _ in range(4)]
    users = [Users(one, Path("/srv")) for one in people]
    users[0].add("a")
    settings = [{"quota": "1MB"}, {"certificate": "a.example"}, {"permissions": "elr"}, {"sessions": 3}]
    threads = [threading.Thread(target=user.change, args=("a",), kwargs=words) for user, words in zip(users, settings, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    account = people[0].find("a").account
    assert (10**6, "a.example", "elr", 3) == (account.limits.quota, account.certificate, account.rights.letters, account.limits.sessions)


def test_strikes_of_several_processes_add_up_and_survive_them(opened):
    count = lambda before: Ban("10.0.0.1", before.strikes + 1 if before else 1, 5)  # noqa: E731
    gates = [opened()[1] for _ in range(4)]

    def strike(bans):
        for _ in range(10):
            bans.strike({"10.0.0.1": count})

    threads = [threading.Thread(target=strike, args=(bans,)) for bans in gates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [Ban("10.0.0.1", 40, 5)] == list(opened()[1].all())


def test_bans_are_lifted_and_forgotten(opened):
    _, bans = opened()
    kept = [Ban("new", 1, 500, None, "why"), Ban("held", 5, 300, 700, "for long"), Ban("old", 5, 100, 200), Ban("lifted", 1, 400)]
    bans.strike({ban.key: lambda _before, ban=ban: ban for ban in kept})
    assert ["new", "lifted", "held", "old"] == [ban.key for ban in bans.all()]
    assert 1 == bans.lift(["lifted", "absent"])
    bans.forget(450)
    assert kept[:2] == list(bans.all())


def test_nothing_of_a_password_is_kept_but_its_hash(folder):
    people = FilePeople(folder / "users.json")
    Users(people, folder).add("a", password="a very secret word")
    text = (folder / "users.json").read_text()
    assert "very secret" not in text
    assert json.loads(text)["a"]["password"].startswith("$argon2id$")
    assert 0o600 == (folder / "users.json").stat().st_mode & 0o777


def test_a_damaged_file_of_users_is_refused_and_left_as_it_is(folder):
    path = folder / "users.json"
    FilePeople(path).put(plain("a", password=hashed("x")))
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(ConfigError, match="is damaged: it is no JSON"):
        FilePeople(path)
    assert 30 == path.stat().st_size


def test_people_in_memory_need_no_file():
    people = FilePeople()
    people.put(plain("a"))
    assert plain("a") == people.find("a").account
