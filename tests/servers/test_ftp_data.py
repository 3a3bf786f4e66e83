"""Data connections of our FTP server: passive and active, by IPv4 and IPv6, from behind a NAT, at few ports, at a rate."""

from __future__ import annotations

import ftplib
import io
import os
import socket
import subprocess
import threading
import time
from ipaddress import ip_address

import pytest

from tests.servers.ftp_ground import PASSWORD, USER, FtpGround, Raw, free_range
from transload.accounts import Limits
from transload.errors import ConfigError


@pytest.fixture(scope="module")
def ground():
    with FtpGround(settings={"listen": "[::]:0"}) as ground:
        yield ground


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("passive", [True, False], ids=["passive", "active"])
def test_files_go_both_ways(ground, host, passive):
    data = os.urandom(1_000_000)
    with ftplib.FTP() as client:
        client.connect(host, ground.port)
        client.login(USER, PASSWORD)
        client.set_pasv(passive)
        client.storbinary("STOR both", io.BytesIO(data))
        got = io.BytesIO()
        client.retrbinary("RETR both", got.write)
        assert data == got.getvalue()
        assert ["both"] == client.nlst()
        got = io.BytesIO()
        client.retrbinary("RETR both", got.write, rest=999_990)
        assert data[-10:] == got.getvalue()
        client.delete("both")


def _link_local() -> str:
    """An address of this machine that is one behind a single interface only, with that; nothing where there is none."""
    with open("/proc/net/if_inet6", encoding="ascii") as table:
        found = [line.split() for line in table if line.startswith("fe80")]
    return f"{ip_address(bytes.fromhex(found[0][0]))}%{found[0][5]}" if found else ""


@pytest.mark.skipif(not _link_local(), reason="this machine has no link-local address")
def test_so_they_do_at_an_address_behind_one_interface_only(ground, tmp_path):
    (tmp_path / "sent").write_bytes(b"over one line")
    url = f"ftp://[{_link_local().replace('%', '%25')}]:{ground.port}/local"
    curl = ["curl", "--silent", "--show-error", "--max-time", "20", "--user", f"{USER}:{PASSWORD}"]
    subprocess.run([*curl, "--upload-file", tmp_path / "sent", url], check=True)
    assert b"over one line" == subprocess.run([*curl, url], check=True, capture_output=True).stdout
    with ftplib.FTP() as client:
        client.connect(_link_local(), ground.port)
        client.login(USER, PASSWORD)
        client.set_pasv(False)
        client.storbinary("STOR local", io.BytesIO(b"called back"))
        assert b"called back" == (ground.home / "local").read_bytes()
        client.delete("local")


def test_what_is_of_ipv4_alone_says_so(ground):
    with Raw(ground.port, "::1") as raw:
        raw.hears(220)
        raw.login()
        raw.asks("PASV", 425)
        raw.asks("EPSV 1", 522)
        raw.asks("EPSV 2", 229)
        raw.asks("EPSV ALL", 200)
        raw.asks("PASV", 501)
        raw.asks("PORT 127,0,0,1,200,1", 501)
        raw.asks("EPRT |2|::1|50000|", 501)
    with ground.raw() as raw:
        raw.asks("EPSV 2", 522)
        raw.asks("EPSV 1", 229)


def test_an_active_client_that_does_not_listen_is_425(ground):
    with ground.raw() as raw, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        raw.asks(f"PORT 127,0,0,1,{port >> 8},{port & 255}", 200)
        raw.asks("LIST", 150)
        raw.hears(425)
        raw.asks("NOOP", 200)


