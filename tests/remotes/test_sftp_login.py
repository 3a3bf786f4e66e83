"""Who is let in, who is believed to be the right server, and what is said when not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.peers.fixtures import running
from tests.peers.proxy import Proxy
from tests.peers.sshd import Sshd, make_key
from tests.remotes.places import VARIABLE
from transload.errors import ConfigError, Denied, Unreachable
from transload.remotes.sftp import SftpRemote, host_key_of
from transload.secret import Secret

OLD = """\
KexAlgorithms diffie-hellman-group14-sha1
Ciphers aes128-cbc
MACs hmac-sha1
"""


@pytest.fixture(scope="module")
def two_keys() -> Sshd:
    return running("sshd_two_keys", lambda: Sshd(host_keys=("ed25519", "rsa")))


@pytest.fixture(scope="module")
def rsa_only() -> Sshd:
    return running("sshd_rsa_only", lambda: Sshd(host_keys=("rsa",)))


@pytest.fixture
def agent(sshd) -> Iterator[None]:
    """A running ssh-agent that holds the partner's key."""
    sock = sshd.work / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdout=subprocess.PIPE)
    process.stdout.readline()
    subprocess.run(["ssh-add", "-q", sshd.key], env=os.environ | {"SSH_AUTH_SOCK": str(sock)}, check=True)
    yield str(sock)
    process.terminate()
    process.wait()
    process.stdout.close()


def remote(peer: Sshd, **changed) -> SftpRemote:
    settings = {
        "host": peer.host,
        "port": peer.port,
        "user": peer.user,
        "key": Secret(file=peer.key),
        "host_key": peer.host_key,
        "timeout": 10,
    }
    return SftpRemote(**{name: value for name, value in (settings | changed).items() if value is not None})


def lets_in(made: SftpRemote) -> bool:
    with made.connect() as session:
        return list(session.list("", recursive=False)) is not None


def fingerprint(key: Path) -> str:
    told = subprocess.run(["ssh-keygen", "-l", "-f", key.with_suffix(".pub")], check=True, capture_output=True, text=True)
    return told.stdout.split()[1]


def refusal(made: SftpRemote) -> str:
    with pytest.raises(Denied) as caught, made.connect():
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Host keys


def test_a_pinned_fingerprint_is_enough(sshd):
    assert lets_in(remote(sshd, host_key=fingerprint(sshd.host_keys[0])))


def test_a_fingerprint_of_any_of_the_servers_keys_will_do(two_keys):
    for key in two_keys.host_keys:
        assert lets_in(remote(two_keys, host_key=fingerprint(key)))


def test_one_of_several_pinned_keys_will_do(sshd, rsa_only, two_keys):
    assert lets_in(remote(sshd, host_key=[rsa_only.host_key, sshd.host_key]))
    assert lets_in(remote(two_keys, host_key=[two_keys.host_keys[1].with_suffix(".pub").read_text()]))


def test_a_changed_host_key_is_told_with_both_fingerprints_and_nothing_is_sent(sshd, tmp_path):
    other = make_key(tmp_path / "other")
    logins = sshd.log().count("Accepted") + sshd.log().count("Failed")
    told = refusal(remote(sshd, host_key=other.with_suffix(".pub").read_text()))
    assert f"{sshd.host}:{sshd.port}" in told
    assert fingerprint(other) in told
    assert fingerprint(sshd.host_keys[0]) in told
    assert "CHANGED" in told
    assert "--pin" in told
    assert logins == sshd.log().count("Accepted") + sshd.log().count("Failed")


def test_a_host_key_that_became_one_of_another_type_is_told_too(rsa_only, sshd):
    told = refusal(remote(rsa_only, host_key=sshd.host_key))
    assert fingerprint(rsa_only.host_keys[0]) in told
    assert fingerprint(sshd.host_keys[0]) in told


def test_a_wrong_fingerprint_is_told_with_all_that_the_server_shows(two_keys, sshd):
    told = refusal(remote(two_keys, host_key=fingerprint(sshd.host_keys[0])))
    assert [True] * 3 == [fingerprint(key) in told for key in (*two_keys.host_keys, sshd.host_keys[0])]


def test_a_known_host_is_believed_and_an_unknown_one_is_not(sshd, tmp_path):
    assert lets_in(remote(sshd, host_key=None, known_hosts=sshd.known_hosts))
    empty = tmp_path / "known_hosts"
    empty.write_text("")
    told = refusal(remote(sshd, host_key=None, known_hosts=empty))
    assert "not known" in told
    assert str(empty) in told
    assert fingerprint(sshd.host_keys[0]) in told


