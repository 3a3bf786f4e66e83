"""The [servers] and [users] tables, routes that start at our servers, and hooks: what is read, and every fault at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from transload.config import Arriving, Config, check
from transload.explain import ConfigFaults
from transload.protocols import HOOK, SERVER

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0CkRq7O6ZyJTjhmbFyYF6nY8jy3CEYCJhXv2E4CkdV"
SERVED = f"""
[servers.ftp]
listen = "127.0.0.1:2121"
implicit_listen = "127.0.0.1:9990"
passive_ports = "30000-30010"
public_address = {{ "10.0.0.0/8" = "10.1.2.3", default = "ftp.example" }}
[servers.sftp]
listen = "[::]:2022"
idle = "2m"
[users.logger]
password = {{ env = "LOGGER_PASSWORD" }}
permissions = "elw"
folders = {{ "/out" = "elr" }}
limits = {{ quota = "2GB", protocols = ["sftp"] }}
arrival = {{ complete = "rename" }}
[users.partner]
keys = ["{KEY} me@here"]
[remotes.archive]
kind = "folder"
path = "out"
"""
ROUTE = """
[[routes]]
name = "sensors"
from = { server = true, user = "logger", match = "*.csv" }
arrival = { complete = "close", exists = "refuse" }
on_received = { command = ["true", "-x"], timeout = "5s" }
to = [{ remote = "archive" }]
after = { move = "done/" }
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("LOGGER_PASSWORD", "hunter2-canary")

    def write(text: str) -> Path:
        path = tmp_path / "transload.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def faults(write):
    """What `check` says of a config: fault by key."""

    def faults(text: str) -> dict[str, str]:
        return {fault.key: fault.fault for fault in check(write(text))}

    return faults


def test_servers_users_and_a_route_are_read_into_frozen_values(write):
    config = Config.load(write(SERVED + ROUTE))
    assert config.servers.ftp is not None
    assert config.servers.sftp is not None
    assert ("127.0.0.1:2121", "explicit", 120.0) == (config.servers.ftp.listen, config.servers.ftp.tls, config.servers.sftp.idle)
    assert ["logger", "partner"] == list(config.users)
    assert "elr" == config.users["logger"].rights.at(b"out/x")
    (route,) = config.routes
    assert (SERVER, True, "logger", 0.0) == (route.source.remote, route.source.server, route.source.user, route.source.settle)
    assert Arriving(complete="close", exists="refuse") == route.arrival
    assert ["archive", f"{HOOK}sensors"] == [to.remote for to in route.destinations]
    assert Config.load(config.file) == config
    assert route == type(route).model_validate(route.model_dump(by_alias=True))


def test_a_route_may_owe_to_its_hook_alone_and_may_be_cleared_after_it(write):
    alone = ROUTE.replace('to = [{ remote = "archive" }]\n', "")
    assert [] == check(write(SERVED + alone))
    bare = alone.replace('on_received = { command = ["true", "-x"], timeout = "5s" }\n', "")
    (fault,) = check(write(SERVED + bare))
    assert ("routes[sensors].to", "missing: the route delivers nothing and calls no hook") == (fault.key, fault.fault)


def test_a_user_that_is_only_in_the_ledger_is_no_fault(write):
    assert [] == check(write(SERVED + ROUTE.replace('user = "logger"', 'user = "somebody"')))


def test_what_makes_no_sense_with_our_servers_is_refused_key_by_key(faults):
    source = 'every = "1m", cron = "* * * * *", zone = "Europe/London", jitter = "1s", missed = "skip", settle = "1s", identity = "etag", '
    source += 'changed = "skip", order = "name", limit = 3, remote = "archive"'
    found = faults(SERVED + ROUTE.replace('match = "*.csv"', source))
    keys = ["every", "cron", "zone", "jitter", "missed", "settle", "identity", "changed", "order", "limit"]
    assert dict.fromkeys((f"routes[sensors].from.{key}" for key in keys), "means nothing with server = true") == {
        key: fault for key, fault in found.items() if fault.startswith("means")
    }
    assert "stands beside server = true" == found["routes[sensors].from.remote"]


def test_what_only_our_servers_know_is_refused_for_remotes(faults):
    route = '[[routes]]\nname = "r"\nfrom = { remote = "archive", user = "logger" }\narrival = {}\n'
    found = faults(f'{SERVED}{route}to = [{{ remote = "archive", name = "x/{{name}}" }}]\n')
    assert "means nothing without server = true" == found["routes[r].from.user"]
    assert "is for routes that take from our servers" == found["routes[r].arrival"]


def test_every_fault_of_a_route_is_told_at_once_with_the_nearest_word(write):
    route = ROUTE.replace("server = true", 'server = "yes", remotee = "x"').replace('exists = "refuse"', 'exist = "refuse"')
    found = {fault.key: f"{fault.fault}; {fault.hint}" for fault in check(write(SERVED + route.replace("timeout", "timout")))}
    assert 'unknown key; did you mean "remote"?' == found["routes[sensors].from.remotee"]
    assert 'unknown key; did you mean "exists"?' == found["routes[sensors].arrival.exist"]
    assert 'unknown key; did you mean "timeout"?' == found["routes[sensors].on_received.timout"]
    assert "routes[sensors].from.server" in found


