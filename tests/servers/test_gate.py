from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from transload.accounts import Account, Limits, Login
from transload.accounts.file import FileBans, FilePeople
from transload.accounts.passwords import hashed
from transload.accounts.people import Ban
from transload.errors import Busy, Denied, LedgerAway, TransloadError
from transload.servers.gate import Door, Gate, Temper

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFmcTCKxSyPeyFcSJLKVDPVTRCWSfjSkWEXRaEEt9wnJ"
HASH = hashed("right")
QUICK = Temper(delay=0.0)


class Guest:
    """A session of which only its seat is looked at."""

    def __init__(self, seat):
        self.seat = seat


class Scene:
    def __init__(self, folder):
        self.folder = folder
        self.people = FilePeople(folder / "users.json")
        self.gates = []

    def gate(self, *, temper=QUICK, **doors):
        self.gates.append(Gate(self.people, FileBans(self.folder / "bans.json"), Guest, doors=doors, temper=temper))
        return self.gates[-1]

    def user(self, name="a", **values):
        self.people.put(Account(**{"name": name, "password": HASH, "home": f"/srv/{name}"} | values))


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    for gate in scene.gates:
        gate.close()


def login(user="a", password="right", *, by="ftp", address="192.0.2.1", **shown):
    return Login(by, address, user, password, **shown)


def refused(gate, one) -> str:
    with pytest.raises(Denied) as told:
        gate.admit(one)
    return str(told.value)


# Proofs


def test_the_right_password_gets_in_and_nothing_else(scene):
    scene.user()
    gate = scene.gate()
    assert "a" == gate.admit(login()).seat.account.name
    assert "a: wrong password, key or certificate" == refused(gate, login(password="wrong"))
    assert "nobody: there is no such user" == refused(gate, login("nobody"))
    assert "../a: there is no such user" == refused(gate, login("../a"))
    assert "a: wrong password, key or certificate" == refused(gate, login(password=None))
    assert "a: wrong password, key or certificate" == refused(gate, login(password=""))


def test_a_key_or_the_certificate_of_that_name_gets_in_without_a_password(scene):
    scene.user(keys=(KEY,), certificate="a.example")
    scene.user("b")
    gate = scene.gate()
    assert gate.has_key("a", KEY + " a comment")
    assert not gate.has_key("b", KEY)
    assert not gate.has_key("nobody", KEY)
    assert gate.admit(login(password=None, by="sftp", key=KEY))
    assert gate.admit(login(password=None, by="ftps", certificate="a.example"))
    assert "wrong" in refused(gate, login("b", None, by="sftp", key=KEY))
    assert "wrong" in refused(gate, login("b", None, by="ftps", certificate="a.example"))


def test_no_certificate_is_not_the_certificate_of_a_user_who_has_none(scene):
    scene.user(password=None)
    assert "wrong" in refused(scene.gate(), login(password=None))


@pytest.mark.parametrize(
    ("shown", "enough"),
    [
        ({"password": "right", "key": KEY}, True),
        ({"password": "right"}, False),
        ({"password": None, "key": KEY}, False),
        ({"password": "wrong", "key": KEY}, False),
        ({"password": "right", "certificate": "a.example"}, True),
    ],
)
def test_who_must_show_key_and_password_must_show_both(scene, shown, enough):
    scene.user(keys=(KEY,), certificate="a.example", methods="key+password")
    gate = scene.gate()
    assert "key+password" == gate.methods("a")
    assert "any" == gate.methods("nobody")
    if enough:
        assert gate.admit(login(**shown))
    else:
        refused(gate, login(**shown))


def test_a_right_password_does_not_help_who_is_disabled_expired_too_early_or_elsewhere(scene):
    now = datetime.now(UTC)
    other = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"
    scene.user("off", enabled=False, keys=(KEY,))
    scene.user("old", limits=Limits(expires=now - timedelta(seconds=1)))
    scene.user("early", limits=Limits(hours=other))
    scene.user("far", limits=Limits(addresses=("10.0.0.0/8",)))
    scene.user("safe", limits=Limits(protocols=("sftp", "ftps")))
    gate = scene.gate()
    assert "off: it is disabled" == refused(gate, login("off"))
    assert not gate.has_key("off", KEY)
    assert "old: it has expired" in refused(gate, login("old"))
    assert f"early: it may come at {other} UTC only" == refused(gate, login("early"))
    assert "far: it may not come from 192.0.2.1" == refused(gate, login("far"))
    assert "safe: it may not come by ftp" == refused(gate, login("safe"))
    assert gate.admit(login("far", address="::ffff:10.0.0.1"))
    assert gate.admit(login("safe", by="ftps"))


