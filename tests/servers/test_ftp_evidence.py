"""When our FTP server says "yes" to an upload, and when it must not: killed, cut and rude clients, and those who do all they should."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.servers.ftp_ground import FtpGround

KILLED = 40
SENDER = """
import socket, ssl, sys
port, name, tls, ca = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "tls", sys.argv[4]
context = ssl.create_default_context(cafile=ca)
line = socket.create_connection(("127.0.0.1", port))
file = line.makefile("rb")
def asks(text):
    global line, file
    if text: line.sendall(text.encode() + b"\\r\\n")
    while True:
        said = file.readline()
        if said[3:4] == b" ": return said.decode()
asks("")
if tls:
    asks("AUTH TLS")
    file.close()
    line = context.wrap_socket(line, server_hostname="localhost")
    file = line.makefile("rb")
    asks("PBSZ 0"); asks("PROT P")
asks("USER ann"); asks("PASS open sesame, please")
port = int(asks("EPSV").split("|||")[1].split("|")[0])
data = socket.create_connection(("127.0.0.1", port))
asks("STOR " + name)
if tls: data = context.wrap_socket(data, server_hostname="localhost", session=line.session)
data.sendall(b"x" * 200_000)
print("sent", flush=True)
while True: data.sendall(b"y" * 1000)
"""


@pytest.fixture(scope="module")
def ground():
    with FtpGround() as ground:
        yield ground


def until(true, seconds=20):
    """Wait until it is."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


def sending(raw, name):
    """An upload under way."""
    line = raw.passive()
    raw.say(f"STOR {name}")
    assert raw.answer()[:1] == b"1"
    return line


@pytest.mark.slow
@pytest.mark.parametrize("tls", ["clear", "tls"])
def test_a_client_that_is_killed_never_counts(ground, tls):
    from tests.peers.certificates import certificates

    dice = random.Random(tls)
    for number in range(KILLED):
        sender = subprocess.Popen(
            [sys.executable, "-c", SENDER, str(ground.port), f"{tls}-{number}", tls, str(certificates().ca)], stdout=subprocess.PIPE
        )
        with sender:
            assert sender.stdout is not None
            assert b"sent\n" == sender.stdout.readline()
            time.sleep(dice.random() * 0.003)
            sender.send_signal(signal.SIGKILL)
            sender.wait()
        name = f"{tls}-{number}"
        until(lambda name=name: name in ground.kept() or name.encode() in ground.uploads())
        assert name.encode() not in ground.uploads(), "it counted"
    assert not any(path.startswith(tls.encode()) for path in ground.uploads())
    assert not any(name.startswith(tls) for name in ground.files())


def test_a_client_that_hangs_up_before_our_answer_does_not_count(ground):
    for how in ("close", "reset", "shutdown"):
        raw = ground.raw()
        line = sending(raw, f"hung-{how}")
        line.sendall(b"x" * 5000)
        line.close()
        if how == "shutdown":
            raw.line.shutdown(socket.SHUT_RDWR)
        else:
            getattr(raw, how)()
        until(lambda how=how: f"hung-{how}" in ground.kept())
        raw.close()
        assert f"hung-{how}".encode() not in ground.uploads()


def test_a_data_connection_that_is_reset_is_426(ground):
    import struct

    with ground.raw() as raw:
        line = sending(raw, "reset")
        line.sendall(b"x" * 5000)
        until(lambda: b"5000 bytes" in raw.asks("STAT", 211))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()
        raw.hears(426)
        assert 5000 == int(raw.asks("SIZE reset", 213))
        assert b"reset" not in ground.uploads()


def test_what_is_kept_is_not_listed_as_whole_and_goes_on_where_it_was(ground):
    import hashlib

    data = os.urandom(300_000)
    raw = ground.raw()
    line = sending(raw, "resumed")
    line.sendall(data[:100_000])
    line.close()
    raw.close()
    until(lambda: ground.kept().get("resumed") == 99_999)
    with ground.raw() as raw:
        assert b"450" == raw.put("resumed", b"", "RETR")[:3]  # it is not there to be read
        assert b"size=99999;" in raw.asks("MLST resumed", 250)
        raw.asks("REST 99999", 350)
        assert b"226" == raw.put("resumed", data[99_999:])[:3]
        assert hashlib.sha256(data).hexdigest().encode() == raw.asks("XSHA256 resumed", 250)
    assert 300_000 == ground.uploads()[b"resumed"]
    assert "resumed" not in ground.kept()
    assert data == ground.files()["resumed"]


def test_appe_goes_on_by_itself(ground):
    raw = ground.raw()
    line = sending(raw, "appended")
    line.sendall(b"one ")
    line.close()
    raw.close()
    until(lambda: ground.kept().get("appended") == 3)
    with ground.raw() as raw:
        assert b"226" == raw.put("appended", b" two ", "APPE")[:3]
        assert b"226" == raw.put("appended", b"three", "APPE")[:3]
    assert b"one two three" == ground.files()["appended"]


