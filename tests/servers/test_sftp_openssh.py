"""Our SFTP server and the client that most people have: OpenSSH's sftp."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading

import pytest

from tests.servers import sftp_raw as raw
from tests.servers.sftp_ground import USER, Ground, sha256
from tests.servers.sftp_raw import with_channel
from transload.servers.base import KEPT
from transload.servers.sftp import answers
from transload.spool import drafts


@pytest.fixture(scope="module")
def ground():
    with Ground() as ground:
        yield ground


def test_a_file_that_was_put_is_there_and_in_the_ledger(ground):
    file = ground.file("put.csv", 300_000)
    ground.sftp(f"put {file} a.csv")
    assert file.read_bytes() == (ground.home / "a.csv").read_bytes()


def test_what_is_got_is_what_was_put(ground):
    file = ground.file("back.csv", 3_000_000)
    ground.sftp(f"put {file} back.csv", f"get back.csv {ground.work}/got.csv")
    assert file.read_bytes() == (ground.work / "got.csv").read_bytes()


def test_an_empty_file_is_a_file(ground):
    ground.sftp(f"put {ground.file('empty', 0)} empty.csv", f"get empty.csv {ground.work}/empty.back")
    assert 0 == (ground.home / "empty.csv").stat().st_size
    assert b"" == (ground.work / "empty.back").read_bytes()


def test_times_go_with_a_file_in_both_directions(ground):
    file = ground.file("timed.csv")
    os.utime(file, (1_500_000_000, 1_500_000_000))
    ground.sftp(f"put -p {file} timed.csv", f"get -p timed.csv {ground.work}/timed.back")
    assert 1_500_000_000 == int((ground.home / "timed.csv").stat().st_mtime)
    assert 1_500_000_000 == int((ground.work / "timed.back").stat().st_mtime)


def test_a_cut_upload_is_gone_on_with_and_is_one_file(ground):
    file = ground.file("long.csv", 500_000)
    (ground.home / os.fsdecode(KEPT + b"long.csv")).write_bytes(file.read_bytes()[:123_456])
    assert "123456" in ground.sftp("ls -l long.csv")
    ground.sftp(f"reput {file} long.csv")
    assert file.read_bytes() == (ground.home / "long.csv").read_bytes()
    assert ["long.csv"] == [name for name in os.listdir(ground.home) if "long" in name]


def test_a_cut_download_is_gone_on_with(ground):
    file, back = ground.file("down.csv", 500_000), ground.work / "down.back"
    back.write_bytes(file.read_bytes()[:100_000])
    ground.sftp(f"put {file} down.csv", f"reget down.csv {back}")
    assert file.read_bytes() == back.read_bytes()


def test_names_are_changed_listed_and_removed(ground):
    file = ground.file("names.csv")
    said = ground.sftp(f"put {file} one.part", "rename one.part one.csv", "mkdir d", "rename one.csv d/two.csv", "ls -l d", "ls -la")
    assert "d/two.csv" in said
    assert (ground.home / "d" / "two.csv").is_file()
    ground.sftp("rm d/two.csv", "rmdir d")
    assert not (ground.home / "d").exists()


def test_a_folder_goes_over_with_all_that_is_in_it(ground):
    for name in ("tree/a", "tree/b/c", "tree/b/d/e"):
        ground.file(name)
    ground.sftp(f"put -pR {ground.work}/out/tree")
    assert (ground.work / "out/tree/b/d/e").read_bytes() == (ground.home / "tree/b/d/e").read_bytes()
    ground.sftp(f"get -R tree {ground.work}/tree.back")
    assert (ground.work / "out/tree/b/c").read_bytes() == (ground.work / "tree.back/b/c").read_bytes()


def test_a_name_that_is_taken_is_not_lost_by_a_rename(ground):
    one, two = ground.file("r1", 100), ground.file("r2", 200)
    ground.sftp(f"put {one} r1.csv", f"put {two} r2.csv")
    assert "Failure" in ground.sftp("rename -l r1.csv r2.csv", fails=True)
    assert two.read_bytes() == (ground.home / "r2.csv").read_bytes()
    ground.sftp("rename r1.csv r2.csv")
    assert one.read_bytes() == (ground.home / "r2.csv").read_bytes()
    assert two.read_bytes() == (ground.home / "r2.v1.csv").read_bytes()


def test_a_name_that_is_put_again_gets_the_new_file_and_the_old_one_stays(ground):
    one, two = ground.file("v1", 100), ground.file("v2", 200)
    ground.sftp(f"put {one} v.csv")
    ground.sftp(f"put {two} v.csv")
    assert two.read_bytes() == (ground.home / "v.csv").read_bytes()
    assert one.read_bytes() == (ground.home / "v.v1.csv").read_bytes()


@pytest.mark.parametrize(
    "name", ["with space", "-dash", "quote'", "naïve", "emoji 🚀", "semi;colon", "star*", "per%46cent", "back\\\\slash"]
)
def test_odd_names_come_back_as_they_went(ground, name):
    file = ground.file("odd")
    ground.sftp(f'put "{file}" "./{name}"')
    assert name.replace("\\\\", "\\") in os.listdir(ground.home)


def test_what_is_missing_is_said_to_be(ground):
    assert "not found" in ground.sftp("get nothing", fails=True)
    assert "nothing" in ground.sftp("rm nothing", fails=True)


def test_links_shells_and_commands_are_refused(ground):
    ground.sftp(f"put {ground.file('link')} link.csv")
    ground.sftp("ln -s link.csv other", fails=True)
    ground.sftp("ln link.csv other", fails=True)
    assert not (ground.home / "other").exists()
    for command in (["id"], [], ["scp -t ."]):
        done = subprocess.run(
            ["ssh", "-p", str(ground.port), *ground.options(), f"{USER}@127.0.0.1", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode
        assert "uid=" not in done.stdout


def test_scp_as_it_was_is_refused_and_scp_as_it_is_works(ground):
    file = ground.file("scp.csv")
    goes = ["scp", "-P", str(ground.port), *ground.options()]
    for way, works in (("-O", False), ("-s", True)):
        done = subprocess.run([*goes, way, file, f"{USER}@127.0.0.1:scp.csv"], capture_output=True, timeout=20, check=False)
        assert works == (done.returncode == 0), done.stderr
    assert file.read_bytes() == (ground.home / "scp.csv").read_bytes()


def test_forwarding_is_refused(ground):
    forward = ["-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:1"]
    done = subprocess.run(
        ["ssh", "-p", str(ground.port), *ground.options(), *forward, f"{USER}@127.0.0.1"], capture_output=True, timeout=20, check=False
    )
    assert done.returncode
    done = subprocess.run(
        ["ssh", "-p", str(ground.port), *ground.options(), "-W", "127.0.0.1:22", f"{USER}@127.0.0.1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode


def test_room_is_told(ground):
    assert "%" in ground.sftp("df -h")


def test_a_client_that_is_killed_leaves_a_part_and_no_file(ground):
    file = ground.file("killed.csv", 50_000_000)
    client = subprocess.Popen(
        ["sftp", "-b", "-", "-l", "40000", "-P", str(ground.port), *ground.options(), f"{USER}@127.0.0.1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    client.stdin.write(f"put {file} killed.csv\n".encode())
    client.stdin.flush()
    ground.until(lambda: any(one.count > 1_000_000 for one in ground.incoming()))
    client.kill()
    client.stdin.close()
    client.wait()
    kept = ground.home / os.fsdecode(KEPT + b"killed.csv")
    ground.until(kept.exists)
    assert not (ground.home / "killed.csv").exists()
    assert kept.read_bytes() == file.read_bytes()[: kept.stat().st_size]
    ground.sftp(f"reput {file} killed.csv")
    assert sha256(file.read_bytes()) == sha256((ground.home / "killed.csv").read_bytes())


def test_an_upload_that_is_interrupted_by_hand_does_not_count(ground):
    file = ground.file("by_hand.csv", 20_000_000)
    client = subprocess.Popen(
        ["sftp", "-l", "80000", "-P", str(ground.port), *ground.options(), f"{USER}@127.0.0.1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    client.stdin.write(f"put {file} by_hand.csv\n".encode())
    client.stdin.flush()
    ground.until(lambda: any(one.count > 2_000_000 for one in ground.incoming()))
    client.send_signal(signal.SIGINT)
    ground.until(lambda: not ground.incoming())
    said, _ = client.communicate(f"reput {file} by_hand.csv\nls -l by_hand.csv\n".encode(), timeout=30)
    assert b"Interrupt" in said
    assert b"Resuming" in said
    assert file.read_bytes() == (ground.home / "by_hand.csv").read_bytes()
    assert ["by_hand.csv"] == [name for name in os.listdir(ground.home) if "by_hand" in name]


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_whole_file_that_ends_with_a_block_gets_through_at_the_second_try(ground, more):
    file = ground.file(f"blocks{more}.csv", 2 * answers.WRITES + more)
    said = ground.sftp(f"put {file}", fails=not more)
    if not more:
        assert "Failure" in said
        assert not (ground.home / file.name).exists()
        ground.sftp(f"put {file}")
    assert file.read_bytes() == (ground.home / file.name).read_bytes()


def test_sftp_with_f_has_its_bytes_synced_before_it_goes_on(ground):
    file = ground.file("synced.bin", 3_000_000)
    said = ground.sftp(f"put {file} synced.bin", options=("-f", "-vvv"))
    assert 'Server supports extension "fsync@openssh.com"' in said
    assert "Sending SSH2_FXP_EXTENDED(fsync@openssh.com)" in said
    assert "fsync failed" not in said
    assert file.read_bytes() == (ground.home / "synced.bin").read_bytes()


def test_the_sync_that_a_client_asks_for_is_answered_when_it_is_done_and_a_no_stays_a_no(ground, monkeypatch):
    """What a disk could not write it gives up: the next sync would find nothing wrong."""
    synced, fails = [], threading.Event()
    before = os.fsync

    def fsync(descriptor):
        if fails.is_set():
            raise OSError(errno.EIO, "Input/output error")
        before(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(drafts.os, "fsync", fsync)

    async def work(channel):
        handle = await channel.open(b"by_hand.bin", raw.TO_WRITE)
        sync = raw.text(b"fsync@openssh.com") + handle
        assert 0 == await channel.code(raw.WRITE, handle + raw.span(0, 5) + b"bytes")
        assert 0 == await channel.code(raw.EXTENDED, sync)
        assert [5] == synced
        fails.set()
        assert 4 == await channel.code(raw.EXTENDED, sync)
        fails.clear()
        assert 4 == await channel.code(raw.EXTENDED, sync)
        assert 4 == await channel.code(raw.CLOSE, handle)
        assert 4 == await channel.code(raw.EXTENDED, sync), "nothing is open under that handle any more"

    with_channel(ground, work)
    assert b"bytes" == (ground.home / os.fsdecode(KEPT + b"by_hand.bin")).read_bytes()
    assert not (ground.home / "by_hand.bin").exists()
