"""Clients that mean harm: the session ends or gets an error, the server goes on, and nothing is seen that is not theirs."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
from contextlib import suppress
from itertools import product

import asyncssh
import paramiko
import pytest
from asyncssh.packet import String, UInt32

from tests.servers import sftp_raw as raw
from tests.servers.sftp_ground import USER, Ground
from tests.servers.sftp_raw import channel, connection, span, text, with_channel
from transload.accounts import Rights
from transload.servers.base import KEPT
from transload.servers.visit import Stay, Stays

OK, EOF, MISSING, DENIED, FAILURE, BAD, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8


@pytest.fixture(scope="module")
def ground():
    with Ground() as ground:
        yield ground


@pytest.fixture(autouse=True)
def _the_server_goes_on(ground):
    (ground.home / "a.txt").write_bytes(b"hello")
    yield
    assert "/" in ground.sftp("pwd")


# messages


@pytest.mark.parametrize("length", [0, 1, 4, (1 << 18) + 1, 1 << 31, 0xFFFFFFFF])
def test_a_message_of_an_impossible_length_ends_the_session(ground, length):
    async def work(channel):
        channel.writer.write(struct.pack(">I", length) + b"x" * 8)
        return await channel.is_over()

    assert with_channel(ground, work)


@pytest.mark.parametrize(
    "message", [struct.pack(">IBI", 5, 17, 1), struct.pack(">IBI", 5, 1, 2), b"GET / HTTP/1.1\r\n\r\n", os.urandom(200)]
)
def test_whoever_does_not_greet_is_sent_away(ground, message):
    async def work(channel):
        channel.writer.write(message)
        return await channel.is_over()

    assert with_channel(ground, work, greeted=False)


def test_a_second_greeting_ends_the_session(ground):
    async def work(channel):
        channel.writer.write(struct.pack(">IBI", 5, 1, 3))
        return await channel.is_over()

    assert with_channel(ground, work)


def test_a_string_longer_than_its_message_ends_the_session(ground):
    async def work(channel):
        channel.say(raw.STAT, struct.pack(">I", 1 << 30) + b"x")
        return await channel.is_over()

    assert with_channel(ground, work)


def test_rubbish_of_any_kind_kills_nothing(ground):
    dice = random.Random(3)

    async def once(channel):
        for _ in range(200):
            body = dice.choice([dice.randbytes(dice.randrange(60)), text(dice.randbytes(5)) + dice.randbytes(20), text(b"a.txt") * 3])
            channel.say(dice.choice([*range(21), 200, 201, 255]), body)
        channel.writer.write_eof()
        return await channel.is_over()

    for _ in range(10):
        assert with_channel(ground, once)


def test_what_is_not_known_is_said_to_be_unsupported(ground):
    async def work(channel):
        assert UNSUPPORTED == await channel.code(99)
        assert UNSUPPORTED == await channel.code(raw.EXTENDED, text(b"copy-data") + text(b"x") + span(0, 0))
        assert UNSUPPORTED == await channel.code(raw.EXTENDED, text(b"hardlink@openssh.com") + text(b"a.txt") + text(b"b"))
        assert UNSUPPORTED == await channel.code(raw.SYMLINK, text(b"a.txt") + text(b"b"))
        assert UNSUPPORTED == await channel.code(raw.READLINK, text(b"a.txt"))
        assert UNSUPPORTED == await channel.code(raw.EXTENDED, text(b"lsetstat@openssh.com") + text(b"a.txt") + UInt32(0))

    with_channel(ground, work)


# handles and numbers


def test_a_handle_that_was_never_given_is_refused_everywhere(ground):
    bodies = {
        **dict.fromkeys((raw.CLOSE, raw.FSTAT, raw.READDIR), b""),
        raw.FSETSTAT: UInt32(0),
        raw.READ: span(0, 10),
        raw.WRITE: span(0, 1) + b"x",
    }

    async def work(channel):
        for handle, (kind, body) in product((b"", b"\0\0\0\x63", b"x" * 256), bodies.items()):
            assert FAILURE == await channel.code(kind, text(handle) + body)

    with_channel(ground, work)


def test_a_thousand_open_handles_are_too_many(ground):
    async def work(channel):
        kinds = []
        for _ in range(1000):
            kind, _ = await channel.ask(raw.OPEN, text(b"a.txt") + raw.TO_READ)
            kinds.append(kind)
        assert 200 == kinds.count(raw.HANDLE)
        assert raw.STATUS == kinds[-1]
        assert raw.ATTRS == (await channel.ask(raw.STAT, text(b"a.txt")))[0]

    with_channel(ground, work)
    assert not [one for one in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{one}") == str(ground.home / "a.txt")]


def test_reading_more_than_there_is_gives_what_there_is(ground):
    async def work(channel):
        handle = await channel.open(b"a.txt", raw.TO_READ)
        assert b"hello" == (await channel.ask(raw.READ, handle + span(0, 0xFFFFFFFF)))[1][4:]
        assert b"lo" == (await channel.ask(raw.READ, handle + span(3, 1 << 31)))[1][4:]
        for offset in (5, 1 << 31, 1 << 63, (1 << 64) - 1):
            assert EOF == await channel.code(raw.READ, handle + span(offset, 100))
        assert DENIED == await channel.code(raw.WRITE, handle + span(0, 1) + b"x")

    with_channel(ground, work)


@pytest.mark.parametrize("offset", [1 << 50, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_hole_larger_than_the_disk_is_no_file(ground, offset):
    async def work(channel):
        handle = await channel.open(b"hole.bin", raw.TO_WRITE)
        assert FAILURE == await channel.code(raw.WRITE, handle + span(offset, 1) + b"x")
        assert FAILURE == await channel.code(raw.WRITE, handle + span(0, 1) + b"x")
        assert FAILURE == await channel.code(raw.CLOSE, handle)
        handle = await channel.open(b"hole.bin", raw.TO_WRITE)
        assert FAILURE == await channel.code(raw.FSETSTAT, handle + struct.pack(">IQ", 1, offset))

    with_channel(ground, work)
    assert not (ground.home / "hole.bin").exists()


def test_an_upload_that_goes_on_where_nothing_is_any_more_is_not_whole(ground):
    kept = ground.home / os.fsdecode(KEPT + b"go.csv")

    async def work(channel):
        handle = await channel.open(b"go.csv", raw.TO_GO_ON)
        assert OK == await channel.code(raw.WRITE, handle + span(1000, 4) + b"rest")
        kind, answer = await channel.ask(raw.CLOSE, handle)
        assert (raw.STATUS, FAILURE) == (kind, int.from_bytes(answer[:4], "big"))
        assert b"only 0 bytes of its beginning are there" in answer
        assert not (ground.home / "go.csv").exists()
        kept.write_bytes(b"half")
        handle = await channel.open(b"go.csv", raw.TO_GO_ON)
        assert OK == await channel.code(raw.WRITE, handle + span(5, 1) + b"x")
        assert FAILURE == await channel.code(raw.CLOSE, handle)
        assert b"half" == kept.read_bytes()
        handle = await channel.open(b"go.csv", raw.TO_GO_ON)
        assert OK == await channel.code(raw.WRITE, handle + span(6, 3) + b"one")
        assert OK == await channel.code(raw.WRITE, handle + span(4, 2) + b", ")
        assert OK == await channel.code(raw.CLOSE, handle)

    with_channel(ground, work)
    assert b"half, one" == (ground.home / "go.csv").read_bytes()


def test_what_a_session_leaves_open_is_not_complete(ground):
    async def work(channel):
        handle = await channel.open(b"left.csv", raw.TO_WRITE)
        assert OK == await channel.code(raw.WRITE, handle + span(0, 4) + b"left")
        channel.writer.write_eof()
        return await channel.is_over()

    assert with_channel(ground, work)
    assert not (ground.home / "left.csv").exists()
    assert "4" in ground.sftp("ls -l left.csv")


# ways out


def test_no_path_leads_out_of_a_home(ground):
    outside = ground.work / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "secret").write_text("secret")
    for name, target in (("out", outside), ("file", outside / "secret"), ("up", ".."), ("etc", "/etc")):
        if not (ground.home / name).is_symlink():
            (ground.home / name).symlink_to(target)
    ways = [b"out/secret", b"file", b"up/../outside/secret", b"../outside/secret", b"/../../outside/secret", b"etc/passwd", b"/etc/passwd"]
    ways += [b"./out/./secret", b"//etc//passwd", b"out/../out/secret", b"a.txt/../etc/passwd", b"..", b"up/up/outside", b"out/new"]

    async def work(channel):
        for way in ways:
            for kind, body in (
                (raw.OPEN, raw.TO_READ),
                (raw.OPEN, struct.pack(">II", 2, 0)),
                (raw.LSTAT, b""),
                (raw.STAT, b""),
                (raw.SETSTAT, struct.pack(">III", 8, 1, 1)),
                (raw.OPENDIR, b""),
                (raw.REMOVE, b""),
                (raw.RMDIR, b""),
                (raw.RENAME, text(b"moved")),
            ):
                heard, _ = await channel.ask(kind, text(way) + body)
                assert heard == raw.STATUS or way == b"..", (way, kind)
        for way in (b"out/made", b"up/made", b"etc/made"):
            assert OK != await channel.code(raw.MKDIR, text(way) + UInt32(0))
            assert OK != await channel.code(raw.RENAME, text(b"a.txt") + text(way))
            heard, _ = await channel.ask(raw.OPEN, text(way) + raw.TO_WRITE)
            assert raw.STATUS == heard

    with_channel(ground, work)
    assert ["secret"] == os.listdir(outside)
    assert "secret" == (outside / "secret").read_text()


def test_real_paths_are_those_of_the_home(ground):
    async def work(channel):
        for asked, told in ((b".", b"/"), (b"", b"/"), (b"/../../etc", b"/etc"), (b"a/./b/../c//", b"/a/c")):
            _, answer = await channel.ask(raw.REALPATH, text(asked))
            assert text(told) == answer[4 : 8 + len(told)]

    with_channel(ground, work)


# connections


def test_a_client_that_says_it_takes_packets_of_no_size_is_sent_away(ground):
    async def work():
        async with connection(ground) as line:
            for number, most in enumerate((0, 1)):
                line.send_packet(90, String("session"), UInt32(70 + number), UInt32(1 << 20), UInt32(most))
            await asyncio.sleep(0.2)
            async with asyncio.timeout(10), line.start_sftp_client() as client:
                assert (await client.stat("a.txt")).size == 5

    with pytest.raises((asyncssh.Error, OSError)):  # the client does not know the channels that it did not open
        asyncio.run(work())


def test_a_client_that_takes_no_answers_is_asked_for_no_more_requests(ground):
    (ground.home / "big.bin").write_bytes(os.urandom(1 << 20))

    async def work(channel):
        handle = await channel.open(b"big.bin", raw.TO_READ)
        for _ in range(20_000):
            channel.say(raw.READ, handle + span(0, 250_000))
        (line,) = [line for line in ground.door._lines if line.caller and line.caller.talks]
        (talk,) = line.caller.talks
        async with asyncio.timeout(20):
            while not talk.choked:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert talk._chan.get_write_buffer_size() < 4 << 20
        assert "a.txt" in await asyncio.to_thread(ground.sftp, "ls a.txt")

    with_channel(ground, work, window=1 << 15)


def test_channels_without_end_are_refused_beyond_a_few(ground):
    async def work():
        async with connection(ground) as line:
            opened = refused = 0
            for _ in range(100):
                try:
                    async with asyncio.timeout(10):
                        await line.open_session(subsystem="sftp", encoding=None)
                    opened += 1
                except asyncssh.ChannelOpenError:
                    refused += 1
            return opened, refused

    assert (8, 92) == asyncio.run(work())


def test_new_keys_without_end_end_the_connection(ground):
    async def work():
        async with connection(ground) as line:
            for _ in range(30):
                if line.is_closed():
                    return True
                line._send_kexinit()
                line._kexinit_sent = True
                async with asyncio.timeout(10):
                    while not line._kex_complete and not line.is_closed():  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
            return False

    assert asyncio.run(work())


def test_new_keys_now_and_then_break_nothing(ground):
    async def work():
        async with (
            asyncssh.connect(
                "127.0.0.1", ground.port, username=USER, client_keys=[str(ground.key)], known_hosts=None, config=None, rekey_bytes="3M"
            ) as line,
            line.start_sftp_client() as client,
        ):
            await client.put(str(ground.file("rekeyed.bin", 12_000_000)), "rekeyed.bin")
            await client.get("rekeyed.bin", str(ground.work / "rekeyed.back"))

    asyncio.run(work())
    assert (ground.work / "out/rekeyed.bin").read_bytes() == (ground.work / "rekeyed.back").read_bytes()


@pytest.mark.parametrize("how", ["shell", "exec", "subsystem", "pty", "agent", "x11", "env"])
def test_a_channel_does_nothing_but_sftp(ground, how):
    async def work():
        async with connection(ground) as line:
            if how == "env":
                await line.open_session(subsystem="sftp", encoding=None, env={f"V{n}": "x" * 1000 for n in range(200)})
                (ours,) = [one for one in ground.door._lines if one.caller and one.caller.talks]
                assert all(not chan._env for chan in ours._channels.values())
                return
            wants = {
                "shell": {},
                "exec": {"command": "id"},
                "subsystem": {"subsystem": "netconf"},
                "pty": {"term_type": "xterm"},
                "agent": {"command": "id"},
                "x11": {"command": "id", "x11_forwarding": True, "x11_display": "localhost:0"},
            }
            with pytest.raises(asyncssh.Error):
                await line.open_session(**wants[how])

    asyncio.run(work())


def test_nothing_is_forwarded(ground):
    async def work():
        async with connection(ground) as line:
            with pytest.raises(asyncssh.ChannelOpenError):
                await line.open_connection("127.0.0.1", 22)
            with pytest.raises(asyncssh.ChannelOpenError):
                await line.open_unix_connection("/run/docker.sock")
            with pytest.raises(asyncssh.ChannelListenError):
                await line.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 22)

    asyncio.run(work())


# before the login


@pytest.mark.parametrize(
    "words",
    [
        b"\0\0\0\0" + bytes(12),
        b"\x80\0\0\0" + bytes(12),
        b"\xff\xff\xff\xff" + bytes(12),
        b"\0\0\0\x0c\xff" + bytes(11),
        struct.pack(">IBB", 12, 10, 90) + bytes(10),
        struct.pack(">IBB", 12, 10, 20) + bytes(10),
        os.urandom(400),
    ],
)
def test_an_impossible_packet_ends_the_connection(ground, words):
    with socket.create_connection(("127.0.0.1", ground.port), timeout=10) as wire:
        wire.sendall(b"SSH-2.0-x\r\n" + words)
        try:
            while wire.recv(4096):
                pass
        except ConnectionResetError:
            pass


@pytest.mark.parametrize(
    "line", [b"x" * 100_000, b"GET / HTTP/1.1\r\n\r\n", b"SSH-1.5-old\r\n", b"SSH-2.0-" + b"y" * 5000 + b"\r\n", b"SSH-2.0-\xff\r\n"]
)
def test_an_impossible_greeting_ends_the_connection(ground, line):
    with socket.create_connection(("127.0.0.1", ground.port), timeout=10) as wire:
        try:
            wire.sendall(line)
            while wire.recv(4096):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass


def message(*parts):
    built = paramiko.Message()
    for part in parts:
        (built.add_byte if isinstance(part, bytes) else built.add_string if isinstance(part, str) else built.add_int)(part)
    return built


def test_a_channel_before_the_login_ends_the_connection(ground):
    with socket.create_connection(("127.0.0.1", ground.port), timeout=10) as wire, paramiko.Transport(wire) as transport:
        transport.start_client(timeout=10)
        transport._send_message(message(bytes([90]), "session", 0, 1 << 20, 1 << 15))
        ground.until(lambda: not transport.is_active())
    transport.join(10)


def test_many_logins_at_once_on_one_connection_end_it(ground):
    with socket.create_connection(("127.0.0.1", ground.port), timeout=10) as wire, paramiko.Transport(wire) as transport:
        transport.start_client(timeout=10)
        transport._send_message(message(bytes([5]), "ssh-userauth"))
        for _ in range(50):
            one = message(bytes([50]), USER, "ssh-connection", "password")
            one.add_boolean(False)
            one.add_string("wrong")
            with suppress(EOFError):  # it may have been ended already
                transport._send_message(one)
        ground.until(lambda: not transport.is_active())
    transport.join(10)
    assert len([ban for ban in ground.ledger.bans.all() if ban.strikes > 3]) == 0
    ground.ledger.bans.lift([ban.key for ban in ground.ledger.bans.all()])


# what clients are told


def test_no_text_of_an_exception_that_is_not_ours_reaches_a_client(ground, caplog):
    class Broken(Stay):
        def make_folder(self, path):
            raise RuntimeError("/etc/secret/path")

    stays = Stays(ground.homes, ground.landing, ground.paces)
    usual = ground.gate._visits
    ground.gate._visits = lambda seat: _as(stays(seat), Broken)
    try:

        async def work(channel):
            kind, answer = await channel.ask(raw.MKDIR, text(b"x") + UInt32(0))
            assert raw.STATUS == kind
            assert b"secret" not in answer
            assert b"failed" in answer
            assert raw.ATTRS == (await channel.ask(raw.STAT, text(b"a.txt")))[0]

        with_channel(ground, work)
    finally:
        ground.gate._visits = usual


def _as(visit, kind):
    visit.__class__ = kind
    return visit


def _mode_or_time(flags: int, *values: int) -> bytes:
    return struct.pack(f">I{len(values)}I", flags, *values)


NEEDS = {
    "l": (raw.OPENDIR, text(b"/d")),
    "r": (raw.OPEN, text(b"/d/f") + raw.TO_READ),
    "w": (raw.OPEN, text(b"/d/new") + raw.TO_WRITE),
    "a": (raw.OPEN, text(b"/d/f") + struct.pack(">II", 2 | 4, 0)),
    "d": (raw.REMOVE, text(b"/d/f")),
    "f": (raw.RENAME, text(b"/d/f") + text(b"/d/g")),
    "m": (raw.MKDIR, text(b"/d/made") + bytes(4)),
    "M": (raw.SETSTAT, text(b"/d/f") + _mode_or_time(4, 0o600)),
    "T": (raw.SETSTAT, text(b"/d/f") + _mode_or_time(8, 1, 1)),
}


@pytest.mark.parametrize("letter", NEEDS)
def test_what_lacks_its_letter_in_a_folder_is_refused_and_the_same_elsewhere_is_not(ground, letter):
    kind, body = NEEDS[letter]
    elsewhere = body.replace(text(b"/d"), text(b"/e")).replace(b"/d/", b"/e/")
    ground.add(f"lacks-{letter}", rights=Rights("elradfmwMT", {"/d": "elradfmwMT".replace(letter, "")}))
    home = ground.home.parent / f"lacks-{letter}"
    for folder in ("d", "e"):
        (home / folder).mkdir(parents=True)
        (home / folder / "f").write_bytes(b"here")

    async def both():
        async with asyncio.timeout(50), channel(ground, f"lacks-{letter}") as line:
            heard, answer = await line.ask(kind, body)
            assert (raw.STATUS, 3) == (heard, int.from_bytes(answer[:4], "big"))
            heard, answer = await line.ask(kind, elsewhere)
            assert raw.HANDLE == heard or (raw.STATUS, 0) == (heard, int.from_bytes(answer[:4], "big"))

    asyncio.run(both())
    assert [("f", b"here")] == [(path.name, path.read_bytes()) for path in (home / "d").iterdir()]
