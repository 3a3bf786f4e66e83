from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import forge
from tests.commanding import FOLDERS, ROUTE, Outcome, Place
from transload.accounts.passwords import Passwords
from transload.accounts.people import Ban
from transload.config import Config, User
from transload.errors import ConfigError
from transload.ledger import Ledger
from transload.servers.declared import declare

ED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFmcTCKxSyPeyFcSJLKVDPVTRCWSfjSkWEXRaEEt9wnJ"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Place(tmp_path) as made:
        made.config(FOLDERS + ROUTE)
        yield made


@pytest.fixture(scope="module")
def settled(tmp_path_factory) -> Iterator[Place]:
    """A place with a user that is known and one that the config declares, for calls that are to change nothing."""
    with Place(tmp_path_factory.mktemp("settled")) as made:
        made.config(FOLDERS + ROUTE)
        assert 0 == made.give("user", "add", "known").code
        made.config(FOLDERS + ROUTE + "[users.declared]\n")
        yield made


def fed(place: Place, said: str, *words: str) -> Outcome:
    """A command that is told something on stdin."""
    done = forge.run(list(words), cwd=place.folder, said=said, timeout=50)
    return Outcome(done.returncode, done.stdout, done.stderr)


def audit(place: Place) -> list[tuple[str, str, str | None]]:
    with sqlite3.connect(place.folder / "data" / "ledger.db") as ledger:
        return list(ledger.execute("select what, subject, reason from audit order by id"))


def account(place: Place, name: str):
    ledger = Ledger(f"sqlite:///{place.folder}/data/ledger.db")
    try:
        found = ledger.people.find(name)
        return found.account if found else None
    finally:
        ledger.close()


@pytest.mark.parametrize("group", ["user", "ban"])
def test_every_command_explains_itself_and_its_first_sentence_fits(settled, group):
    told = settled.give(group, "--help")
    names = [line.split()[0] for line in told.out.partition("Commands:\n")[2].splitlines()]
    assert {"user": ["add", "change", "passwd", "key", "grant", "rm", "ls", "import"], "ban": ["ls", "rm"]}[group] == names
    assert "..." not in told.out.partition("Commands:")[2]


def test_a_user_is_made_with_password_key_and_limits_and_shown_without_the_password(place):
    (place.folder / "me.pub").write_text(f"# mine\n{ED} me@home\n")
    words = "--password-stdin --key me.pub --home agents/one --permissions elw --upload-rate 300KB/s --protocol sftp --protocol ftps"
    words += " --quota 2GB --quota-files 100 --address 10.0.0.0/8 --hours 08:00-18:00 --expires 2030-01-31 --match *.csv --sessions 3"
    done = fed(place, "very secret\nno part of it\n", "user", "add", "agent01", *words.split())
    assert (0, f"agent01: made; its home is {place.folder}/data/inbox/agents/one\n", "") == done
    made = account(place, "agent01")
    assert Passwords().verify(made.password, "very secret")
    (shown,) = place.give("user", "ls", "--json").document
    assert {
        "name": "agent01",
        "enabled": True,
        "declared": False,
        "password": True,
        "keys": [{"type": "ssh-ed25519", "fingerprint": "SHA256:4+R5mYDdAyFRjdJlYg6XNYAYi2oBGbvLmoI49J1lJ8k"}],
        "certificate": None,
        "methods": "any",
        "home": f"{place.folder}/data/inbox/agents/one",
        "permissions": "elw",
        "folders": {},
        "limits": {
            "quota": 2_000_000_000,
            "quota_files": 100,
            "upload_rate": 300_000,
            "protocols": ["sftp", "ftps"],
            "addresses": ["10.0.0.0/8"],
            "hours": "08:00-18:00",
            "expires": "2030-01-31T00:00:00Z",
            "match": ["*.csv"],
            "sessions": 3,
        },
    } == shown | {"keys": [shown["keys"][0] | {"fingerprint": "SHA256:4+R5mYDdAyFRjdJlYg6XNYAYi2oBGbvLmoI49J1lJ8k"}]}
    told = place.give("user", "ls").out
    assert "password, 1 key" in told
    assert "quota 2.0 GB" in told
    every = told + str(audit(place)) + place.give("user", "ls", "--json").out
    assert "secret" not in every
    assert "argon2" not in every
    assert [("user add", "agent01")] == [one[:2] for one in audit(place)]
    assert "very secret" not in "".join(path.read_bytes().decode("latin-1") for path in (place.folder / "data").glob("ledger.db*"))


