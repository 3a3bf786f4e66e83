"""Clients and servers that die in mid-upload: nothing cut counts as complete, and nothing that was answered "yes" is lost."""

from __future__ import annotations

import copy
import ftplib
import hashlib
import itertools
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.crash.until import until
from tests.mounted import memory
from tests.peers.base import REPOSITORY
from tests.peers.long_wire import THERE, LongWire
from tests.peers.relay import Relay
from tests.servers import good
from tests.servers.clients import CLIENTS, ftplib_session
from tests.servers.running import Up, digests
from tests.servers.sending import BY_WAY, CURL, EXPLICIT, FTPLIB, IMPLICIT, LFTP, OPENSSH, PLAIN, SFTP, Sending

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
WAYS = (PLAIN, EXPLICIT, IMPLICIT, SFTP)
MANY = 8
_numbers = itertools.count(1)


@contextmanager
def an_up(**settings) -> Iterator[Up]:
    with tempfile.TemporaryDirectory(prefix="kills-", dir=MEMORY) as folder, Up(Path(folder), **settings) as up:
        yield up


@pytest.fixture(scope="module")
def up():
    with an_up() as up:
        yield up


@pytest.fixture(scope="module")
def far():
    """A server 50 ms away (there and back), and what goes before a command that is to run here."""
    with LongWire(0.025) as wire, an_up(host=THERE, within=wire.there) as up:
        yield up, wire.here


# Clients that die


def some_bytes(dice: random.Random) -> bytes:
    """What fits into a pipe, so that it can be given to a client at once."""
    return dice.randbytes(dice.choice((2, 100, 1448, 5000, 16_384, 32_768, 65_536)))


def cut_in_mid_file(up: Up, way: str, count: int, here: Path, *, within: list[str] | None = None) -> list[bytes]:
    """Upload `count` files of which not one is sent whole, the client killed each time; those that counted as complete all the same."""
    dice = random.Random(f"{way} {count}")
    return [wrong for done in range(0, count, MANY) for wrong in _cut(up, way, min(MANY, count - done), here, within, dice)]


def _cut(up: Up, way: str, count: int, here: Path, within: list[str] | None, dice: random.Random) -> list[bytes]:
    clients = itertools.islice(itertools.cycle(BY_WAY[way]), count)
    sendings = [Sending(up, way, client, f"killed-{next(_numbers)}.csv", some_bytes(dice), here, within) for client in clients]
    until(lambda: len(up.under_way()) >= count, 120)
    dice.shuffle(sendings)
    for sending in sendings:
        sending.kill()
    # Whoever is judged to be cut is kept aside; whoever is not would be in the ledger.
    paths = {sending.path.encode() for sending in sendings}
    until(lambda: not up.under_way())
    until(lambda: paths <= up.kept().keys() | up.received().keys())
    return sorted(paths & (up.received().keys() | up.held().keys() | {path for path, *_ in up.arrivals()} | up.delivered().keys()))


@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_is_killed_in_mid_file_never_counts_as_done(up, way, tmp_path):
    assert [] == cut_in_mid_file(up, way, MANY, tmp_path)


@pytest.mark.prove
@pytest.mark.parametrize("way", WAYS)
def test_a_hundred_clients_killed_in_mid_file_never_count_as_done(up, way, tmp_path):
    assert [] == cut_in_mid_file(up, way, 100, tmp_path)


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """So many programs that want a processor all the time."""
    begun = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(programs)]
    try:
        yield
    finally:
        for one in begun:
            one.kill()
            one.wait()


@pytest.mark.slow
def test_a_client_on_a_busy_machine_that_is_killed_in_mid_file_never_counts_as_done(up, tmp_path):
    with busy(8):
        assert [] == cut_in_mid_file(up, PLAIN, MANY, tmp_path)


