from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.crash.until import until
from tests.peers.relay import Relay
from tests.servers.site import Site, killed

SIZE = 6_000_000
SLOW = 'permissions = "elradfmwMT"\nlimits = { upload_rate = "4MB/s", download_rate = "4MB/s" }'


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), user=SLOW, to=', name = "{name}"') as made:
        made.begun = made.up()
        yield made


def die(site: Site, number: int = signal.SIGKILL) -> None:
    """End as told, and be there again a moment later."""
    killed(site.begun, number)
    site.begun = site.up()


@pytest.fixture(params=["ftp", pytest.param("ftps", marks=pytest.mark.prove), "sftp"])
def kind(request):
    return request.param


def parts(site: Site) -> dict[Path, int]:
    """What lies in the spool of uploads that are not whole, and how much of each; those of dead servers among it."""
    return {path: path.stat().st_size for path in (site.folder / "data/spool/parts").rglob("*") if path.is_file()}


def kept(site: Site, final: str) -> int:
    """How many bytes of it are kept to be resumed, wait for their name, or have it: what is nearly whole may end beside the server."""
    home = os.fsencode(site.folder / "data/inbox/first/in")
    return max(
        (os.stat(os.path.join(home, name)).st_size for name in os.listdir(home) if b".transload-" in name or os.fsencode(final) == name),
        default=0,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_an_upload_ends_well_though_our_server_ends_in_the_middle_and_what_an_orderly_end_kept_is_not_sent_again(
    site, kind, number, tmp_path
):
    local = tmp_path / f"{kind}-{number}.csv"
    local.write_bytes(os.urandom(SIZE))
    # The relay keeps the client out while we look at what the server has kept.
    with Relay(site.ports["sftp" if kind == "sftp" else "ftp"]) as relay, site.client(kind, port=relay.port) as remote:
        told: list[object] = []
        sending = threading.Thread(target=lambda: told.append(remote.put(local, f"in/{local.name}")))
        before = parts(site)
        sending.start()
        until(lambda: any(size > SIZE / 4 for path, size in parts(site).items() if path not in before))
        relay.broken.set()
        die(site, number)
        if number == signal.SIGTERM:
            until(lambda: kept(site, local.name) > SIZE / 4)
        relay.mend()
        sending.join(60)
        assert told, "the client gave up"
        assert SIZE == remote.stat(f"in/{local.name}").size
    out = site.folder / "out" / local.name
    until(out.exists)
    assert hashlib.sha256(local.read_bytes()).digest() == hashlib.sha256(out.read_bytes()).digest()
    home = site.folder / "data/inbox/first/in"
    assert not [name for name in os.listdir(home) if name.startswith(".")]


@pytest.mark.slow
def test_a_download_goes_on_where_it_was_when_our_server_is_killed_in_the_middle(site, kind, tmp_path):
    local = tmp_path / "down.csv"
    local.write_bytes(os.urandom(SIZE))
    with site.client(kind) as remote:
        remote.put(local, f"{kind}-down.csv")
        told: list[int] = []
        fetching = threading.Thread(target=lambda: told.append(remote.get(f"{kind}-down.csv", tmp_path / "back.csv")))
        fetching.start()
        until(lambda: any(path.stat().st_size > SIZE / 4 for path in tmp_path.glob(".*.part")))
        die(site)
        fetching.join(60)
    assert [SIZE] == told
    assert local.read_bytes() == (tmp_path / "back.csv").read_bytes()
    assert ["back.csv", "down.csv"] == sorted(os.listdir(tmp_path))


@pytest.mark.slow
def test_a_resumed_upload_sends_only_what_is_missing(site, tmp_path):
    local = tmp_path / "cut.csv"
    local.write_bytes(os.urandom(SIZE))
    with Relay(site.ports["sftp"]) as relay, site.client("sftp", port=relay.port) as remote:
        relay.up_left = SIZE // 2
        mending = threading.Thread(target=lambda: (relay.broken.wait(30), time.sleep(0.5), relay.mend()))
        mending.start()
        remote.put(local, local.name)
        mending.join(30)
        assert SIZE <= relay.carried < 1.9 * SIZE
        assert SIZE == remote.stat(local.name).size