def test_anonymous_comes_in_only_where_the_server_says_so(scene):
    scene.user("anonymous", password=None)
    assert "wrong" in refused(scene.gate(ftp=Door()), login("anonymous", "me@example.com"))
    gate = scene.gate(ftp=Door(anonymous=True))
    assert gate.admit(login("anonymous", "me@example.com"))
    assert "wrong" in refused(gate, login("anonymous", "x", by="sftp"))
    scene.user("anonymous", password=HASH)
    assert "wrong" in refused(scene.gate(ftp=Door()), login("anonymous"))
    scene.people.remove("anonymous")
    assert "no such user" in refused(gate, login("anonymous", "x"))


def test_an_old_hash_is_renewed_at_login_and_its_session_stays(scene):
    from argon2 import PasswordHasher

    old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("right")
    scene.user(password=old)
    gate = scene.gate()
    guest = gate.admit(login())
    kept = scene.people.find("a").account.password
    assert old != kept
    gate.look()
    assert "" == guest.seat.over
    assert gate.admit(login())
    assert kept == scene.people.find("a").account.password


def test_time_tells_nothing_about_who_exists(scene):
    scene.user()
    scene.user("keyed", password=None, keys=(KEY,))
    gate = scene.gate(temper=Temper(after=10**6, after_any=10**6, delay=0.0))
    times = {"a": [], "nobody": [], "keyed": [], "../no-name": []}
    for _ in range(25):
        for user, taken in times.items():
            begun = time.perf_counter()
            refused(gate, login(user, "wrong"))
            taken.append(time.perf_counter() - begun)
    medians = {user: statistics.median(taken) for user, taken in times.items()}
    spread = max(medians.values()) - min(medians.values())
    assert spread < 0.6 * min(medians.values()), medians  # without the work for nobody it would be nearly all of it


def test_time_tells_nothing_about_whose_hash_another_program_has_made(scene):
    from argon2 import PasswordHasher

    heavy = PasswordHasher(time_cost=10, memory_cost=65536, parallelism=1)
    scene.user("imported", password=heavy.hash("right"))
    gate = scene.gate(temper=Temper(delay=1.0))
    begun = time.perf_counter()
    heavy.verify(scene.people.find("imported").account.password, "right")
    costs = time.perf_counter() - begun
    taken = []
    for user in ("imported", "nobody"):
        begun = time.perf_counter()
        refused(gate, login(user, "wrong"))
        taken.append(time.perf_counter() - begun)
    assert abs(taken[0] - taken[1]) < costs / 2, (taken, costs)


# Caps


def burst(count, act):
    """What `act` gives to so many at once: None where it was refused."""
    ready = threading.Barrier(count)

    def one(number):
        ready.wait()
        try:
            return act(number)
        except Busy:
            return None

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_a_burst_of_200_logins_never_gets_more_sessions_than_its_user_may_have(scene):
    scene.user(limits=Limits(sessions=7))
    gate = scene.gate()
    gate.admit(login()).seat.leave()
    guests = [guest for guest in burst(200, lambda _: gate.admit(login())) if guest]
    assert 7 == len(guests)
    for guest in guests[:3]:
        guest.seat.leave()
        guest.seat.leave()
    assert 3 == len([guest for guest in burst(50, lambda _: gate.admit(login(by="sftp"))) if guest])


def test_a_burst_of_200_connections_never_gets_more_than_its_address_and_all_may_have(scene):
    gate = scene.gate(ftp=Door(sessions=40, sessions_per_address=15), sftp=Door(sessions=4))
    came = burst(200, lambda number: gate.greet("ftps" if number % 2 else "ftp", f"192.0.2.{number % 4}") or number)
    came = [number for number in came if number is not None]
    assert 40 == len(came)
    assert 15 >= max(sum(number % 4 == place for number in came) for place in range(4))
    assert 4 == sum(one is not None for one in burst(20, lambda number: gate.greet("sftp", "192.0.2.9") or number))
    gate.gone("ftp", f"192.0.2.{came[0] % 4}")
    gate.greet("ftp", "198.51.100.1")
    with pytest.raises(Busy, match="40 connections by ftp"):
        gate.greet("ftp", "198.51.100.2")