def test_clients_are_told_the_public_address_of_their_network():
    told = {"127.0.0.0/8": "10.1.2.3", "127.0.0.2/32": "10.9.9.9", "default": "203.0.113.7"}
    with FtpGround(settings={"public_address": told}) as ground:
        with ground.raw() as raw:
            assert b"(10,1,2,3," in raw.asks("PASV", 227)
        with socket.create_connection(("127.0.0.1", ground.port), source_address=("127.0.0.2", 0)) as line:
            other = Raw.over(line)
            other.hears(220)
            other.login()
            assert b"(10,9,9,9," in other.asks("PASV", 227)
    with FtpGround(settings={"public_address": "203.0.113.7"}) as ground, ground.raw() as raw:
        assert b"(203,0,113,7," in raw.asks("PASV", 227)
        raw.asks("EPSV", 229)


def test_a_public_address_that_is_none_is_told_at_the_start(tmp_path):
    with pytest.raises(ConfigError, match="public_address"):
        FtpGround(tmp_path, settings={"public_address": "no.such.host.invalid"})


def test_fifty_transfers_at_once_need_no_more_than_eleven_ports():
    first, last = free_range(11)
    with FtpGround(settings={"passive_ports": f"{first}-{last}"}) as ground:
        used, failed = set(), []

        def upload(number):
            try:
                with ground.raw() as raw:
                    raw.line.settimeout(30)
                    port = raw.port()
                    used.add(port)
                    with socket.create_connection(("127.0.0.1", port)) as line:
                        raw.say(f"STOR file-{number}")
                        assert raw.answer()[:1] == b"1"
                        barrier.wait(30)  # all fifty are connected now
                        line.sendall(b"x" * 50_000)
                    raw.hears(226)
            except BaseException as error:  # noqa: BLE001
                failed.append(error)

        barrier = threading.Barrier(50)
        threads = [threading.Thread(target=upload, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [] == failed
        assert used <= set(range(first, last + 1))
        assert 50 == len(ground.uploads())


def test_a_port_that_another_program_has_is_left_alone():
    first, last = free_range(2)
    with FtpGround(settings={"passive_ports": f"{first}-{last}"}) as ground, socket.socket() as other, ground.raw() as raw:
        other.bind(("127.0.0.1", first))
        other.listen()
        for _ in range(5):
            assert last == raw.port()


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("way", ["up", "down"])
def test_rates_are_kept_in_the_direction_that_was_said(way, tls):
    rate, seconds = 400_000, 2.0
    limit = {"up": "upload_rate", "down": "download_rate"}[way]
    data = os.urandom(int(rate * seconds))
    with FtpGround(limits=Limits(**{limit: rate})) as ground, ground.raw(login=False) as raw:
        if tls:
            raw.secure()
        raw.login()
        (ground.home / "paced").write_bytes(data)
        took = {}
        for command in ("STOR up", "RETR paced"):
            began = time.monotonic()
            line = raw.data(command) if tls else raw.passive()
            if not tls:
                raw.say(command)
                assert raw.answer()[:1] == b"1"
            if command.startswith("STOR"):
                line.sendall(data)
                if tls:
                    line.unwrap()
            else:
                got = b""
                while more := line.recv(65536):
                    got += more
                assert data == got
            line.close()
            raw.hears(226)
            took[command[0]] = time.monotonic() - began
        slow, quick = (took["S"], took["R"]) if way == "up" else (took["R"], took["S"])
        assert 0.9 * seconds <= slow
        assert quick < seconds


def test_a_paused_upload_does_not_keep_the_others_waiting():
    with FtpGround() as ground:
        ground.add("slow", limits=Limits(upload_rate=1000))
        with ground.raw(login=False) as slow, ground.raw() as quick:
            slow.login("slow")
            line = slow.passive()
            slow.say("STOR never")
            slow.answer()
            line.sendall(b"x" * 100_000)
            for number in range(20):
                assert b"226" == quick.put(f"quick-{number}")[:3]
            line.close()


def test_a_client_at_another_loopback_address_is_on_this_machine_too(ground):
    with Raw(ground.port, "127.0.0.2") as raw:
        raw.hears(220)
        raw.login()
        assert [True] == [session.here for session in ground.door._hall.sessions if session.local == "127.0.0.2"]
