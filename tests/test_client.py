from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import transload
from tests.peers.asyncssh_server import AsyncsshServer
from tests.peers.base import PASSWORD, USER
from transload import aio
from transload.model import Verify


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "report.csv"
    path.write_bytes(os.urandom(1_000_000))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def everything(remote: transload.Client, local: Path) -> None:
    back = local.with_name("back.csv")
    assert Verify.SIZE.rank <= remote.put(local, "in/day/report.csv").rank
    assert [("in/day", b"report.csv", 1_000_000)] == [(one.folder, one.name.raw, one.size) for one in remote.list("in/day")]
    assert 1_000_000 == remote.get("in/day/report.csv", back)
    assert local.read_bytes() == back.read_bytes()
    assert 1_700_000_000 == back.stat().st_mtime
    remote.move("in/day/report.csv", "done/report.csv")
    with pytest.raises(transload.Missing):
        remote.get("in/day/report.csv", back)
    other = local.with_name("other.csv")
    other.write_text("other")
    with pytest.raises(transload.Conflict):
        remote.put(other, "done/report.csv", replace=False)
    assert Verify.SIZE.rank <= remote.put(local, "done/report.csv", replace=False).rank
    remote.put(local, "done/report.csv")
    remote.remove("done/report.csv")
    assert remote.stat("done/report.csv") is None
    with pytest.raises(transload.Missing):
        remote.remove("done/report.csv")
    assert [] == [one for one in os.listdir(local.parent) if one.startswith(".")]


def test_a_folder_is_used_like_any_other_place(tmp_path, local):
    with transload.connect(str(tmp_path / "place")) as remote:
        everything(remote, local)


def test_an_sftp_server_lets_in_by_password_and_by_key(asyncssh_server, local):
    url = f"sftp://{USER}@{asyncssh_server.host}:{asyncssh_server.port}"
    with transload.connect(url, password=PASSWORD, host_key=asyncssh_server.host_key) as remote:
        everything(remote, local)
    with transload.connect(url, key=asyncssh_server.key, known_hosts=asyncssh_server.known_hosts) as remote:
        assert [] == list(remote.list("in/day"))


def test_an_ftp_server_is_used_in_the_clear_only_when_the_url_says_so(pyftpdlib, local):
    with transload.connect(f"ftp://{USER}@{pyftpdlib.host}:{pyftpdlib.port}", password=PASSWORD) as remote:
        everything(remote, local)
    with pytest.raises(transload.TransloadError), transload.connect(f"ftpes://{USER}@{pyftpdlib.host}:{pyftpdlib.port}", password=PASSWORD):
        pass


def test_a_bucket_is_used_like_any_other_place(moto, local):
    bucket = moto.bucket() if hasattr(moto, "bucket") else "client"
    with transload.connect(
        f"s3://{bucket}/some/prefix", endpoint=f"http://{moto.host}:{moto.port}", access_key="x", secret_key="xxxx", create=True
    ) as remote:
        assert Verify.SIZE.rank <= remote.put(local, "a/b.csv").rank
        assert [b"b.csv"] == [one.name.raw for one in remote.list("a")]
        assert 1_000_000 == remote.get("a/b.csv", local.with_name("back"))


def test_a_line_that_was_lost_is_made_anew_while_patience_lasts(local):
    with AsyncsshServer() as server:
        url = f"sftp://{USER}@{server.host}:{server.port}"
        with transload.connect(url, password=PASSWORD, host_key=server.host_key, patience=0.2) as remote:
            remote.put(local, "a.csv")
            server.stop()
            server.start()
            assert 1_000_000 == remote.get("a.csv", local.with_name("back"))
            server.stop()
            with pytest.raises(transload.Unreachable):
                remote.get("a.csv", local.with_name("back"))


def test_a_client_that_nobody_closed_holds_up_no_other(local, asyncssh_server):
    url = f"sftp://{USER}@{asyncssh_server.host}:{asyncssh_server.port}"

    async def collect() -> None:
        gc.collect()

    for _ in range(3):
        left = transload.connect(url, password=PASSWORD, host_key=asyncssh_server.host_key)
        left.put(local, "a.csv")
        left.itself = left
        del left
        aio.run(asyncio.wait_for(collect(), 20))
    with transload.connect(url, password=PASSWORD, host_key=asyncssh_server.host_key) as remote:
        assert remote.stat("a.csv") is not None


def test_a_place_that_was_never_reached_is_not_waited_for(local, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(transload.Unreachable):
        transload.connect(f"ftp://user@127.0.0.1:{port}", password="x").list()
    assert time.monotonic() - begun < 30


def folders(remote: transload.Client, local: Path) -> None:
    assert not remote.is_folder("a/b")
    with pytest.raises(transload.Missing, match="no such folder"):
        remote.enter("a")
    remote.make_folder("a/b")
    remote.make_folder("a/b")
    assert remote.is_folder("a/b")
    remote.enter("a/b")
    remote.put(local, "one.csv")
    remote.put(local, "c/two.csv")
    assert ["a/b/one.csv"] == [one.text for one in remote.list()]
    assert ["a/b/c/two.csv"] == [one.text for one in remote.list("c")]
    remote.enter("..")
    assert remote.is_folder("b/c")
    assert not remote.is_folder("b/one.csv")
    assert remote.get("b/one.csv", local.with_name("back")) == local.stat().st_size
    with pytest.raises(transload.Rejected, match="leads out"):
        remote.enter("../..")
    remote.enter("/")
    assert remote.stat("a/b/one.csv") is not None


def test_folders_are_made_looked_at_and_entered_everywhere(tmp_path, local, asyncssh_server, pyftpdlib):
    folders(transload.connect(str(tmp_path / "place")), local)
    url = f"sftp://{USER}@{asyncssh_server.host}:{asyncssh_server.port}/folders"
    folders(transload.connect(url, password=PASSWORD, host_key=asyncssh_server.host_key), local)
    folders(transload.connect(f"ftp://{USER}@{pyftpdlib.host}:{pyftpdlib.port}/folders", password=PASSWORD), local)


def test_a_wrong_password_is_denied_and_not_shown(asyncssh_server):
    url = f"sftp://{USER}@{asyncssh_server.host}:{asyncssh_server.port}"
    with (
        pytest.raises(transload.Denied) as told,
        transload.connect(url, password="not the word", host_key=asyncssh_server.host_key),
    ):
        pass
    assert "not the word" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "settings", "told"),
    [
        ("gopher://host", {}, "gopher:// is not known"),
        ("sftp://user:word@host", {}, "a password does not stand in a URL"),
        ("sftp://host", {"colour": "red"}, "connect: colour"),
        ("sftp://", {}, "connect: host"),
    ],
)
def test_what_cannot_be_a_place_is_told(url, settings, told):
    with pytest.raises(transload.ConfigError, match=told):
        transload.connect(url, **settings)


def test_a_name_that_leaves_the_place_is_refused(tmp_path, local):
    with transload.connect(str(tmp_path / "place")) as remote, pytest.raises(transload.Rejected):
        remote.put(local, "../report.csv")


def test_the_public_names_are_there_and_cost_nothing_before_they_are_used():
    assert sorted(transload.__all__) == transload.__all__
    assert {*transload.__all__} <= {*dir(transload)}
    code = "import sys, transload; print([one for one in ('pydantic', 'sqlalchemy', 'typer', 'rich') if one in sys.modules])"
    assert "[]\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    with pytest.raises(AttributeError, match="no attribute 'Transloads'"):
        _ = transload.Transloads
