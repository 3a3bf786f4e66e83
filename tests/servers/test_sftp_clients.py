"""Our SFTP server and clients that no one here wrote: paramiko, lftp, rclone, curl, asyncssh."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import paramiko
import pytest

from tests.peers.base import program
from tests.servers.sftp_ground import PASSWORD, USER, Ground, sha256
from transload.accounts import Limits, Rights
from transload.servers.base import KEPT


@pytest.fixture(scope="module")
def ground():
    with Ground() as ground:
        yield ground


# paramiko


@pytest.fixture
def paramiko_client(ground):
    with paramiko.Transport(socket.create_connection(("127.0.0.1", ground.port))) as transport:
        transport.connect(username=USER, password=PASSWORD)
        with paramiko.SFTPClient.from_transport(transport) as client:
            yield client
    transport.join(10)


def test_paramiko_does_everything(ground, paramiko_client):
    client, file = paramiko_client, ground.file("p.csv", 200_000)
    assert 200_000 == client.put(str(file), "p.part").st_size
    client.rename("p.part", "p.csv")
    client.mkdir("pm")
    client.posix_rename("p.csv", "pm/p.csv")
    assert ["p.csv"] == client.listdir("pm")
    assert "/pm" == client.normalize("./pm/../pm/.")
    client.get("/pm/p.csv", str(ground.work / "p.back"))
    assert file.read_bytes() == (ground.work / "p.back").read_bytes()
    assert 200_000 == client.stat("pm/p.csv").st_size
    client.remove("pm/p.csv")
    client.rmdir("pm")
    with pytest.raises(FileNotFoundError):
        client.stat("pm")


def test_writes_in_any_order_make_the_file_that_they_should(ground, paramiko_client):
    want = bytearray(os.urandom(300_000))
    pieces = [(at, bytes(want[at : at + 7_000])) for at in range(0, len(want), 7_000)]
    random.Random(1).shuffle(pieces)
    with paramiko_client.open("shuffled.bin", "w") as file:
        for at, piece in pieces:
            file.seek(at)
            file.write(piece)
        file.seek(1000)
        file.write(b"changed")
    want[1000:1007] = b"changed"
    assert bytes(want) == (ground.home / "shuffled.bin").read_bytes()
    assert sha256(want) == paramiko_client.open("shuffled.bin").check("sha256").hex()


def test_what_is_there_can_be_changed_in_place_appended_to_and_cut(ground, paramiko_client):
    with paramiko_client.open("edit.txt", "w") as file:
        file.write(b"0123456789")
    with paramiko_client.open("edit.txt", "r+") as file:
        file.seek(3)
        file.write(b"xyz")
    assert b"012xyz6789" == (ground.home / "edit.txt").read_bytes()
    with paramiko_client.open("edit.txt", "a") as file:
        file.write(b"+more")
    assert b"012xyz6789+more" == (ground.home / "edit.txt").read_bytes()
    with paramiko_client.open("edit.txt", "r+") as file:
        file.truncate(4)
    assert b"012x" == (ground.home / "edit.txt").read_bytes()
    assert b"0123456789" == (ground.home / "edit.v1.txt").read_bytes()


@contextmanager
def paramiko_of(ground):
    """A client of that server."""
    with socket.create_connection(("127.0.0.1", ground.port)) as wire, paramiko.Transport(wire) as transport:
        transport.connect(username=USER, password=PASSWORD)
        with paramiko.SFTPClient.from_transport(transport) as client:
            yield client


def test_who_may_only_append_changes_nothing_in_place():
    with Ground(rights=Rights("ela")) as ground, paramiko_of(ground) as client:
        (ground.home / "log.txt").write_bytes(b"first")
        with pytest.raises(PermissionError), client.open("log.txt", "r+") as file:
            file.write(b"FIRST")
        assert b"first" == (ground.home / "log.txt").read_bytes()
        assert ["log.txt"] == os.listdir(ground.home)
        with client.open("log.txt", "a") as file:
            file.write(b", second")
        assert b"first, second" == (ground.home / "log.txt").read_bytes()


def test_mode_and_time_of_an_open_file_are_both_kept():
    with Ground(rights=Rights("elradfmwMT")) as ground, paramiko_of(ground) as client:
        with client.open("set.txt", "w") as file:
            file.write(b"x")
            file.chmod(0o640)
            file.utime((5, 5))
        found = (ground.home / "set.txt").stat()
        assert (0o640, 5) == (found.st_mode & 0o777, found.st_mtime)


def test_what_gets_the_name_of_a_file_that_was_not_taken_is_there():
    with Ground(limits=Limits(min_size=3)) as ground, paramiko_of(ground) as client:
        for name, data in (("a.txt", b"x"), ("a.txt.filepart", b"whole")):
            with client.open(name, "w") as file:
                file.write(data)
        with pytest.raises(FileNotFoundError):
            client.stat("a.txt")
        client.posix_rename("a.txt.filepart", "a.txt")
        assert 5 == client.stat("a.txt").st_size


def test_a_name_that_must_be_new_is_refused_where_it_is_not(ground, paramiko_client):
    paramiko_client.open("new.txt", "wx").close()
    with pytest.raises(OSError, match="already"):
        paramiko_client.open("new.txt", "wx")


def test_nothing_is_under_the_name_before_it_is_closed(ground, paramiko_client):
    file = paramiko_client.open("open.csv", "w")
    file.write(b"half")
    assert 4 == file.stat().st_size
    assert "open.csv" not in os.listdir(ground.home)
    file.close()
    assert b"half" == (ground.home / "open.csv").read_bytes()


def test_a_connection_that_breaks_leaves_what_came_for_resuming(ground):
    transport = paramiko.Transport(socket.create_connection(("127.0.0.1", ground.port)))
    transport.connect(username=USER, password=PASSWORD)
    client = paramiko.SFTPClient.from_transport(transport)
    file = client.open("broken.csv", "w")
    file.write(b"x" * 1000)
    file.flush()
    file.seek(5000)
    file.write(b"behind a gap")
    file.flush()
    assert 5012 == file.stat().st_size
    transport.sock.shutdown(socket.SHUT_RDWR)
    transport.join(10)
    client.close()
    kept = ground.home / os.fsdecode(KEPT + b"broken.csv")
    ground.until(kept.exists)
    assert b"x" * 1000 == kept.read_bytes()
    assert not (ground.home / "broken.csv").exists()


def test_lists_come_in_pages_and_raw_names_are_kept_apart(ground, paramiko_client):
    names = {b"many/%d" % number for number in range(2000)} | {b"many/\xff\xfe", b"many/\xc3\xbf"}
    (ground.home / "many").mkdir()
    for name in names:
        with open(os.fsencode(ground.home) + b"/" + name, "wb"):
            pass
    done = subprocess.run(
        ["sftp", "-b", "-", "-P", str(ground.port), *ground.options(), f"{USER}@127.0.0.1"],
        input=b"ls -1 many\n",
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert 2002 == len(done.stdout.splitlines()) - 1
    for raw in (b"\xff\xfe", b"\xc3\xbf"):
        paramiko_client.remove(b"many/" + raw)
        assert raw not in os.listdir(os.fsencode(ground.home / "many"))


# lftp


def lftp(ground, *commands):
    connect = f"ssh -a -x {' '.join(ground.options())}"
    said = subprocess.run(
        ["lftp", "-c", f'set sftp:connect-program "{connect}"; set net:max-retries 2; set net:timeout 20; set cmd:fail-exit yes;'
         f"open -u {USER},x sftp://127.0.0.1:{ground.port}; " + "; ".join(commands)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert not said.returncode, said.stderr
    return said.stdout


@pytest.mark.skipif(shutil.which("lftp") is None, reason="lftp is not installed")
def test_lftp_does_everything(ground):
    file = ground.file("l.csv", 400_000)
    listed = lftp(ground, "mkdir lf", "cd lf", f"put {file}", "mv l.csv m.csv", "ls")
    assert "m.csv" in listed
    lftp(ground, "cd lf", f"get m.csv -o {ground.work}/l.back")
    assert file.read_bytes() == (ground.work / "l.back").read_bytes()
    assert int(file.stat().st_mtime) == int((ground.home / "lf/m.csv").stat().st_mtime)
    lftp(ground, "rm lf/m.csv", "rmdir lf")
    assert not (ground.home / "lf").exists()


@pytest.mark.skipif(shutil.which("lftp") is None, reason="lftp is not installed")
def test_lftp_goes_on_with_a_cut_upload_and_mirrors_in_parallel(ground):
    file = ground.file("lr.csv", 400_000)
    (ground.home / os.fsdecode(KEPT + b"lr.csv")).write_bytes(file.read_bytes()[:100_000])
    lftp(ground, f"put -c {file}")
    assert file.read_bytes() == (ground.home / "lr.csv").read_bytes()
    for number in range(50):
        ground.file(f"mirrored/{number}", 4096)
    lftp(ground, f"mirror -R --parallel=4 {ground.work}/out/mirrored mirrored")
    assert 50 == len(os.listdir(ground.home / "mirrored"))
    lftp(ground, f"mirror --parallel=4 mirrored {ground.work}/mirrored.back")
    assert (ground.work / "out/mirrored/7").read_bytes() == (ground.work / "mirrored.back/7").read_bytes()


# rclone


@pytest.fixture
def rclone(ground):
    try:
        called = program("rclone", Path(sys.executable).parent)
    except Exception:  # noqa: BLE001
        pytest.skip("rclone is not installed")
    (ground.work / "rclone.conf").write_text(
        f"[ours]\ntype = sftp\nhost = 127.0.0.1\nport = {ground.port}\nuser = {USER}\nkey_file = {ground.key}\n"
    )

    def run(*words):
        done = subprocess.run(
            [called, "--config", str(ground.work / "rclone.conf"), "--retries", "1", "--low-level-retries", "1", *words],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert not done.returncode, done.stderr
        return done.stdout + done.stderr

    return run


def test_rclone_copies_into_a_folder_that_is_not_there_yet_and_checks(ground, rclone):
    for name in ("rc/a", "rc/b/c", "rc/b/d e"):
        ground.file(name, 50_000)
    there = "ours:new/deep"
    rclone("copy", f"{ground.work}/out/rc", there)
    assert (ground.work / "out/rc/b/c").read_bytes() == (ground.home / "new/deep/b/c").read_bytes()
    assert "0 differences found" in rclone("check", f"{ground.work}/out/rc", there, "--download")
    assert int((ground.work / "out/rc/a").stat().st_mtime) == int((ground.home / "new/deep/a").stat().st_mtime)
    rclone("copy", there, f"{ground.work}/rc.back")
    assert (ground.work / "out/rc/b/d e").read_bytes() == (ground.work / "rc.back/b/d e").read_bytes()
    rclone("moveto", f"{there}/a", f"{there}/z")
    rclone("purge", "ours:new")
    assert not (ground.home / "new").exists()


# curl


def test_curl_puts_and_gets(ground):
    if "sftp" not in subprocess.run(["curl", "-V"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("curl has no SFTP")
    file = ground.file("curl.csv", 700_000)
    goes = ["curl", "-sSk", "-u", f"{USER}:{PASSWORD}"]
    url = f"sftp://127.0.0.1:{ground.port}/curl.csv"
    subprocess.run([*goes, "-T", file, url], check=True, timeout=30)
    assert file.read_bytes() == (ground.home / "curl.csv").read_bytes()
    assert file.read_bytes() == subprocess.run([*goes, url], capture_output=True, check=True, timeout=30).stdout
    listed = subprocess.run([*goes, "-l", f"sftp://127.0.0.1:{ground.port}/"], capture_output=True, check=True, timeout=30).stdout
    assert b"curl.csv" in listed.split()
    (ground.home / os.fsdecode(KEPT + b"resumed.csv")).write_bytes(file.read_bytes()[:300_000])
    subprocess.run([*goes, "-C", "300000", "-T", file, url.replace("curl.csv", "resumed.csv")], check=True, timeout=30)
    assert file.read_bytes() == (ground.home / "resumed.csv").read_bytes()


# asyncssh


def test_asyncssh_does_everything(ground):
    file = ground.file("as.csv", 5_000_000)

    async def work():
        async with (
            asyncssh.connect("127.0.0.1", ground.port, username=USER, client_keys=[str(ground.key)], known_hosts=None, config=None) as line,
            line.start_sftp_client() as client,
        ):
            await client.put(str(file), "as.csv")
            await client.get("as.csv", str(ground.work / "as.back"))
            await client.makedirs("x/y/z")
            await client.put(str(file), "x/y/z/as.csv")
            assert {b"as.csv", b"."} >= {name async for name in _names(client, b"x/y/z")}
            assert 5_000_000 == (await client.stat("as.csv")).size
            assert (await client.statvfs("/")).bavail
            await client.rmtree("x")
            for refused in (
                client.symlink("as.csv", "l"),
                client.link("as.csv", "l"),
                client.readlink("as.csv"),
                client.remote_copy("as.csv", "b"),
            ):
                with pytest.raises(asyncssh.SFTPError):
                    await refused

    asyncio.run(work())
    assert file.read_bytes() == (ground.work / "as.back").read_bytes()
    assert not (ground.home / "x").exists()


async def _names(client, folder):
    for name in await client.listdir(folder):
        yield name