def test_a_user_without_a_way_in_is_told_of(place):
    done = place.give("user", "add", "a")
    assert (0, "a: cannot log in yet: transload user passwd a, or transload user key a FILE\n") == (done.code, done.err)
    assert "both a key and a password" in place.give("user", "change", "a", "--methods", "key+password").err
    assert "nothing yet" in place.give("user", "ls", "a").out


def test_what_is_changed_is_changed_and_the_rest_is_left(place):
    fed(place, "pw\n", "user", "add", "a", "--password-stdin", "--quota", "2GB", "--protocol", "sftp")
    before = account(place, "a")
    assert (0, "a: changed: enabled False, upload_rate 5MB/s\n", "") == place.give(
        "user", "change", "a", "--disable", "--upload-rate", "5MB/s"
    )
    assert place.give("user", "change", "a", "--quota", "none", "--protocol", "none", "--enable").code == 0
    now = account(place, "a")
    assert (before.password, None, 5_000_000, True) == (now.password, now.limits.quota, now.limits.upload_rate, now.enabled)
    assert ("ftp", "ftps", "sftp") == now.limits.protocols
    assert ["user add", "user change", "user change"] == [one[0] for one in audit(place)]


def test_a_password_comes_by_stdin_alone(place):
    place.give("user", "add", "a")
    assert 0 == fed(place, "with space \r\n", "user", "passwd", "a", "--password-stdin").code
    assert Passwords().verify(account(place, "a").password, "with space ")
    told = fed(place, "", "user", "passwd", "a")
    assert (2, "passwd: here is no terminal to ask at: give the password on stdin, with --password-stdin\n") == (told.code, told.err)
    assert (2, "password: must not be empty\n") == fed(place, "\n", "user", "passwd", "a", "--password-stdin")[::2]
    assert 0 == place.give("user", "passwd", "a", "--remove").code
    assert account(place, "a").password is None


def test_keys_are_added_shown_and_removed(place):
    (place.folder / "one.pub").write_text(ED + "\n")
    place.give("user", "add", "a")
    assert 0 == place.give("user", "key", "a", "one.pub").code
    assert 0 == fed(place, f"{OTHER}\n{ED} again\n", "user", "key", "a", "-").code
    assert (ED, OTHER) == account(place, "a").keys
    first, _ = place.give("user", "key", "a").out.splitlines()
    assert first.endswith(" ssh-ed25519")
    assert 0 == place.give("user", "key", "a", "--remove", first.split()[0]).code
    assert (OTHER,) == account(place, "a").keys
    told = place.give("user", "key", "a", "--remove", first.split()[0])
    assert (2, f"a: has no key {first.split()[0]}; transload user key a shows those it has\n") == (told.code, told.err)


def test_rights_are_granted_for_the_home_and_for_folders(place):
    place.give("user", "add", "a")
    place.give("user", "grant", "a", "elr")
    assert (0, "a: /drop: elw\n", "") == place.give("user", "grant", "a", "elw", "/drop/")
    place.give("user", "grant", "a", "none", "/secret")
    rights = account(place, "a").rights
    assert ("elr", "elw", "") == (rights.at(b"x"), rights.at(b"drop/x"), rights.at(b"secret/x"))
    assert (0, "a: /drop: as above it\n", "") == place.give("user", "grant", "a", "none", "/drop", "--inherit")
    assert "elr" == account(place, "a").rights.at(b"drop/x")
    assert (0, "a: /in/deep: nothing\n", "") == place.give("user", "grant", "a", "none", "//in//deep")
    assert "" == account(place, "a").rights.at(b"in/deep/x")
    code, _, told = place.give("user", "grant", "a", "none", "/in/../secret")
    assert 2 == code
    assert "without . and .." in told