def test_good_clients_are_all_believed(ground):
    with ground.raw() as raw:
        for number in range(60):
            assert b"226" == raw.put(f"good-{number}", b"x" * (number * 100))[:3]
    assert 60 == sum(path.startswith(b"good-") for path in ground.uploads())


def test_a_lenient_account_counts_devices_that_hang_up():
    with FtpGround(arrival='{"lenient": true}') as ground:
        raw = ground.raw()
        line = sending(raw, "device")
        line.sendall(b"x" * 5000)
        line.close()
        raw.close()
        until(lambda: ground.uploads().get(b"device") == 5000)
        with ground.raw(login=False) as raw:
            raw.secure()
            raw.login()
            data = raw.data("STOR rude")
            data.sendall(b"x" * 5000)
            data.close()
            raw.hears(226)
        assert 5000 == ground.uploads()[b"rude"]


def test_the_operator_may_say_how_long_to_look():
    with FtpGround(arrival='{"grace": 0.4}') as ground:
        raw = ground.raw()
        began = time.monotonic()
        assert b"226" == raw.put("looked-for")[:3]
        assert time.monotonic() - began >= 0.4
        line = sending(raw, "gone")
        line.sendall(b"xx")
        line.close()
        time.sleep(0.1)
        raw.close()
        until(lambda: "gone" in ground.kept())


def test_a_client_that_announced_the_size_and_sent_it_is_not_looked_for():
    with FtpGround(arrival='{"grace": 30}') as ground:
        with ground.raw() as raw:
            raw.asks("ALLO 9", 200)
            assert b"226" == raw.put("announced", b"nine byte")[:3]
            raw.asks("ALLO 9", 200)
            line = sending(raw, "gone")
            line.sendall(b"xx")
            line.close()
            raw.hears(552)
        assert {"announced": b"nine byte"} == ground.files()
        assert ["gone"] == list(ground.kept())


def test_without_a_ledger_it_is_the_same():
    with FtpGround(plain=True) as ground:
        with ground.raw() as raw:
            assert b"226" == raw.put("whole", b"x" * 1000)[:3]
        raw = ground.raw()
        line = sending(raw, "cut")
        line.sendall(b"x" * 1000)
        line.close()
        raw.close()
        until(lambda: ground.kept().get("cut") == 999)
        assert ["whole"] == list(ground.files())


def test_two_sessions_that_store_one_name_lose_nothing(ground):
    with ground.raw() as one, ground.raw() as two:
        lines = [sending(one, "both"), sending(two, "both")]
        for line, data in zip(lines, (b"one", b"two"), strict=True):
            line.sendall(data)
        for line in lines:
            line.close()
        one.hears(226)
        two.hears(226)
    found = {data for name, data in ground.files().items() if name.startswith("both")}
    assert {b"one", b"two"} == found


def test_a_server_that_stops_answers_what_has_ended_and_keeps_what_was_under_way():
    ground = FtpGround(arrival='{"grace": 0.3}')
    try:
        ended, running, idle = ground.raw(), ground.raw(), ground.raw()
        line = sending(ended, "ended")
        line.sendall(b"x" * 1000)
        line.close()
        under_way = sending(running, "under-way")
        under_way.sendall(b"x" * 1000)
        until(lambda: b"1000 bytes" in running.asks("STAT", 211))
        ground.door.stop()
        ended.hears(226)
        ended.hears(421)
        running.hears(426)
        running.hears(421)
        idle.hears(421)
        for client in (ended, running, idle):
            assert client.gone()
            client.close()
        under_way.close()
        assert ["ended"] == list(ground.files())
        assert {"under-way": 1000} == ground.kept()
    finally:
        ground.close()


def test_an_account_that_is_changed_ends_its_sessions():
    with FtpGround() as ground, ground.raw() as raw:
        line = sending(raw, "half")
        line.sendall(b"x")
        until(lambda: b"1 bytes" in raw.asks("STAT", 211))
        ground.add("ann", enabled=False)
        raw.hears(426)
        assert b"disabled" in raw.hears(421)
        assert raw.gone()
        line.close()
        assert {} == ground.uploads()


def test_tls_uploads_of_clients_that_never_read_are_whole(ground):
    """A client that only sends leaves what we say unread: its system resets the connection when it closes."""
    with ground.raw(login=False) as raw:
        raw.secure()
        raw.login()
        for number in range(20):
            line = raw.data(f"STOR unread-{number}")
            line.sendall(b"x" * 500_000)
            line.settimeout(0)
            with contextlib.suppress(OSError):  # it says that it ends, and does not wait for our word
                line.unwrap()
            line.close()
            raw.hears(226)
    assert 20 == sum(path.startswith(b"unread-") for path in ground.uploads())