def test_one_ipv6_client_is_one_address(scene):
    gate = scene.gate(ftp=Door(sessions_per_address=2))
    gate.greet("ftp", "2001:db8::1")
    gate.greet("ftp", "2001:db8::2")
    with pytest.raises(Busy, match="2 connections by ftp from 2001:db8::3"):
        gate.greet("ftp", "2001:db8::3")
    gate.greet("ftp", "2001:db8:0:1::1")


def test_a_session_that_could_not_begin_leaves_its_place(scene):
    scene.user(limits=Limits(sessions=1))

    def broken(_seat):
        raise LedgerAway("its home cannot be opened")

    gate = Gate(scene.people, FileBans(), broken)
    for _ in range(3):
        with pytest.raises(LedgerAway, match="home"):
            gate.admit(login())
    gate.close()
    with pytest.raises(Busy, match="the server stops"):
        gate.greet("ftp", "192.0.2.1")


# Wrong logins


def test_wrong_logins_lock_one_user_at_one_address_and_nobody_else(scene):
    scene.user()
    scene.user("b")
    gate = scene.gate(temper=Temper(after=3, delay=0.0))
    for _ in range(3):
        assert "wrong" in refused(gate, login(password="wrong"))
    assert "192.0.2.1, user a is banned for another" in refused(gate, login())
    assert gate.admit(login(address="192.0.2.2")), "its owner comes in from elsewhere"
    assert gate.admit(login("b")), "and others from there"
    gate.greet("ftp", "192.0.2.1")


def test_an_address_that_tries_many_users_is_shut_out(scene):
    scene.user()
    gate = scene.gate(temper=Temper(after_any=4, delay=0.0))
    for number in range(4):
        refused(gate, login(f"user{number}", "guess"))
        if number == 1:
            gate.admit(login()).seat.leave()  # its own account does not buy it off
    with pytest.raises(Denied, match=r"192\.0\.2\.1 is banned for another .* \(4 wrong logins\)"):
        gate.greet("sftp", "::ffff:192.0.2.1")
    assert "banned" in refused(gate, login())
    gate.greet("sftp", "192.0.2.2")


def test_names_that_no_user_can_have_are_counted_and_not_kept(scene):
    scene.user()
    gate = scene.gate()
    for name in ("x" * 100_000, "\x1b[31m", "a b", "../up", ""):
        refused(gate, login(name, "wrong"))
    assert "banned" in refused(gate, login("one more of them", "wrong"))
    assert {"192.0.2.1", "192.0.2.1 ?"} == {one.key for one in FileBans(scene.folder / "bans.json").all()}
    assert gate.admit(login())


def test_right_logins_forgive_wrong_ones_of_the_same_user_there(scene):
    scene.user()
    gate = scene.gate(temper=Temper(after=3, after_any=100, delay=0.0))
    for _ in range(5):
        refused(gate, login(password="wrong"))
        refused(gate, login(password="wrong"))
        gate.admit(login())


def test_a_ban_outlives_a_restart_and_grows_and_ends(scene):
    scene.user()
    temper = Temper(after=2, time=0.3, delay=0.0)
    gate = scene.gate(temper=temper)
    for _ in range(2):
        refused(gate, login(password="wrong"))
    gate.close()
    gate = scene.gate(temper=temper)
    assert "banned" in refused(gate, login())
    lengths = [ban.until - ban.last for ban in FileBans(scene.folder / "bans.json").all() if ban.until]
    for _ in range(2):
        while "banned" in refused(gate, login(password="wrong")):
            time.sleep(0.02)
        lengths += [ban.until - ban.last for ban in FileBans(scene.folder / "bans.json").all() if ban.until]
    assert [300_000, 600_000, 1_200_000] == lengths


def test_a_ban_that_somebody_lifts_is_over_at_the_next_look(scene):
    gate = scene.gate(temper=Temper(after_any=1, delay=0.0))
    refused(gate, login("nobody"))
    with pytest.raises(Denied):
        gate.greet("ftp", "192.0.2.1")
    FileBans(scene.folder / "bans.json").lift(["192.0.2.1"])
    gate.look()
    gate.greet("ftp", "192.0.2.1")