def test_a_server_route_wants_a_server(faults):
    alone = ROUTE.replace('to = [{ remote = "archive" }]\n', "")
    assert {"routes[sensors].from.server": "there is no server"} == faults(alone)
    assert {"routes[sensors].from.server": "there is no server"} == faults("[servers.bans]\nafter = 3\n" + alone)
    assert {} == faults(alone + "enabled = false\n")


def test_the_name_of_our_servers_is_no_remote(faults):
    found = faults(SERVED + ROUTE.replace('remote = "archive"', 'remote = "@server"'))
    assert "is no name for a remote" == found["routes[sensors].to[0].remote"]


def test_two_server_routes_share_files_only_if_both_keep_them(faults):
    second = ROUTE.replace('"sensors"', '"more"')
    assert {"routes[more].from": 'may take the same files as the route "sensors"'} == faults(SERVED + ROUTE + second)
    assert {} == faults(SERVED + ROUTE + second.replace('"logger"', '"partner"'))
    assert "routes[more].from" in faults(SERVED + ROUTE + second.replace('user = "logger", ', ""))
    assert {} == faults(SERVED + (ROUTE + second).replace('after = { move = "done/" }\n', ""))
    assert {} == faults(SERVED + ROUTE + second.replace("*.csv", "*.txt"))


@pytest.mark.parametrize(
    ("more", "key", "fault"),
    [
        ('command = ["true"], url = "http://x"', "", "wants command or url"),
        ("", "", "wants command or url"),
        ('command = ["true"], secret = { env = "LOGGER_PASSWORD" }', "", "has a secret but no url to sign for"),
        ('url = "ftp://x"', ".url", "wants"),
        ('url = "https://me:hunter2-canary@x/"', ".url", "holds a login"),
        ('url = "https://x/", secret = "hunter2-canary"', ".secret", "a secret is written as a reference"),
        ('url = "https://x/", secret = { env = "NO_SUCH" }', ".secret", "the environment variable NO_SUCH is not set"),
        ("command = []", ".command", "must not be empty"),
        ('command = ["no-such-program-here"]', ".command", 'there is no program "no-such-program-here"'),
        ('command = ["./hook"]', ".command", 'there is no program "./hook"'),
        ('command = ["true"], timeout = "0s"', ".timeout", "wants more than 0"),
    ],
)
def test_a_hook_that_cannot_be_called_is_told(write, more, key, fault):
    text = SERVED + ROUTE.replace('command = ["true", "-x"], timeout = "5s"', more)
    found = {one.key: str(one) for one in check(write(text))}
    told = found[f"routes[sensors].on_received{key}"]
    assert fault in told
    assert "hunter2-canary" not in told


def test_a_command_beside_the_config_is_found(write, tmp_path):
    (tmp_path / "hook").write_text("#!/bin/sh\n")
    (tmp_path / "hook").chmod(0o755)
    assert [] == check(write(SERVED + ROUTE.replace('"true"', '"./hook"')))


@pytest.mark.parametrize(
    ("old", "new", "key", "fault"),
    [
        ('"[::]:2022"', '"0.0.0.0:2121"', "sftp.listen", "has the port of servers.ftp.listen"),
        ('"127.0.0.1:9990"', '"127.0.0.1:2121"', "ftp.implicit_listen", "has the port of servers.ftp.listen"),
        ('"[::]:2022"', '"[::]:9990"', "sftp.listen", "has the port of servers.ftp.implicit_listen"),
        ('"30000-30010"', '"30000-30003"', "ftp.passive_ports", "has room for 4 transfers at once, of up to 1024 sessions"),
        ('"30000-30010"', '"9980-9999"', "ftp.passive_ports", "holds the port of implicit_listen"),
        ('"30000-30010"', '"30010-30000"', "ftp.passive_ports", "is no range of ports"),
        ('"30000-30010"', '"many"', "ftp.passive_ports", "is no range of ports"),
        ('"10.0.0.0/8"', '"the lan"', 'ftp.public_address."the lan"', "is no network of clients"),
        ('"ftp.example"', '"ftp.example:21"', "ftp.public_address.default", "has no address for clients"),
        ('"127.0.0.1:2121"', '"2121"', "ftp.listen", "is no address to listen at"),
        ('"127.0.0.1:2121"', '"127.0.0.1:99999"', "ftp.listen", "is no address to listen at"),
        ('passive_ports = "30000-30010"', "anonymous = true", "ftp.anonymous", "anybody may come in, but nothing says what for"),
        ('passive_ports = "30000-30010"', 'tls = "off"', "ftp.implicit_listen", 'needs TLS, but tls is "off"'),
        ('passive_ports = "30000-30010"', 'key = "transload.toml"', "ftp.key", "stands without its certificate"),
        ('idle = "2m"', 'idel = "2m"', "sftp.idel", "unknown key"),
        ('idle = "2m"', "sessions = 0", "sftp.sessions", "wants at least 1"),
        ('idle = "2m"', 'host_keys = ["nowhere"]', "sftp.host_keys[0]", "cannot be read: No such file or directory"),
    ],
)
def test_a_server_that_cannot_serve_is_told(write, old, new, key, fault):
    assert old in SERVED
    found = [one for one in check(write(SERVED.replace(old, new) + ROUTE)) if one.key == f"servers.{key}"]
    assert fault in " ".join(one.fault for one in found)
    assert all(one.line for one in found)