@pytest.mark.prove
@pytest.mark.parametrize("programs", [2, 8, 16])
@pytest.mark.parametrize("way", WAYS)
def test_a_hundred_clients_on_a_busy_machine_killed_in_mid_file_never_count_as_done(up, way, programs, tmp_path):
    with busy(programs):
        assert [] == cut_in_mid_file(up, way, 100, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("way", [PLAIN, *(pytest.param(way, marks=pytest.mark.prove) for way in WAYS if way != PLAIN)])
def test_a_client_far_away_that_is_killed_in_mid_file_never_counts_as_done(far, way, tmp_path):
    up, within = far
    assert [] == cut_in_mid_file(up, way, MANY, tmp_path, within=within)


@pytest.mark.prove
@pytest.mark.parametrize("way", WAYS)
def test_a_hundred_clients_far_away_killed_in_mid_file_never_count_as_done(far, way, tmp_path):
    up, within = far
    assert [] == cut_in_mid_file(up, way, 100, tmp_path, within=within)


@pytest.mark.prove
@pytest.mark.parametrize("way", WAYS)
def test_a_hundred_clients_killed_behind_a_bad_wire_never_count_as_done(way, tmp_path):
    with LongWire(0.05, jitter=0.015, loss=0.01) as wire, an_up(host=THERE, within=wire.there) as up:
        assert [] == cut_in_mid_file(up, way, 100, tmp_path, within=wire.here)


# Clients that live


def sent_well(up: Up, way: str, count: int, *, within: list[str] | None = None) -> tuple[int, list[str]]:
    """Upload `count` small files on 4 lines at once; for how many the answer was "yes", and which of these are not in the ledger."""
    folder = f"good-{next(_numbers)}"
    command = [sys.executable, "-W", "ignore", "-m", "tests.servers.good", way, up.host]
    port = {PLAIN: up.port, EXPLICIT: up.port, IMPLICIT: up.implicit, SFTP: up.sftp}[way]
    done = subprocess.run(
        [*(within or []), *command, str(port), folder, str(count)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr[-2000:]
    told = dict(line.split(" ") for line in done.stdout.splitlines())
    here = up.received()
    return len(told), [name for name, digest in told.items() if here.get(f"{folder}/{name}".encode(), (0, ""))[1] != digest]


@pytest.mark.parametrize("way", WAYS)
def test_good_uploads_are_all_accepted(up, way):
    assert (100, []) == sent_well(up, way, 100)


@pytest.mark.slow
@pytest.mark.parametrize("way", [PLAIN, *(pytest.param(way, marks=pytest.mark.prove) for way in WAYS if way != PLAIN)])
def test_good_uploads_from_far_away_are_all_accepted(far, way):
    up, within = far
    assert (40, []) == sent_well(up, way, 40, within=within)


@pytest.mark.prove
@pytest.mark.parametrize("way", WAYS)
def test_a_thousand_good_uploads_are_all_accepted(up, way):
    assert (1000, []) == sent_well(up, way, 1000)


@pytest.mark.prove
@pytest.mark.parametrize("way", WAYS)
def test_a_thousand_good_uploads_from_far_away_are_all_accepted(far, way):
    up, within = far
    assert (1000, []) == sent_well(up, way, 1000, within=within)


@pytest.mark.prove
@pytest.mark.parametrize("way", WAYS)
def test_a_thousand_good_uploads_over_a_bad_wire_are_all_accepted(way):
    with LongWire(0.05, jitter=0.015, loss=0.01) as wire, an_up(host=THERE, within=wire.there) as up:
        assert (1000, []) == sent_well(up, way, 1000, within=wire.here)


# A server that dies


class Fleet:
    """Clients that go on uploading, each a process: what each sent, and what it was told "yes" for, may be asked after their death, too."""

    def __init__(self, up: Up, here: Path) -> None:
        """None has begun."""
        self.up, self.here = up, here
        self.processes: list[subprocess.Popen[bytes]] = []
        self.told: list[Path] = []

    def begin(self) -> None:
        """One of each way; they upload until they are cut off."""
        ports = {PLAIN: self.up.port, EXPLICIT: self.up.port, IMPLICIT: self.up.implicit, SFTP: self.up.sftp}
        for way, port in ports.items():
            folder = f"round-{next(_numbers)}"
            told = self.here / folder
            command = [sys.executable, "-W", "ignore", "-m", "tests.servers.good", way, self.up.host, str(port), folder, "100000", "rename"]
            with told.open("wb") as out:
                self.processes.append(subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, cwd=REPOSITORY))
            self.told.append(told)

    def yes(self) -> dict[bytes, str]:
        """All that was answered "yes", with the hash of what was sent; a line that is cut was not heard whole."""
        found = {}
        for told in self.told:
            for line in told.read_text().splitlines(keepends=True):
                if line.endswith("\n"):
                    name, digest = line.split()
                    found[f"{told.name}/{name}".encode()] = digest
        return found

    def is_told(self) -> bool:
        """Whether one of those that began last was told "yes"."""
        return any(told.stat().st_size for told in self.told[-len(self.processes) :])

    def over(self) -> None:
        """Wait until all have ended, as they do when the server is gone."""
        for process in self.processes:
            process.wait(40)
        self.processes.clear()


def killed_again_and_again(up: Up, here: Path, kills: int, dice: random.Random) -> int:
    """Kill the server so often while clients upload; how many uploads were answered "yes". It ends up running."""
    fleet = Fleet(up, here)
    for _ in range(kills):
        fleet.begin()
        until(fleet.is_told)
        with suppress(subprocess.TimeoutExpired):
            up.process.wait(dice.uniform(0, 0.7))
        up.kill(alone=dice.random() < 0.5)
        fleet.over()
        yes, spooled, ledger = fleet.yes(), up.spooled(), up.asks("select path, sha256 from uploads")
        assert [] == [path for path, digest in yes.items() if (path, digest) not in set(ledger)]
        assert set() == set(yes.values()) - spooled
        assert [] == half_done(up.out)
        up.start()
    yes = fleet.yes()
    until(lambda: yes.items() <= up.held().items())
    until(lambda: yes.items() <= up.delivered().items())
    assert [] == half_done(up.out) + half_done(up.root)
    mine = [path for path, *_ in up.arrivals()]
    assert sorted(set(mine)) == sorted(mine)
    return len(yes)


def half_done(folder: Path) -> list[bytes]:
    """The files that bear a whole file's name and are not what was sent under it."""
    return [
        path
        for path, digest in digests(folder).items()
        if os.path.basename(path).startswith(b"file-") and path.endswith(b".csv") and digest != good.digest(path.decode())
    ]


@pytest.mark.slow
def test_a_server_that_is_killed_lost_nothing_that_it_answered_yes_to(tmp_path):
    with an_up() as up:
        assert 3 <= killed_again_and_again(up, tmp_path, 3, random.Random(3))


@pytest.mark.prove
def test_a_server_that_is_killed_a_hundred_times_lost_nothing_that_it_answered_yes_to(tmp_path):
    with an_up() as up:
        print(killed_again_and_again(up, tmp_path, 100, random.Random(100)), "uploads were answered yes")


@pytest.mark.parametrize(
    ("way", "client"),
    [(EXPLICIT, FTPLIB), pytest.param(PLAIN, CURL, marks=pytest.mark.prove), pytest.param(SFTP, CURL, marks=pytest.mark.prove)],
)
def test_a_server_that_is_told_to_stop_cuts_what_is_under_way_and_the_client_goes_on_later(way, client, tmp_path):
    data = random.Random(way).randbytes(300_000)
    (tmp_path / "a.bin").write_bytes(data)
    with an_up() as up:
        sending = Sending(up, way, client, "a.bin", data[:65_536], tmp_path)
        until(up.under_way)
        assert 0 == up.end(20)
        sending.process.stdin.close()
        # Over SFTP neither curl nor asyncssh tells of a close that could not even be asked for.
        assert (way == SFTP) >= (0 == sending.process.wait(20))
        assert ({b"a.bin": 65_536}, {}) == (up.kept(), up.held())
        assert [] == up.asks("select path from uploads")
        up.start()
        CLIENTS["curl"](up, way, tmp_path).reput("a.bin", "a.bin")
        until(lambda: up.held() == up.delivered())
        assert [(b"a.bin", len(data))] == [(path, size) for path, size, *_ in up.arrivals()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "client"), [(PLAIN, LFTP), (SFTP, OPENSSH), *(pytest.param(way, LFTP, marks=pytest.mark.prove) for way in (EXPLICIT, IMPLICIT))]
)
def test_what_was_under_way_when_the_server_was_killed_is_kept_and_only_the_rest_is_sent(way, client, tmp_path):
    data = random.Random(way).randbytes(2_000_000)
    (tmp_path / "a.bin").write_bytes(data)
    with an_up() as up, Relay(up.sftp) as relay:
        sending = Sending(up, way, client, "a.bin", data, tmp_path)
        until(lambda: sum(up.under_way()) > 400_000)
        up.kill()
        sending.kill()
        assert ({}, {}) == (up.kept(), up.held())
        up.start()
        (size,) = (kept := up.kept()).values()
        assert ([b"a.bin"], {}) == ([*kept], up.held())
        assert 400_000 <= size < 1_900_000
        with ftplib_session(up, PLAIN) as line:
            line.voidcmd("TYPE I")
            assert size == line.size("a.bin")
        if way == SFTP:
            via = copy.copy(up)
            via.sftp = relay.port
            CLIENTS[client](via, way, tmp_path).reput("a.bin", "a.bin")
            assert len(data) - size <= relay.carried < len(data) - size + 200_000
        else:
            CLIENTS[client](up, way, tmp_path)._lftp("debug -o said 5", "put -c a.bin")
            assert f"---> REST {size}\n" in (tmp_path / "said").read_text()
        until(lambda: b"a.bin" in up.delivered())
        assert [(b"a.bin", len(data), hashlib.sha256(data).hexdigest())] == [found[:3] for found in up.arrivals()]
        assert {b"a.bin": hashlib.sha256(data).hexdigest()} == up.held() == up.delivered()
        assert {} == up.kept()


# A disk that is full


def overwrite(up: Up, way: str, here: Path, data: bytes) -> str:
    """Upload `data` as big.bin; what the server says when it refuses, else nothing."""
    (here / "big.bin").write_bytes(data)
    try:
        # paramiko and curl would not do: over SFTP neither tells of a close that failed.
        CLIENTS["sftp" if way == SFTP else "ftplib"](up, way, here).put("big.bin", "big.bin")
    except (ftplib.Error, AssertionError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("way", "full"),
    [
        (PLAIN, "everything"),
        (SFTP, "home"),
        *(pytest.param(way, full, marks=pytest.mark.prove) for way, full in ((PLAIN, "home"), (PLAIN, "data"), (SFTP, "everything"))),
        pytest.param(SFTP, "data", marks=pytest.mark.prove),
    ],
)
def test_a_disk_that_is_full_leaves_the_old_file_whole_and_goes_on_when_there_is_room(way, full, tmp_path):
    """`full` says what lies on the small disk."""
    old, new = (random.Random(seed).randbytes(size) for seed, size in ((1, 1_000_000), (2, 40_000_000)))
    with tempfile.TemporaryDirectory(prefix="kills-", dir=MEMORY) as made:
        folder = Path(made)
        small = folder / "up" if full == "everything" else folder / "up" / full
        small.mkdir(parents=True)
        with memory(small, "size=24m"), Up(folder / "up", route={"arrival": {"exists": "replace"}}) as up:
            assert "" == overwrite(up, way, tmp_path, old)
            before = up.held()
            said = overwrite(up, way, tmp_path, new)
            assert "452" in said or "Failure" in said or "space" in said, said
            assert before == up.held()
            # Others go on, and what is small enough still comes in.
            with ftplib_session(up, PLAIN) as line:
                assert ["big.bin"] == line.nlst()
            assert up.process.poll() is None
            subprocess.run(["mount", "-o", "remount,size=400m", str(small)], check=True)
            until(lambda: "" == overwrite(up, way, tmp_path, new))
            assert {b"big.bin": len(new)} == {path: (up.root / os.fsdecode(path)).stat().st_size for path in up.held()}
            until(lambda: before.items() <= up.delivered().items() and 2 == len(up.delivered()))