def test_a_removed_user_is_gone_and_its_files_stay(place):
    place.give("user", "add", "a", "--home", f"{place.folder}/in")
    assert (0, f"a: removed; its files stay in {place.folder}/in\n", "") == place.give("user", "rm", "a")
    assert (0, "there are no users yet; transload user add makes one\n", "") == place.give("user", "ls")
    assert (place.folder / "in").is_dir()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["user", "add", "../a"], "name: wants at most 64 letters, digits, _, . and -, the first a letter or digit"),
        (["user", "add", "known"], 'there is a user "known" already'),
        (["user", "add", "a", "--permissions", "elx"], 'permissions: there is no letter "x"; there are elradfmwMT'),
        (["user", "add", "a", "--quota", "much"], 'quota: wants a size such as "200MB" or "1GiB"'),
        (["user", "add", "a", "--key", "none.pub"], "none.pub cannot be read: No such file or directory"),
        (
            ["user", "add", "a", "--key", "transload.toml"],
            "transload.toml: line 2: is no public SSH key: a line such as ssh-ed25519 AAAA... is wanted",
        ),
        (["user", "add", "a", "--match", "(?i)("], "match: "),
        (["user", "add", "a", "--home", "../../data"], "home: ../../data leads upwards"),
        (["user", "add", "a", "--password", "x"], "transload user add: No such option: --password"),
        (["user", "change", "known"], "change: name what is to change"),
        (["user", "change", "knwon", "--disable"], 'there is no user "knwon"; did you mean "known"?'),
        (["user", "grant", "known", "elq"], 'permissions: there is no letter "q"'),
        (["user", "grant", "known", "elr", "out"], "grant: wants LETTERS and a folder that begins with /"),
        (["user", "rm", "nobody"], 'there is no user "nobody"'),
        (["user", "ls", "nobody"], 'there is no user "nobody"'),
        (["user", "add", "declared"], "declared: is declared in "),
        (["user", "passwd", "declared", "--remove"], "declared: is declared in "),
        (["ban", "rm"], "ban rm: name an address, --user NAME, or --all; transload ban ls shows them"),
    ],
)
def test_a_call_that_is_wrong_gets_one_line_and_code_2_and_changes_nothing(settled, words, told):
    done = settled.give(*words)
    assert (2, "", 1) == (done.code, done.out, done.err.count("\n"))
    assert done.err.startswith(told)
    assert account(settled, "known") is not None
    assert account(settled, "a") is None


def test_a_ledger_that_is_away_is_code_3(place):
    (place.folder / "data").mkdir()
    (place.folder / "data" / "ledger.db").write_text("no database")
    for words in (["user", "ls"], ["user", "add", "a"], ["ban", "ls"], ["ban", "rm", "--all"]):
        assert (3, "") == place.give(*words)[:2]


def test_listing_makes_no_ledger(place):
    assert 0 == place.give("user", "ls").code
    assert (0, []) == ((done := place.give("ban", "ls", "--json")).code, done.document)
    assert not (place.folder / "data").exists()


# Import


def test_a_csv_makes_all_its_users(place):
    (place.folder / "users.csv").write_text(
        "\ufeffname;password;keys;home;permissions;quota;addresses;folders;enabled\r\n"
        f'a;"pass;word ";"{ED} x;{OTHER}";homes/a;elr;2GB;10.0.0.0/8 192.168.0.0/16;"/in=elw;/no=";\r\n'
        "\r\n"
        "b;;;;;;;;no\r\n"
    )
    done = place.give("user", "import", "users.csv")
    assert (0, "2 users made, 0 replaced\n") == (done.code, done.out)
    assert "nobody can log in as: b\n" in done.err
    a, b = account(place, "a"), account(place, "b")
    assert Passwords().verify(a.password, "pass;word ")
    assert ((ED, OTHER), f"{place.folder}/data/inbox/homes/a", "elr") == (a.keys, a.home, a.rights.letters)
    assert {"/in": "elw", "/no": ""} == dict(a.rights.folders)
    assert (2 * 10**9, ("10.0.0.0/8", "192.168.0.0/16")) == (a.limits.quota, a.limits.addresses)
    assert (False, None) == (b.enabled, b.password)
    assert ("user import", "a, b", "from users.csv") in audit(place)