def test_guesses_from_very_many_addresses_are_forgotten_early_and_bans_are_not(scene, monkeypatch):
    monkeypatch.setattr("transload.servers.strikes._MANY", 10)
    now = time.time_ns() // 1000
    old = now - 700 * 10**6
    bans = [Ban(f"10.0.0.{number}", 1, old) for number in range(10)]
    bans += [Ban("192.0.2.1", 20, old, now + 10**9), Ban("192.0.2.2", 1, now)]
    FileBans(scene.folder / "bans.json").strike({ban.key: lambda _before, ban=ban: ban for ban in bans})
    scene.gate()
    assert {"192.0.2.1", "192.0.2.2"} == {ban.key for ban in FileBans(scene.folder / "bans.json").all()}


def test_allowed_networks_are_never_banned(scene):
    scene.user()
    gate = scene.gate(temper=Temper(after=1, after_any=1, delay=0.0, allow=("192.0.2.0/24",)))
    for _ in range(3):
        assert "wrong" in refused(gate, login(password="wrong"))
    gate.greet("ftp", "192.0.2.1")
    assert gate.admit(login())
    assert [] == list(FileBans(scene.folder / "bans.json").all())


def test_200_guesses_at_once_are_no_more_guesses_than_one_after_the_other(scene):
    scene.user()
    gate = scene.gate(temper=Temper(after=5, after_any=20, delay=0.0))

    def guess(number):
        try:
            gate.admit(login(password=f"guess{number}"))
        except Denied as error:
            return "wrong password" in str(error)

    assert 5 == sum(bool(one) for one in burst(200, guess))


def test_a_wrong_login_waits_longer_each_time_and_one_without_a_password_not_at_all(scene):
    gate = scene.gate(temper=Temper(delay=0.05))
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        refused(gate, login("nobody"))
        taken.append(time.perf_counter() - begun)
    assert [True] * 3 == [time_ >= least for time_, least in zip(taken, (0.05, 0.1, 0.2), strict=True)]
    assert 3 == FileBans(scene.folder / "bans.json").all()[0].strikes
    refused(gate, login("nobody", None, by="sftp", key=KEY))
    assert 3 == FileBans(scene.folder / "bans.json").all()[0].strikes


def test_a_ledger_that_is_away_lets_nobody_in_and_ends_nothing(scene):
    scene.user()
    gate = scene.gate()
    guest = gate.admit(login())
    (scene.folder / "users.json").write_text("{")
    with pytest.raises(TransloadError):
        gate.admit(login())
    scene.people._file._path = scene.folder  # a folder cannot be read as a file: as if the disk were gone
    with pytest.raises(Busy, match="no one can log in"):
        gate.admit(login())
    assert "" == guest.seat.over


# Changes


@pytest.mark.parametrize(
    ("change", "over"),
    [
        ({"enabled": False}, "the account was disabled"),
        ({"password": hashed("other")}, "the password was changed"),
        ({"home": "/srv/elsewhere"}, "the home was changed"),
        ({"methods": "key+password"}, "the ways to log in were changed"),
        ({"limits": Limits(addresses=("10.0.0.0/8",))}, "it may not come from 192.0.2.1"),
        ({"limits": Limits(expires=datetime(2020, 1, 1, tzinfo=UTC))}, "it has expired at 2020-01-01 00:00 UTC"),
        ({"limits": Limits(upload_rate=5)}, ""),
        ({"certificate": "new.example"}, ""),
    ],
)
def test_a_change_of_an_account_ends_or_changes_its_sessions(scene, change, over):
    scene.user()
    scene.user("b")
    gate = scene.gate()
    guest, other = gate.admit(login()), gate.admit(login("b"))
    scene.user(**change)
    gate.look()
    assert (over, "") == (guest.seat.over, other.seat.over)
    if not over:
        assert scene.people.find("a").account == guest.seat.account


def test_a_removed_key_ends_the_sessions_that_came_in_by_it(scene):
    scene.user(keys=(KEY,))
    gate = scene.gate()
    by_key, by_password = gate.admit(login(password=None, by="sftp", key=KEY)), gate.admit(login())
    scene.user(keys=())
    gate.look()
    assert ("the key was taken away", "") == (by_key.seat.over, by_password.seat.over)


def test_a_removed_account_is_felt_within_five_seconds_by_itself(scene):
    scene.user()
    guest = scene.gate().admit(login())
    scene.people.remove("a")
    deadline = time.monotonic() + 5
    while not guest.seat.over and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "the account was removed" == guest.seat.over


def test_closing_the_gate_ends_all_sessions(scene):
    scene.user()
    gate = scene.gate()
    guest = gate.admit(login())
    gate.close()
    assert "the server stops" == guest.seat.over
