"""What our SFTP server offers, read from its first packet as ssh-audit does, and what clients end up with."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
from contextlib import nullcontext

import paramiko
import pytest
from paramiko.kex_gex import KexGexSHA256

from tests.servers.sftp_ground import PASSWORD, USER, Ground

WEAK = re.compile(
    r"sha1(?!\d)|md5|-cbc|arcfour|3des|blowfish|cast128|ssh-dss|^ssh-rsa$|group1-|group14-sha1|ripemd|umac-64|-96|nistp|^none$|dh-sha1|rsa1024"
)
LISTS = ("kex", "key", "encryption", "encryption back", "mac", "mac back", "compression", "compression back", "language", "language back")
GCM = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"]


@pytest.fixture(scope="module")
def ground():
    with Ground() as ground:
        yield ground


def names(*lists):
    body = b"".join(struct.pack(">I", len(one)) + one for one in (",".join(one).encode() for one in lists))
    payload = b"\x14" + bytes(16) + body + bytes(5)
    pad = 8 - (len(payload) + 5) % 8 + 8
    return struct.pack(">IB", len(payload) + pad + 1, pad) + payload + bytes(pad)


def offered(ground, mine=None):
    """The lists of the server's KEXINIT; `mine` is what is offered to it first."""
    with socket.create_connection(("127.0.0.1", ground.port), timeout=10) as wire, wire.makefile("rb") as stream:
        assert re.fullmatch(rb"SSH-2\.0-\w+\r\n", stream.readline())
        wire.sendall(b"SSH-2.0-audit\r\n" + (names(*mine) if mine else b""))
        length, pad = struct.unpack(">IB", stream.read(5))
        payload = stream.read(length - 1)[: length - 1 - pad]
    assert payload[0] == 20
    at, lists = 17, {}
    for name in LISTS:
        (size,) = struct.unpack_from(">I", payload, at)
        lists[name] = payload[at + 4 : at + 4 + size].decode().split(",") if size else []
        at += 4 + size
    return lists


def test_nothing_that_is_offered_is_weak(ground):
    lists = offered(ground)
    assert ["none"] == lists.pop("compression") == lists.pop("compression back")
    assert not [one for offers in lists.values() for one in offers if WEAK.search(one)]


def test_the_best_comes_first(ground):
    lists = offered(ground)
    assert "aes128-gcm@openssh.com" == lists["encryption"][0] == lists["encryption back"][0]
    assert lists["kex"][0].startswith("mlkem768x25519")
    assert "curve25519-sha256" in lists["kex"]
    assert ["ssh-ed25519"] == lists["key"]
    assert all(one.endswith("-etm@openssh.com") for one in lists["mac"])


def test_strict_key_exchange_is_there(ground):
    assert "kex-strict-s-v00@openssh.com" in offered(ground)["kex"]


@pytest.mark.parametrize(
    ("encryption", "mac", "encryption_back", "mac_back"),
    [
        (["chacha20-poly1305@openssh.com", "aes128-ctr", *GCM], ["hmac-sha2-256"], GCM, ["hmac-sha2-256", "hmac-sha2-512"]),
        (["chacha20-poly1305@openssh.com"], ["hmac-sha2-256-etm@openssh.com"], None, None),
        (["aes128-ctr"], ["hmac-sha2-512-etm@openssh.com", "hmac-sha1"], None, None),
        (["3des-cbc"], ["hmac-md5"], None, ["hmac-sha2-256", "hmac-sha2-512"]),
    ],
)
def test_a_client_is_offered_the_fastest_that_it_can(ground, encryption, mac, encryption_back, mac_back):
    lists = offered(ground, (["curve25519-sha256"], ["ssh-ed25519"], encryption, encryption, mac, mac, ["none"], ["none"], [], []))
    usual = offered(ground)
    assert (encryption_back or usual["encryption"]) == lists["encryption"]
    assert (mac_back or usual["mac"]) == lists["mac"]


@pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")
@pytest.mark.parametrize(
    ("least", "wanted", "most", "works"), [(1024, 1024, 1024, False), (1024, 1024, 8192, False), (2048, 2048, 8192, True)]
)
def test_a_small_group_is_given_to_nobody_who_asks_for_one(ground, monkeypatch, least, wanted, most, works):
    monkeypatch.setattr(KexGexSHA256, "min_bits", least)
    monkeypatch.setattr(KexGexSHA256, "preferred_bits", wanted)
    monkeypatch.setattr(KexGexSHA256, "max_bits", most)
    with socket.create_connection(("127.0.0.1", ground.port), timeout=10) as wire, paramiko.Transport(wire) as transport:
        transport.get_security_options().kex = ("diffie-hellman-group-exchange-sha256",)
        with nullcontext() if works else pytest.raises(paramiko.SSHException, match="Negotiation failed"):
            transport.connect(username=USER, password=PASSWORD)
        assert works == transport.is_authenticated()
    transport.join(10)


@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes256-ctr"])
def test_files_go_over_each_cipher(ground, cipher):
    file = ground.file("ciphered.bin", 3_000_000)
    back = ground.work / "ciphered.back"
    ground.sftp(f"put {file} {cipher}.bin", f"get {cipher}.bin {back}", options=("-c", cipher))
    assert file.read_bytes() == back.read_bytes()


@pytest.mark.parametrize(
    "option", ["Ciphers=aes128-cbc", "MACs=hmac-sha1", "KexAlgorithms=diffie-hellman-group14-sha1", "HostKeyAlgorithms=ssh-rsa"]
)
def test_weak_ones_are_refused(ground, option):
    more = ["-o", "Ciphers=aes128-ctr"] if option.startswith("MACs") else []
    done = subprocess.run(
        ["ssh", *more, "-o", "LogLevel=INFO", "-o", option, "-p", str(ground.port), *ground.options(), f"{USER}@127.0.0.1", "-s", "sftp"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "no matching" in done.stderr, done.stderr


def test_a_signature_with_sha1_proves_nothing(ground):
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", ground.work / "rsa"], check=True)
    ground.add("rsa", keys=(" ".join((ground.work / "rsa.pub").read_text().split()[:2]),))
    goes = ["sftp", "-b", "-", "-P", str(ground.port), *ground.options(), "-i", str(ground.work / "rsa")]
    for algorithm, works in (("rsa-sha2-512", True), ("rsa-sha2-256", True), ("ssh-rsa", False)):
        done = subprocess.run(
            [*goes, "-o", f"PubkeyAcceptedAlgorithms={algorithm}", "rsa@127.0.0.1"],
            input=b"pwd\n",
            capture_output=True,
            timeout=20,
            check=False,
        )
        assert works == (done.returncode == 0), (algorithm, done.stderr)


def test_a_login_goes_through_whatever_the_client_calls_itself(ground):
    with socket.create_connection(("127.0.0.1", ground.port), timeout=10) as wire, paramiko.Transport(wire) as transport:
        transport.local_version = "SSH-2.0-OpenSSH_9.2p1"
        transport.connect(username=USER, password=PASSWORD)
        assert "aes128-gcm@openssh.com" == transport.remote_cipher
    transport.join(10)
