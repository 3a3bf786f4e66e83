"""Time in our SFTP server: sessions that say nothing, transfers that stand still, rates, and what waits for what."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
import threading
import time
from contextlib import suppress

import asyncssh
import paramiko
import pytest

from tests.servers import sftp_raw as raw
from tests.servers.sftp_ground import PASSWORD, USER, Ground
from tests.servers.sftp_raw import connection, span, text, with_channel
from transload.errors import Full
from transload.model import Name
from transload.servers import slow
from transload.servers.base import KEPT
from transload.servers.visit import Stay, Stays


def kept(ground, name):
    return ground.home / os.fsdecode(KEPT + name)


def test_a_session_that_says_nothing_is_ended():
    async def work(channel):
        return await channel.is_over()

    with Ground(settings={"idle": "1s"}) as ground:
        assert with_channel(ground, work)


def test_an_upload_that_stands_still_is_cut_and_its_session_ended():
    async def work(channel):
        handle = await channel.open(b"still.csv", raw.TO_WRITE)
        await channel.code(raw.WRITE, handle + span(0, 4) + b"some")
        return await channel.is_over()

    with Ground(settings={"stalled": "1s"}) as ground:
        assert with_channel(ground, work)
        assert b"some" == kept(ground, b"still.csv").read_bytes()


def test_an_upload_that_crawls_is_cut(monkeypatch):
    monkeypatch.setattr(slow, "_MINUTE", 0.3)

    async def work(channel):
        handle = await channel.open(b"crawls.csv", raw.TO_WRITE)
        sent = 0
        while 0 == await channel.code(raw.WRITE, handle + span(sent, 1) + b"x"):
            sent += 1
            await asyncio.sleep(0.02)
        assert 4 == await channel.code(raw.CLOSE, handle)
        return sent

    with Ground(settings={"least_rate": 1000}) as ground:
        assert 0 < with_channel(ground, work) == kept(ground, b"crawls.csv").stat().st_size


def test_an_upload_that_stands_still_beside_others_is_cut_alone():
    async def work(channel):
        handle = await channel.open(b"still.csv", raw.TO_WRITE)
        await channel.code(raw.WRITE, handle + span(0, 4) + b"some")
        async with asyncio.timeout(20):
            while not kept(ground, b"still.csv").exists():
                assert raw.ATTRS == (await channel.ask(raw.STAT, text(b"/")))[0]
                await asyncio.sleep(0.05)
        assert 4 == await channel.code(raw.WRITE, handle + span(4, 4) + b"more")
        assert 4 == await channel.code(raw.CLOSE, handle)

    with Ground(settings={"stalled": "1s"}) as ground:
        with_channel(ground, work)
        assert b"some" == kept(ground, b"still.csv").read_bytes()
        assert not (ground.home / "still.csv").exists()


def test_an_upload_that_takes_too_long_in_all_is_cut():
    async def work(channel):
        handle = await channel.open(b"slow.csv", raw.TO_WRITE)
        async with asyncio.timeout(20):
            at = 0
            while not await channel.code(raw.WRITE, handle + span(at, 1) + b"x"):
                at += 1
                await asyncio.sleep(0.02)
        return at

    with Ground(settings={"deadline": "1s"}) as ground:
        assert 10 < with_channel(ground, work) == kept(ground, b"slow.csv").stat().st_size


@pytest.mark.parametrize("direction", ["upload", "download"])
def test_a_rate_holds_and_holds_up_nobody_else(direction):
    size, rate = 1_500_000, 1_000_000
    with Ground(limits={f"{direction}_rate": rate}) as ground:
        ground.add("free")
        (ground.home / "there.bin").write_bytes(os.urandom(size))
        file, begun, took = ground.file("rated.bin", size), time.monotonic(), []

        def slow():
            ground.sftp(f"put {file} rated.bin" if direction == "upload" else f"get there.bin {ground.work}/got.bin")
            took.append(time.monotonic() - begun)

        thread = threading.Thread(target=slow)
        thread.start()
        ground.sftp(f"put {file} free.bin", f"get free.bin {ground.work}/free.bin", user="free")
        alone = time.monotonic() - begun
        thread.join()
        assert took[0] >= 0.85 * size / rate
        assert alone < took[0]


def test_the_yes_to_a_close_comes_after_the_landing_and_holds_up_no_other_request():
    begun, may = threading.Event(), threading.Event()

    class Late(Stay):
        def upload(self, path, **how):
            upload = super().upload(path, **how)
            finish = upload.finish

            def late(then, sure=None):
                def wait():
                    begun.set()
                    may.wait(20)
                    finish(then, sure)

                threading.Thread(target=wait).start()

            return _Late(upload, late)

    with Ground() as ground:
        stays = Stays(ground.homes, ground.landing, ground.paces)

        def visit(seat):
            found = stays(seat)
            found.__class__ = Late
            return found

        ground.gate._visits = visit

        async def work(channel):
            handle = await channel.open(b"late.csv", raw.TO_WRITE)
            await channel.code(raw.WRITE, handle + span(0, 4) + b"late")
            closing = channel.say(raw.CLOSE, handle)
            assert await asyncio.to_thread(begun.wait, 10)
            looking = channel.say(raw.STAT, text(b"late.csv"))  # waits for the file that it is about
            assert raw.ATTRS == (await channel.hear_of(channel.say(raw.STAT, text(b"/"))))[0]
            may.set()
            kind, body = await channel.hear_of(closing)
            assert (raw.STATUS, 0) == (kind, int.from_bytes(body[:4], "big"))
            kind, body = await channel.hear_of(looking)
            assert (raw.ATTRS, 4) == (kind, int.from_bytes(body[4:12], "big"))

        with_channel(ground, work)


class _Late:
    def __init__(self, upload, finish):
        self._upload, self.finish = upload, finish

    def __getattr__(self, name):
        return getattr(self._upload, name)


def test_a_client_that_leaves_right_after_its_last_close_is_still_answered():
    async def work(channel):
        handle = await channel.open(b"last.csv", raw.TO_WRITE)
        channel.say(raw.WRITE, handle + span(0, 4) + b"last")
        closing = channel.say(raw.CLOSE, handle)
        channel.writer.write_eof()
        kind, body = await channel.hear_of(closing)
        assert (raw.STATUS, 0) == (kind, int.from_bytes(body[:4], "big"))
        return await channel.is_over()

    with Ground() as ground:
        assert with_channel(ground, work)
        assert b"last" == (ground.home / "last.csv").read_bytes()


def test_a_server_that_stops_answers_what_it_has_and_cuts_the_rest():
    with Ground() as ground:

        async def work():
            async with connection(ground) as line:
                writer, reader, _ = await line.open_session(subsystem="sftp", encoding=None)
                channel = await raw.Raw(writer, reader).greet()
                handle = await channel.open(b"open.csv", raw.TO_WRITE)
                await channel.code(raw.WRITE, handle + span(0, 4) + b"open")
                await asyncio.to_thread(ground.door.stop)
                assert await channel.is_over()

        with suppress(asyncssh.Error, OSError):
            asyncio.run(work())
        assert not (ground.home / "open.csv").exists()
        assert b"open" == kept(ground, b"open.csv").read_bytes()


@pytest.mark.slow
def test_a_hundred_thousand_names_are_listed_while_others_work():
    with Ground() as ground:
        folder = ground.home / "many"
        folder.mkdir()
        for number in range(100_000):
            os.close(os.open(folder / f"name-{number}", os.O_CREAT | os.O_WRONLY))

        async def work():
            async with (
                connection(ground) as line,
                line.start_sftp_client() as client,
                connection(ground) as other,
                other.start_sftp_client() as second,
            ):
                listing = asyncio.ensure_future(client.listdir("many"))
                worst = 0.0
                while not listing.done():
                    begun = time.monotonic()
                    await second.stat(".")
                    worst = max(worst, time.monotonic() - begun)
                return len({*await listing} - {".", ".."}), worst

        count, worst = asyncio.run(work())
        assert 100_000 == count
        assert worst < 10


def test_a_file_that_was_not_taken_is_said_to_be_missing_to_those_who_only_look_at_its_size():
    class Refusing(Stay):
        def upload(self, path, **how):
            upload = super().upload(path, **how)

            def finish(then, sure=None):
                upload.cut("no room")
                then(Full("no room at all"))

            return _Late(upload, finish)

    with Ground() as ground:
        stays, usual = Stays(ground.homes, ground.landing, ground.paces), ground.gate._visits

        def visit(seat):
            found = stays(seat)
            found.__class__ = Refusing
            return found

        ground.gate._visits = visit
        file = ground.file("refused.csv")
        with socket.create_connection(("127.0.0.1", ground.port)) as wire, paramiko.Transport(wire) as transport:
            transport.connect(username=USER, password=PASSWORD)
            with paramiko.SFTPClient.from_transport(transport) as client, pytest.raises(FileNotFoundError):
                client.put(str(file), "refused.csv")
        transport.join(10)
        assert "Failure" in ground.sftp(f"put {file}", fails=True)
        ground.gate._visits = usual
        ground.sftp(f"put {file}")
        assert file.read_bytes() == (ground.home / "refused.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("how", [2 | 4 | 8, 2, 2 | 8])
def test_other_sessions_are_answered_while_a_large_file_is_copied_for_one_that_goes_on_with_it(how):
    """Appended to, edited in place, resumed."""
    block, count = os.urandom(1 << 20), 256

    async def both(ground):
        async with asyncio.timeout(50), raw.channel(ground) as one, raw.channel(ground) as other:
            asked = one.say(raw.OPEN, text(b"large.bin") + struct.pack(">II", how, 0))
            await one.writer.drain()
            answer = asyncio.ensure_future(one.hear_of(asked))
            heard = 0
            while not answer.done():
                assert raw.ATTRS == (await other.ask(raw.STAT, text(b"/")))[0]
                heard += 1
            kind, handle = await answer
            assert raw.HANDLE == kind
            assert 0 == await one.code(raw.WRITE, handle + span(count << 20, 4) + b"more")
            assert 0 == await one.code(raw.CLOSE, handle)
            return heard

    with Ground() as ground:
        with (ground.home / "large.bin").open("wb") as file:
            for _ in range(count):
                file.write(block)
        digest = hashlib.sha256(block * count + b"more").hexdigest()
        assert 10 < asyncio.run(both(ground))
        row = ground.ledger.uploads.at(USER, Name(b"large.bin"))
        assert (digest, (count << 20) + 4) == (row.sha256, row.size)


def test_a_session_that_ends_while_its_file_is_copied_leaves_it_to_be_gone_on_with(monkeypatch):
    begun, go_on, upload = threading.Event(), threading.Event(), Stay.upload

    def slowly(self, *words, **how):
        found = upload(self, *words, **how)
        if how["append"]:
            begun.set()
            go_on.wait(20)
        return found

    monkeypatch.setattr(Stay, "upload", slowly)

    async def leaves(channel):
        channel.say(raw.OPEN, text(b"left.bin") + struct.pack(">II", 2 | 4 | 8, 0))
        await asyncio.to_thread(begun.wait, 20)

    with Ground() as ground:
        kept(ground, b"left.bin").write_bytes(bytes(2 << 20))
        with_channel(ground, leaves)
        assert not kept(ground, b"left.bin").exists()
        go_on.set()
        ground.until(kept(ground, b"left.bin").exists)
        assert 2 << 20 == kept(ground, b"left.bin").stat().st_size