def test_a_toml_makes_all_its_users_with_secrets_by_reference_or_as_hashes(place):
    kept = account_hash()
    (place.folder / "users.toml").write_text(
        f'[users.a]\npassword = {{ env = "A_PASSWORD" }}\nlimits = {{ upload_rate = "5MB/s" }}\n[users.b]\npassword_hash = "{kept}"\n'
    )
    assert 0 == place.give("user", "import", "users.toml", env={"A_PASSWORD": "from the environment"}).code
    assert Passwords().verify(account(place, "a").password, "from the environment")
    assert 5_000_000 == account(place, "a").limits.upload_rate
    assert kept == account(place, "b").password


def account_hash() -> str:
    from transload.accounts.passwords import hashed

    return hashed("elsewhere")


def test_every_fault_of_a_file_is_named_with_its_line_and_nobody_is_made(place):
    place.give("user", "add", "there")
    (place.folder / "users.csv").write_text(
        'name,password,permissions,quota,password_hash,colour\na,x,elq,much,,\n../b,y,,,,\nc,"a\nb",elr,,md5,\na,x,,,,red\n'
    )
    done = place.give("user", "import", "users.csv")
    assert (2, "") == (done.code, done.out)
    assert [
        'users.csv:2: a: permissions: there is no letter "q"; there are elradfmwMT',
        'users.csv:2: a: quota: wants a size such as "200MB" or "1GiB"',
        "users.csv:3: ../b: name: wants at most 64 letters, digits, _, . and -, the first a letter or digit",
        "users.csv:4: c: password_hash: is no argon2 hash such as $argon2id$v=19$m=...",
        "users.csv:4: c: password_hash: stands beside password; leave one of the two away",
        "users.csv:6: a: colour: there is no such setting of a user",
        'users.csv:6: there is a user "a" on line 2 already',
    ] == done.err.splitlines()
    assert ["there"] == [one["name"] for one in place.give("user", "ls", "--json").document]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("u.csv", "", "u.csv:1: wants a line of heads with `name` in it"),
        ("u.csv", "name\n", "u.csv: there is no user in it"),
        ("u.csv", "name,name\n", "u.csv:1: there are two columns name"),
        ("u.csv", "name,home\na\n", "u.csv:2: has 1 cells where the heads are 2"),
        ("u.csv", 'name\n"a\n', "u.csv:2: is no CSV: unexpected end of data"),
        ("u.toml", "[users.a\n", "u.toml:1: is no TOML"),
        ("u.toml", '[users.a]\npassword = "x"\n[other]\n', "u.toml:3: other: wants tables [users.NAME], and nothing else"),
        ("u.toml", '[users.a]\nhome = "x"\n\nquota = "much"\n', 'u.toml:4: a: quota: wants a size such as "200MB" or "1GiB"'),
        ("u.toml", "[users.a]\npassword = { env = 'NOT_THERE' }\n", "u.toml:2: a: password: the environment variable NOT_THERE is not set"),
        ("u.toml", "[users.declared]\n", "u.toml:1: declared: is declared in "),
        ("u.csv", "name\nknown\n", "u.csv:2: known: there is a user of that name already; --replace makes it what the file says"),
        ("none.csv", None, "none.csv cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_taken_gets_one_line(settled, name, text, told):
    if text is not None:
        (settled.folder / name).write_text(text)
    done = settled.give("user", "import", name)
    assert (2, "", 1) == (done.code, done.out, done.err.count("\n"))
    assert done.err.startswith(told)


def test_an_import_replaces_only_when_told_to_and_a_dry_run_changes_nothing(place):
    place.give("user", "add", "a", "--quota", "2GB")
    (place.folder / "u.csv").write_text("name,permissions\na,elr\nb,elr\n")
    assert (0, "1 user would be made, 1 would be replaced\n") == place.give("user", "import", "u.csv", "--replace", "--dry-run")[:2]
    assert account(place, "b") is None
    assert (0, "1 user made, 1 replaced\n") == place.give("user", "import", "u.csv", "--replace")[:2]
    assert ("elr", None) == ((now := account(place, "a")).rights.letters, now.limits.quota)


# Bans


def test_bans_are_listed_and_forgiven(place):
    place.give("user", "add", "a")
    ledger = Ledger(f"sqlite:///{place.folder}/data/ledger.db")
    far = 4_000_000_000_000_000
    rows = [Ban("192.0.2.1", 20, 3, far, "20 wrong logins: for 1m"), Ban("192.0.2.1 a", 5, 2, far), Ban("2001:db8::/64", 1, 1)]
    ledger.bans.strike({one.key: lambda _before, one=one: one for one in rows})
    ledger.close()
    assert [("192.0.2.1", None, 20, True), ("192.0.2.1", "a", 5, True)] == [
        (one["address"], one["user"], one["strikes"], one["banned"]) for one in place.give("ban", "ls", "--json").document
    ]
    assert 4 == len(place.give("ban", "ls", "--all").out.splitlines())
    assert (0, "192.0.2.1 a: forgiven\n1 entry forgotten\n", "") == place.give("ban", "rm", "--user", "a")
    assert 0 == place.give("ban", "rm", "2001:db8::7").code
    assert 0 == place.give("ban", "rm", "192.0.2.1").code
    assert (0, "nobody is banned\n", "") == place.give("ban", "ls")
    told = place.give("ban", "rm", "192.0.2.1")
    assert (1, "there was nothing to forgive; transload ban ls --all shows all there is\n") == (told.code, told.err)
    assert ("ban rm", "192.0.2.1", None) == audit(place)[-1]


# Declared users


def test_declared_users_are_made_updated_and_disabled_and_others_left_alone(place, monkeypatch):
    monkeypatch.setenv("A_PASSWORD", "first")
    fed(place, "pw\n", "user", "add", "by-hand", "--password-stdin")
    by_hand = account(place, "by-hand")
    place.config(
        FOLDERS + ROUTE + f'[users.a]\npassword = {{ env = "A_PASSWORD" }}\nkeys = ["{ED} me"]\nlimits = {{ sessions = 2 }}\n[users.b]\n'
    )
    ledger = Ledger(f"sqlite:///{place.folder}/data/ledger.db")

    def start() -> list[str]:
        loaded = Config.load(place.folder / "transload.toml")
        return declare(loaded.users, ledger.people, loaded.data)

    assert ["user a: made, as the config declares", "user b: made, as the config declares"] == start()
    first = ledger.people.find("a")
    assert ((ED,), 2, True, f"{place.folder}/data/inbox/a") == (
        first.account.keys,
        first.account.limits.sessions,
        first.account.declared,
        first.account.home,
    )
    assert [] == start()
    assert first == ledger.people.find("a"), "a start that changes nothing ends no session"
    monkeypatch.setenv("A_PASSWORD", "second")
    assert ["user a: changed, as the config declares"] == start()
    assert Passwords().verify(ledger.people.find("a").account.password, "second")
    place.config(FOLDERS + ROUTE + "[users.b]\n")
    (line,) = start()
    assert line.startswith("user a: disabled, since the config no longer declares it;")
    assert not ledger.people.find("a").account.enabled
    assert [] == start()
    assert by_hand == ledger.people.find("by-hand").account
    place.config(FOLDERS + ROUTE + '[users.a]\npermissions = "elr"\n[users.b]\n[users.by-hand]\n')
    assert ["user a: changed, as the config declares", "user by-hand: was made by hand, and is now as the config declares"] == start()
    assert ledger.people.find("a").account.enabled
    ledger.close()


def test_a_user_that_was_declared_is_kept_by_enabling_it(place):
    place.config(FOLDERS + ROUTE + "[users.a]\n")
    ledger = Ledger(f"sqlite:///{place.folder}/data/ledger.db")
    loaded = Config.load(place.folder / "transload.toml")
    declare(loaded.users, ledger.people, loaded.data)
    place.config(FOLDERS + ROUTE)
    declare({}, ledger.people, loaded.data)
    assert 0 == place.give("user", "change", "a", "--enable").code
    assert [] == declare({}, ledger.people, loaded.data)
    assert ledger.people.find("a").account.enabled
    ledger.close()


def test_a_home_in_the_config_that_shows_our_own_files_is_refused_and_nobody_is_made(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path}/data/ledger.db")
    users = {"a": User(), "b": User(home=tmp_path / "data" / "spool")}
    with pytest.raises(ConfigError, match=r"^users\.b: home: .* holds Transload's own files"):
        declare(users, ledger.people, tmp_path / "data")
    assert [] == list(ledger.people.all())
    ledger.close()


def test_the_ledger_that_holds_hashes_is_for_its_owner_alone(place):
    place.give("user", "add", "a")
    assert 0 == stat.S_IMODE(os.stat(place.folder / "data").st_mode) & 0o077
