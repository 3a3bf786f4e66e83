from __future__ import annotations

import base64
import subprocess
from datetime import UTC, datetime

import pytest

from transload.accounts import Limits, keys
from transload.accounts.addresses import plain, source, within
from transload.accounts.file import FilePeople
from transload.accounts.passwords import Passwords, hashed, outdated
from transload.accounts.users import Users
from transload.errors import ConfigError

ED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFmcTCKxSyPeyFcSJLKVDPVTRCWSfjSkWEXRaEEt9wnJ"
DES = "ssh-dss AAAAB3NzaC1kc3MAAACBAA=="


@pytest.fixture
def users(tmp_path):
    return Users(FilePeople(), tmp_path / "data" / "inbox", tmp_path / "data")


@pytest.mark.parametrize("password", ["secret", "Größe", "with space ", "\udce9", "x" * 1024, "nul\0inside"])
def test_the_password_is_right_and_another_is_not(password):
    kept = hashed(password)
    passwords = Passwords()
    assert passwords.verify(kept, password)
    assert passwords.verify(kept, password), "also when it is remembered"
    assert not passwords.verify(kept, password + "x")
    assert not passwords.verify(None, password)


def test_a_password_is_the_same_however_its_accents_are_typed():
    assert Passwords().verify(hashed("caf\u00e9"), "cafe\u0301")


@pytest.mark.parametrize("password", ["", "x" * 1025])
def test_no_password_is_empty_or_endless(password):
    with pytest.raises(ConfigError):
        hashed(password)


def test_a_hash_of_other_parameters_is_outdated_and_still_right():
    from argon2 import PasswordHasher

    old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("x")
    assert outdated(old)
    assert Passwords().verify(old, "x")
    assert not outdated(hashed("x"))
    assert not Passwords().verify("no hash at all", "x")


@pytest.mark.parametrize("words", ["-t ed25519", "-t ecdsa -b 256", "-t ecdsa -b 384", "-t ecdsa -b 521", "-t rsa -b 2048"])
def test_the_keys_that_ssh_keygen_makes_are_taken_without_their_comment(tmp_path, words):
    subprocess.run(["ssh-keygen", "-q", *words.split(), "-N", "", "-C", "a comment", "-f", tmp_path / "key"], check=True, timeout=30)
    text = (tmp_path / "key.pub").read_text()
    assert " ".join(text.split()[:2]) == keys.parse(text)
    told = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], check=True, capture_output=True, text=True, timeout=30).stdout
    assert told.split()[1] == keys.fingerprint(keys.parse(text))
    with pytest.raises(ConfigError, match="private key"):
        keys.parse_all((tmp_path / "key").read_text())


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", "is no public SSH key"),
        ("hello", "is no public SSH key"),
        ("ssh-ed25519", "the base64 of the key is missing"),
        (ED[:-9], "base64 is damaged"),
        (ED[:-12], "cut off"),
        ("ssh-rsa " + ED.split()[1], "a key of another kind"),
        (DES, "too weak"),
        ('from="10.0.0.0/8" ' + ED, "words before the key are not taken"),
        ("---- BEGIN SSH2 PUBLIC KEY ----", "ssh-keygen -i"),
        ("ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x05short").decode(), "are no key of that kind"),
        ("ssh-ed25519 ééé", "base64 is damaged"),
    ],
)
def test_what_is_no_key_is_refused_with_the_reason(line, fault):
    with pytest.raises(ConfigError, match=fault):
        keys.parse(line)


def test_a_short_rsa_key_is_refused(tmp_path):
    modulus = (1 << 1023 | 1).to_bytes(129)
    blob = b"".join(len(part).to_bytes(4) + part for part in (b"ssh-rsa", b"\1\0\1", modulus))
    with pytest.raises(ConfigError, match="1024 bits is too weak: 2048 at least"):
        keys.parse("ssh-rsa " + base64.b64encode(blob).decode())


def test_a_file_of_keys_names_the_line_that_is_wrong():
    assert (ED,) == keys.parse_all(f"# mine\n\n{ED} a@b\n{ED} again\n")
    with pytest.raises(ConfigError, match=r"^line 2: is no public SSH key"):
        keys.parse_all(f"{ED}\nrubbish\n")
    with pytest.raises(ConfigError, match="there is no key in it"):
        keys.parse_all("# nothing\n")


def test_an_address_has_one_spelling_and_an_ipv6_client_has_a_whole_network():
    assert "10.0.0.1" == plain("::ffff:10.0.0.1") == source("::ffff:10.0.0.1")
    assert "fe80::1" == plain("fe80::1%eth0")
    assert "2001:db8::/64" == source("2001:db8::1234") == source("2001:db8:0:0:ffff::9")
    assert within("::ffff:10.1.2.3", ["192.168.0.0/16", "10.0.0.0/8"])
    assert not within("no address", ["0.0.0.0/0"])
    assert not within("10.1.2.3", ["::/0"])


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 5, 1, hour, minute, tzinfo=UTC)


def test_limits_say_by_what_from_where_and_when():
    limits = Limits.model_validate({"protocols": ["sftp"], "addresses": ["10.0.0.0/8"], "hours": "22:00-06:00", "expires": "2026-05-02"})
    assert "" == limits.admits("sftp", "10.1.1.1", at(23))
    assert "" == limits.admits("sftp", "::ffff:10.1.1.1", at(5, 59))
    assert "it may not come by ftp" == limits.admits("ftp", "10.1.1.1", at(23))
    assert "it may not come from 11.0.0.1" == limits.admits("sftp", "11.0.0.1", at(23))
    assert "it may come at 22:00-06:00 UTC only" == limits.admits("sftp", "10.1.1.1", at(6))
    assert "it has expired at 2026-05-02 00:00 UTC" == limits.admits("sftp", "10.1.1.1", datetime(2026, 5, 2, tzinfo=UTC))