def test_a_known_host_with_another_key_is_not_believed(sshd, rsa_only, tmp_path):
    wrong = tmp_path / "known_hosts"
    wrong.write_text(f"[{sshd.host}]:{sshd.port} {rsa_only.host_key}\n")
    assert "CHANGED" in refusal(remote(sshd, host_key=None, known_hosts=wrong))


def test_without_a_pinned_key_the_users_own_known_hosts_count(sshd, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "not known" in refusal(remote(sshd, host_key=None))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(sshd.known_hosts.read_text())
    assert lets_in(remote(sshd, host_key=None))


def test_a_host_certified_by_a_known_authority_is_believed(sshd, tmp_path):
    authority = make_key(tmp_path / "authority")
    own = make_key(tmp_path / "host")
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "host", "-h", "-n", sshd.host, own.with_suffix(".pub")], check=True)
    with Sshd(more=f"HostKey {own}\nHostCertificate {own}-cert.pub") as certified:
        known = tmp_path / "known_hosts"
        known.write_text(f"@cert-authority * {authority.with_suffix('.pub').read_text()}")
        assert lets_in(remote(certified, host_key=None, known_hosts=known))
        known.write_text(f"@cert-authority * {own.with_suffix('.pub').read_text()}")
        assert refusal(remote(certified, host_key=None, known_hosts=known))


def test_only_insecure_switches_checking_off(sshd):
    assert lets_in(remote(sshd, host_key=None, insecure=True))


