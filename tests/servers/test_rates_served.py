"""Rates as real clients feel them: over FTP, FTPS and SFTP, and all of them together."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time

import pytest

from transload import FTPServer, SFTPServer

pytestmark = pytest.mark.slow

PASSWORD = "a-word-to-try"
SECONDS = 3.0
SIZE = 1_500_000
TRIES = 3


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Both servers in one folder, with a user who may send half as fast as it may fetch, and a file to move."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    folder = tmp_path_factory.mktemp("rates")
    (folder / "file").write_bytes(os.urandom(SIZE))
    with (
        SFTPServer(root=folder / "inbox", host="127.0.0.1") as sftp,
        FTPServer(root=folder / "inbox", host="127.0.0.1", tls="explicit") as ftp,
    ):
        sftp.users.add("ann", password=PASSWORD, upload_rate=int(SIZE / SECONDS), download_rate=int(SIZE / SECONDS) * 2)
        urls = {"sftp": f"sftp://127.0.0.1:{sftp.port}/", "ftp": f"ftp://127.0.0.1:{ftp.port}/", "ftps": f"ftp://127.0.0.1:{ftp.port}/"}
        yield folder, urls


def curl(served, protocol, *what):
    folder, urls = served
    secure = ["--ssl-reqd"] if protocol == "ftps" else []
    words = [one.replace("URL/", urls[protocol]) for one in what]
    command = ["curl", "-sS", "-k", *secure, "-u", f"ann:{PASSWORD}", *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=50)


def takes(seconds, act):
    """Whether `act` takes so long, within a tenth: never less; more only where the machine was busy, and not each time."""
    taken = []
    for _ in range(TRIES):
        began = time.monotonic()
        act()
        taken.append(time.monotonic() - began)
        if taken[-1] <= seconds * 1.1:
            break
    assert min(taken) >= seconds * 0.9
    return min(taken) <= seconds * 1.1


@pytest.mark.parametrize("protocol", ["ftp", "ftps", "sftp"])
def test_an_upload_goes_at_its_users_rate(served, protocol):
    assert takes(SECONDS, lambda: curl(served, protocol, "-T", "file", f"URL/{protocol}-up"))


@pytest.mark.parametrize("protocol", ["ftp", "ftps", "sftp"])
def test_a_download_goes_at_a_rate_of_its_own(served, protocol):
    folder, _ = served
    (folder / "inbox" / "ann").mkdir(parents=True, exist_ok=True)
    (folder / "inbox" / "ann" / "down").write_bytes(os.urandom(SIZE * 2))
    assert takes(SECONDS, lambda: curl(served, protocol, "-o", "got", "URL/down"))
    assert (folder / "got").read_bytes() == (folder / "inbox" / "ann" / "down").read_bytes()


def test_one_user_has_one_rate_over_all_protocols_and_each_session_its_share(served):
    ends = {}

    def one(protocol):
        curl(served, protocol, "-T", "file", f"URL/together-{protocol}")
        ends[protocol] = time.monotonic()

    def all_three():
        threads = [threading.Thread(target=one, args=(protocol,)) for protocol in ("ftp", "ftps", "sftp")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert takes(SECONDS * 3, all_three)
    assert max(ends.values()) - min(ends.values()) < SECONDS