def test_a_user_is_added_changed_and_removed(users, tmp_path):
    made = users.add("agent01", password="pw", home="agents/one", permissions="elradfmwMT", upload_rate="300KB/s")
    assert (str(tmp_path / "data/inbox/agents/one"), 300_000) == (made.home, made.limits.upload_rate)
    users.change("agent01", keys=[ED + " me"], folders={"/out": "elr"}, sessions=2)
    now = users.get("agent01")
    assert ((ED,), "elradfmwMT", "elr", 300_000, 2) == (
        now.keys,
        now.rights.letters,
        now.rights.at(b"out/a"),
        now.limits.upload_rate,
        now.limits.sessions,
    )
    users.change("agent01", upload_rate=None, password=None)
    now = users.get("agent01")
    assert (None, None, 2) == (now.password, now.limits.upload_rate, now.limits.sessions)
    assert [now] == list(users.list())
    users.remove("agent01")
    assert [] == list(users.list())


def test_a_folder_with_rights_of_its_own_has_one_spelling(users):
    users.add("a", folders={"/out/": "elr", "//in//deep": ""})
    assert ("elr", "", "elradfmw") == tuple(users.get("a").rights.at(path) for path in (b"out/x", b"in/deep/x", b"in/x"))
    users.change("a", folders={**users.get("a").rights.folders, "/out": ""})
    assert {"/out": "", "/in/deep": ""} == dict(users.get("a").rights.folders)


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("../up", {}, "name: wants at most 64 letters"),
        ("a\n", {}, "name: wants at most 64 letters"),
        ("x" * 65, {}, "name: wants at most 64 letters"),
        ("a", {"permissions": "elrx"}, 'permissions: there is no letter "x"; there are elradfmwMT'),
        ("a", {"folders": {"out": "elr"}}, "out: a folder of the home is wanted, from the home on, such as /out"),
        ("a", {"folders": {"/a/../out": "elr"}}, "/a/../out: write the folder without . and .., as a client sees it"),
        ("a", {"folders": {"/./out": "elr"}}, "/./out: write the folder without . and .., as a client sees it"),
        ("a", {"home": "../b"}, "leads upwards"),
        ("a", {"home": ""}, "home: wants a folder's path"),
        ("a", {"home": "/"}, "holds Transload's own files"),
        ("a", {"home": "../spool"}, "leads upwards"),
        ("a", {"home": "."}, "holds Transload's own files"),
        ("a", {"upload_rate": "fast"}, 'upload_rate: wants a rate such as "5MB/s"'),
        ("a", {"quota": -1}, "quota: wants a size"),
        ("a", {"sessions": 0}, "sessions: wants greater than or equal to 1"),
        ("a", {"hours": "9-5"}, "hours: wants two times such as 08:00-18:00"),
        ("a", {"hours": "29:00-05:00"}, "hours: wants two times such as 08:00-18:00"),
        ("a", {"addresses": ["10.0.0.999"]}, "addresses: wants addresses or networks such as 10.0.0.0/8"),
        ("a", {"expires": "soon"}, "expires: wants a time such as 2026-12-31"),
        ("a", {"protocols": ["scp"]}, "protocols.0: wants 'ftp', 'ftps' or 'sftp'"),
        ("a", {"keys": ["rubbish"]}, "keys: is no public SSH key"),
        ("a", {"password": ""}, "password: must not be empty"),
        ("a", {"methods": "none"}, "methods: wants 'any' or 'key\\+password'"),
        ("a", {"qouta": 5}, "qouta: there is no such setting of a user"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_kept(users, name, words, told):
    with pytest.raises(ConfigError, match=told):
        users.add(name, **words)
    assert [] == list(users.list())


def test_no_home_shows_what_is_ours(users, tmp_path):
    (tmp_path / "data" / "inbox").mkdir(parents=True)
    (tmp_path / "way").symlink_to(tmp_path / "data")
    for home in ("data", "data/spool", "way", "way/spool", ""):
        with pytest.raises(ConfigError, match="own files"):
            users.add("a", home=f"{tmp_path}/{home}")
    assert f"{tmp_path}/way/inbox/a" == users.add("a", home=f"{tmp_path}/way/inbox/a").home
    assert "/srv/b" == users.add("b", home="/srv/b").home


def test_a_second_user_of_one_name_and_a_user_who_is_not_there_are_told(users):
    users.add("agent01")
    with pytest.raises(ConfigError, match='there is a user "agent01" already'):
        users.add("agent01", permissions="elr")
    for act in (users.get, users.remove, lambda name: users.passwd(name, "x")):
        with pytest.raises(ConfigError, match=r'there is no user "agent1"; did you mean "agent01"?'):
            act("agent1")


def test_a_program_may_add_its_users_at_each_start_and_what_is_the_same_is_not_touched(tmp_path):
    people = FilePeople(tmp_path / "users.json")
    Users(people, tmp_path).add("a", password="pw", permissions="elr")
    again = Users(people, tmp_path, again=True)
    stamp = people.find("a").stamp
    again.add("a", password="pw", permissions="elr")
    assert stamp == people.find("a").stamp
    kept = people.find("a").account.password
    again.add("a", password="pw", permissions="elrw")
    assert (kept, "elrw") == (people.find("a").account.password, people.find("a").account.rights.letters)
    again.add("a", password="other")
    assert kept != people.find("a").account.password


def test_neither_password_nor_hash_shows_in_what_is_printed(users):
    from transload.accounts import Login

    account = users.add("a", password="very secret")
    assert "argon2" not in repr(account)
    assert "secret" not in repr(Login("ftp", "10.0.0.1", "a", "very secret"))