def test_a_port_of_0_and_two_addresses_do_not_clash(faults):
    assert {} == faults(SERVED.replace("127.0.0.1:2121", "127.0.0.1:0").replace("[::]:2022", "127.0.0.1:0") + ROUTE)
    assert {} == faults(SERVED.replace("[::]:2022", "127.0.0.2:2121") + ROUTE)


def test_private_keys_that_everybody_can_read_are_refused(write, tmp_path):
    for name in ("server.crt", "server.key", "host"):
        (tmp_path / name).touch(0o644)
    more = 'certificate = "server.crt"\nkey = "server.key"\n[servers.sftp]\nhost_keys = ["host"]'
    text = (
        SERVED.replace("[servers.sftp]", more)
        + '[remotes.far]\nkind = "sftp"\nhost = "h"\nuser = "u"\nkey = { file = "host" }\ninsecure = true\n'
    )
    found = {fault.key: fault for fault in check(write(text))}
    assert {"servers.ftp.key", "servers.sftp.host_keys[0]", "remotes.far.key"} == set(found)
    assert "is a private key that everybody on this machine can get at" in found["servers.ftp.key"].fault
    os.chmod(tmp_path / "server.key", 0o640)
    os.chmod(tmp_path / "host", 0o600)
    assert [] == check(write(text))


@pytest.mark.parametrize(
    ("homes", "fault"),
    [
        (("a", "a/b"), {"users.partner.home": 'lies inside the home of "logger"'}),
        (("a/b", "a"), {"users.logger.home": 'lies inside the home of "partner"'}),
        (("/srv/in", "/srv"), {"users.logger.home": 'lies inside the home of "partner"'}),
        (("logger", "partner"), {}),
        (("shared", "./shared/"), {}),
        (("ab", "a"), {}),
        (("../out", "x"), {"users.logger.home": "leaves the inbox folder"}),
        ((".", "x"), {"users.logger.home": "leaves the inbox folder"}),
    ],
)
def test_homes_lie_beside_each_other_or_are_one(faults, homes, fault):
    text = SERVED.replace("[users.logger]", f'[users.logger]\nhome = "{homes[0]}"').replace(
        "[users.partner]", f'[users.partner]\nhome = "{homes[1]}"'
    )
    assert fault == faults(text)


@pytest.mark.parametrize(
    ("old", "new", "key", "fault"),
    [
        ("[users.logger]", '[users."log ger"]', 'users."log ger"', "is no name for a user"),
        ('"elw"', '"elx"', "users.logger.permissions", 'has no letter "x"'),
        ('"/out"', '"out"', "users.logger.folders", '"out" is no folder of a home'),
        ('"/out"', '"/a/../out"', "users.logger.folders", "write the folder without . and .., as a client sees it"),
        ('["sftp"]', '["scp"]', "users.logger.limits.protocols[0]", 'wants "ftp", "ftps" or "sftp"'),
        ("quota =", "quotta =", "users.logger.limits.quotta", "unknown key"),
        ("LOGGER_PASSWORD", "NOT_SET_AT_ALL", "users.logger.password", "the environment variable NOT_SET_AT_ALL is not set"),
        ('{ env = "LOGGER_PASSWORD" }', '"hunter2-canary"', "users.logger.password", "a secret is written as a reference"),
        ('complete = "rename"', 'complete = "renamed"', "users.logger.arrival.complete", "wants"),
        (f'["{KEY} me@here"]', '["not a key"]', "users.partner.keys", ""),
    ],
)
def test_a_user_that_cannot_be_is_told_without_its_secret(write, old, new, key, fault):
    assert old in SERVED
    found = {one.key: str(one) for one in check(write(SERVED.replace(old, new)))}
    assert fault in found[key]
    assert "hunter2-canary" not in "".join(found.values())


def test_faults_of_all_tables_are_told_together(write):
    text = SERVED.replace('idle = "2m"', "idle = 'soon'").replace('"elw"', '"x"') + ROUTE.replace('"*.csv"', "7")
    with pytest.raises(ConfigFaults) as raised:
        Config.load(write(text))
    assert {"servers.sftp.idle", "users.logger.permissions", "routes[sensors].from.match"} == {fault.key for fault in raised.value.faults}


@pytest.mark.parametrize("table", ["servers", "users"])
def test_a_table_that_is_none_is_told(faults, table):
    assert f"{table}" in faults(f"{table} = 3\n")
