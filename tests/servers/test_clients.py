"""Clients that nobody here wrote, against the whole program: what they are told is true, and what they send arrives once."""

from __future__ import annotations

import ftplib
import hashlib
import os
import random
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crash.until import until
from tests.servers.clients import CLIENTS, EACH, EXPLICIT, PLAIN, SFTP, Client, Rclone, ftplib_session, paramiko_session
from tests.servers.running import Up

SIZE = 300_000
HALF = 131_072


@pytest.fixture(scope="module")
def up():
    with tempfile.TemporaryDirectory(prefix="clients-") as folder, Up(Path(folder)) as up:
        yield up


@pytest.fixture(params=EACH, ids=lambda case: f"{case[0]} {case[1]}".replace(" ", "-"))
def client(request, up, tmp_path) -> Client:
    """Each of them, each way."""
    name, way = request.param
    made = CLIENTS[name](up, way, tmp_path)
    made.mkdir(made.folder)
    return made


def written(client: Client, name: str, size: int = SIZE) -> tuple[bytes, str]:
    """A local file; its bytes and their hash."""
    data = random.Random(f"{client.folder} {name}").randbytes(size)
    (client.here / name).write_bytes(data)
    return data, hashlib.sha256(data).hexdigest()


def events_of(up: Up, path: str) -> list[tuple[bytes, str]]:
    """The arrivals of that path, as (path, hash)."""
    return [(one, digest) for one, _, digest, _ in up.arrivals() if one == path.encode()]


def test_a_client_puts_gets_lists_renames_makes_folders_and_removes(client, up):
    folder = client.folder
    data, digest = written(client, "a.bin")
    client.put("a.bin", f"{folder}/a.bin")
    # Its "yes" is true at once: ledger, home and spool have it.
    assert (SIZE, digest) == up.received()[f"{folder}/a.bin".encode()]
    assert digest == up.held()[f"{folder}/a.bin".encode()]
    assert digest in up.spooled()
    assert {"a.bin"} == client.names(folder)
    client.get(f"{folder}/a.bin", "back.bin")
    assert data == (client.here / "back.bin").read_bytes()

    client.mkdir(f"{folder}/below")
    client.rename(f"{folder}/a.bin", f"{folder}/below/b.bin")
    assert ({"below"}, {"b.bin"}) == (client.names(folder), client.names(f"{folder}/below"))
    assert digest == up.held()[f"{folder}/below/b.bin".encode()]
    client.remove(f"{folder}/below/b.bin")
    client.rmdir(f"{folder}/below")
    assert set() == client.names(folder)

    # What was received before goes its way, under the name that it came by.
    until(lambda: digest == up.delivered().get(f"{folder}/a.bin".encode()))
    assert [(f"{folder}/a.bin".encode(), digest)] == events_of(up, f"{folder}/a.bin")
    assert [] == events_of(up, f"{folder}/below/b.bin")


def test_a_temporary_name_and_a_rename_make_one_arrival(client, up):
    folder = client.folder
    _, digest = written(client, "x.$$$", 5000)
    os.rename(client.here / "x.$$$", client.here / "x.csv")
    client.put("x.csv", f"{folder}/x.csv.part")
    client.rename(f"{folder}/x.csv.part", f"{folder}/x.csv")
    until(lambda: digest == up.delivered().get(f"{folder}/x.csv".encode()))
    mine = [path for path, *_ in up.arrivals() if path.startswith(f"{folder}/x.".encode())]
    assert [f"{folder}/x.csv".encode()] == mine
    client.remove(f"{folder}/x.csv")


def test_an_empty_file_arrives(client, up):
    folder = client.folder
    _, digest = written(client, "empty", 0)
    client.put("empty", f"{folder}/empty")
    assert (0, digest) == up.received()[f"{folder}/empty".encode()]
    until(lambda: digest == up.delivered().get(f"{folder}/empty".encode()))
    client.remove(f"{folder}/empty")


def test_what_was_cut_goes_on_where_it_was(client, up):
    folder = client.folder
    data, digest = written(client, "c.bin")
    path = f"{folder}/c.bin"
    cut(up, client.way, path, data[:HALF])
    kept = until(lambda: up.kept().get(path.encode()))
    assert 0 < kept <= HALF
    assert path.encode() not in up.received() | up.held()
    if client.resumes:
        client.reput("c.bin", path)
    else:
        client.put("c.bin", path)
    assert (SIZE, digest) == up.received()[path.encode()]
    assert digest == up.held()[path.encode()]
    until(lambda: path.encode() not in up.kept())
    until(lambda: digest == up.delivered().get(path.encode()))
    assert [(path.encode(), digest)] == events_of(up, path)

    if client.resumes:
        (client.here / "partial.bin").write_bytes(data[:HALF])
        client.reget(path, "partial.bin")
        assert data == (client.here / "partial.bin").read_bytes()
    client.remove(path)