def test_the_line_to_pin_is_the_one_that_the_server_shows(sshd, two_keys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sshd.host_key == host_key_of(remote(sshd, host_key=None, key=None, password=Secret(env="NOT_SET_AND_NOT_NEEDED")))
    assert two_keys.host_key == host_key_of(remote(two_keys, host_key=sshd.host_key))


# Logins


def test_a_locked_key_is_opened_with_its_passphrase(sshd, tmp_path):
    phrase = tmp_path / "phrase"
    phrase.write_text(sshd.passphrase + "\n")
    assert lets_in(remote(sshd, key=Secret(file=sshd.locked_key), passphrase=Secret(file=phrase)))


@pytest.mark.parametrize("phrase", [None, "not the passphrase"])
def test_a_key_that_stays_locked_is_named(sshd, tmp_path, phrase):
    file = tmp_path / "phrase"
    file.write_text(phrase or "")
    given = Secret(file=file) if phrase else None
    with (
        pytest.raises(ConfigError, match=r"locked_key") as caught,
        remote(sshd, key=Secret(file=sshd.locked_key), passphrase=given).connect(),
    ):
        pass
    assert "assphrase" in str(caught.value)


def test_a_file_that_is_no_key_is_named(sshd, tmp_path):
    no_key = tmp_path / "no-key"
    no_key.write_text("PuTTY-User-Key-File-3: ssh-ed25519\n")
    with pytest.raises(ConfigError, match="no-key"), remote(sshd, key=Secret(file=no_key)).connect():
        pass


def test_a_key_from_the_environment_will_do(sshd, monkeypatch):
    monkeypatch.setenv("TRANSLOAD_TEST_KEY", sshd.key.read_text())
    assert lets_in(remote(sshd, key=Secret(env="TRANSLOAD_TEST_KEY")))


def test_a_foreign_key_is_refused(sshd, tmp_path):
    assert f"login of {sshd.user}" in refusal(remote(sshd, key=Secret(file=make_key(tmp_path / "foreign"))))


def test_the_agent_is_asked_for_keys_only_when_that_is_wanted(sshd, agent, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    assert lets_in(remote(sshd, key=None, agent=True))
    refusal(remote(sshd, key=Secret(file=make_key(tmp_path / "foreign"))))
    assert lets_in(remote(sshd, key=Secret(file=tmp_path / "foreign"), agent=True))


def test_an_agent_that_does_not_run_is_told(sshd, monkeypatch, tmp_path):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(ConfigError, match="SSH_AUTH_SOCK"), remote(sshd, key=None, agent=True).connect():
        pass
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    with pytest.raises(ConfigError, match="nobody"), remote(sshd, key=None, agent=True).connect():
        pass


def test_an_openssh_configuration_is_followed(sshd, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = tmp_path / "config"
    lines = ["Host partner", f"HostName {sshd.host}", f"Port {sshd.port}", f"User {sshd.user}", f"IdentityFile {sshd.key}"]
    config.write_text("\n  ".join([*lines, f"UserKnownHostsFile {sshd.known_hosts}"]))
    assert lets_in(SftpRemote(host="partner", ssh_config=config))
    config.write_text("\n  ".join([*lines, "UserKnownHostsFile none", "StrictHostKeyChecking no"]))
    assert "not known" in refusal(SftpRemote(host="partner", ssh_config=config))


def test_the_users_own_configuration_is_not_read_unasked(sshd, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  Port 1\n  HostName nowhere.invalid\n")
    assert lets_in(remote(sshd))


# Ways there


def test_a_jump_host_is_gone_through(sshd, jump_host, tmp_path, monkeypatch):
    there = {"host": jump_host.host, "port": jump_host.port, "user": jump_host.user, "host_key": jump_host.host_key}
    assert lets_in(remote(sshd, jump=there | {"key": Secret(file=jump_host.key)}))
    assert lets_in(remote(sshd, jump=there | {"password": Secret(env=VARIABLE)})) or not jump_host.passwords
    assert host_key_of(remote(sshd, jump=there | {"key": Secret(file=jump_host.key)})) == sshd.host_key


def test_a_jump_host_in_one_line_takes_the_remotes_own_key(jump_host, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(jump_host.known_hosts.read_text())
    assert lets_in(remote(jump_host, jump=f"{jump_host.user}@{jump_host.host}:{jump_host.port}"))


def test_a_jump_host_with_a_changed_key_is_not_gone_through(sshd, jump_host):
    there = {"host": jump_host.host, "port": jump_host.port, "user": jump_host.user, "host_key": sshd.host_key}
    told = refusal(remote(sshd, jump=there | {"key": Secret(file=jump_host.key)}))
    assert f"{jump_host.host}:{jump_host.port}" in told
    assert "CHANGED" in told


def test_a_jump_host_that_forwards_nothing_is_told(sshd, rsa_only):
    there = {"host": rsa_only.host, "port": rsa_only.port, "user": rsa_only.user, "host_key": rsa_only.host_key}
    assert refusal(remote(sshd, jump=there | {"key": Secret(file=rsa_only.key)}))


def test_proxies_are_gone_through(sshd, socks_proxy, http_proxy):
    for proxy in (socks_proxy, http_proxy):
        before = proxy.connections(sshd.port)
        assert lets_in(remote(sshd, proxy=proxy.url))
        assert before + 1 == proxy.connections(sshd.port)


def test_a_proxy_is_given_its_password(sshd, monkeypatch):
    monkeypatch.setenv("TRANSLOAD_TEST_PROXY", "pr0xy word")
    with Proxy("socks5", login="me:pr0xy word") as proxy:
        assert lets_in(remote(sshd, proxy=proxy.url, proxy_password=Secret(env="TRANSLOAD_TEST_PROXY")))
        monkeypatch.setenv("TRANSLOAD_TEST_PROXY", "wrong word")
        with (
            pytest.raises(Unreachable, match="proxy"),
            remote(sshd, proxy=proxy.url, proxy_password=Secret(env="TRANSLOAD_TEST_PROXY")).connect(),
        ):
            pass


# Old servers


@pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")
def test_an_old_server_needs_its_algorithms_named(tmp_path):
    with Sshd(more=OLD) as old:
        assert "algorithms" in refusal(remote(old))
        given = {"kex": ["diffie-hellman-group14-sha1"], "ciphers": ["aes128-cbc"], "macs": ["hmac-sha1"]}
        assert lets_in(remote(old, algorithms=given))


def test_an_algorithm_that_does_not_exist_is_named(sshd):
    with pytest.raises(ConfigError, match="rot13"), remote(sshd, algorithms={"ciphers": ["rot13"]}).connect():
        pass


# Settings


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({}, "wants a way to log in"),
        ({"agent": True, "host_key": "AAAA"}, "ssh-ed25519 AAAA"),
        ({"agent": True, "host_key": "SHA256:short"}, "SHA256"),
        ({"agent": True, "host_key": "SHA256:" + "x" * 43, "insecure": True}, "insecure"),
        ({"agent": True, "passphrase": {"env": "X"}}, "passphrase"),
        ({"agent": True, "jump": "two words"}, "user@host:port"),
        ({"agent": True, "jump": {"hots": "x"}}, "hots"),
        ({"agent": True, "keepalive": "often"}, "10m"),
    ],
)
def test_settings_that_cannot_be_are_told(settings, fault):
    with pytest.raises(ValidationError, match=fault):
        SftpRemote(host="example.test", **settings)