def cut(up: Up, way: str, path: str, data: bytes) -> None:
    """An upload that breaks off after `data`."""
    with suppress(EOFError, OSError, ftplib.Error):  # what is cut cannot be ended in good order
        if way == SFTP:
            with paramiko_session(up) as session:
                file = session.open(path, "wb")
                file.write(data)
                until(up.under_way)
                session.get_channel().get_transport().sock.shutdown(socket.SHUT_RDWR)
        else:
            with ftplib_session(up, way) as line:
                data_line = line.transfercmd(f"STOR {path}")
                data_line.sendall(data)
                until(up.under_way)
                for one in (line.sock, data_line):
                    one.shutdown(socket.SHUT_RDWR)
                    one.close()


@pytest.mark.parametrize("way", Rclone.ways)
def test_rclone_copies_a_tree_into_a_folder_that_is_not_there_and_finds_it_the_same(up, tmp_path, way):
    client = Rclone(up, way, tmp_path)
    tree = f"tree-{way.replace(' ', '-')}"
    for name in ("one.csv", "below/two.csv", "below/deeper still/three ü.csv", "below/empty"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name.endswith("empty") else random.Random(name + way).randbytes(10_000))
    client.rclone("copy", "tree", f"r:{tree}/that/is/new")
    client.rclone("check", "--download", "tree", f"r:{tree}/that/is/new")
    told = {path: digest for path, digest in up.held().items() if path.startswith(tree.encode())}
    assert 4 == len(told)
    # A second copy finds nothing to do, and so makes nothing arrive twice.
    before = len(up.arrivals())
    client.rclone("copy", "tree", f"r:{tree}/that/is/new")
    assert before == len(up.arrivals())
    until(lambda: told == {path: digest for path, digest in up.delivered().items() if path in told})
    client.rclone("purge", f"r:{tree}")
    assert {} == {path: digest for path, digest in up.held().items() if path.startswith(tree.encode())}


@pytest.mark.slow
@pytest.mark.parametrize("way", [PLAIN, SFTP])
def test_rclone_finds_that_names_survive(up, tmp_path, way):
    client = Rclone(up, way, tmp_path)
    client.mkdir(client.folder)
    # Names of thousands of bytes make a line that is too long for FTP, and end the session.
    length = ["--check-length"] if way == SFTP else []
    said = client.rclone("test", "info", *length, "--check-control", "--check-streaming", f"r:{client.folder}")
    assert "canStream = true" in said, said
    if length:
        assert "maxFileLength = 255" in said, said


def test_lftp_mirrors_a_tree_there_and_back(up, tmp_path):
    from tests.servers.clients import Lftp

    client = Lftp(up, PLAIN, tmp_path)
    for number in range(40):
        path = tmp_path / "there" / f"folder {number % 3}" / f"file-{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(number).randbytes(4096))
    client._lftp("mirror -R --parallel=4 there mirrored", "mirror --parallel=4 mirrored back")
    there, back = (
        {path.relative_to(tmp_path / root): path.read_bytes() for path in (tmp_path / root).rglob("*") if path.is_file()}
        for root in ("there", "back")
    )
    assert there == back
    assert 40 == sum(path.startswith(b"mirrored/") for path in up.received())


def test_a_client_that_sends_byte_by_byte_over_tls_stands_in_nobodys_way(up):
    told = threading.Event()

    def trickle() -> None:
        with suppress(OSError, ftplib.Error), ftplib_session(up, EXPLICIT) as line:
            data_line = line.transfercmd("STOR trickle.bin")
            while not told.is_set():
                data_line.sendall(b"x")
            for one in (line.sock, data_line):
                one.shutdown(socket.SHUT_RDWR)
                one.close()

    sender = threading.Thread(target=trickle)
    sender.start()
    try:
        until(up.under_way)
        with ftplib_session(up, EXPLICIT) as line:
            assert "trickle.bin" not in line.nlst()
    finally:
        told.set()
        sender.join()
    until(lambda: b"trickle.bin" in up.kept())
