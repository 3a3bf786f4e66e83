"""T6, LOGINS: very many clients at once at our servers, and at others'."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.peers.base import REPOSITORY, Peer
from tests.peers.pyftpdlib_server import PyftpdlibServer
from tests.peers.sshd import Sshd
from tests.servers.running import Up

from bench.race import LONGEST, OURS, Measured, Row, Wrong, digests, peak, rows, same, spent
from bench.serve import delivered, emptied

CLIENTS = 1000
SIZE = 100_000
STORM = 300
IN_TURN = 200
ROOM = {"sessions": 5000, "sessions_per_address": 5000, "sessions_per_user": 5000}
Asked = tuple[str, Peer, Sequence[str]]


def t6(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """Many clients upload at once; timed from the end of the logins, by clients that are one process."""
    clients = round(CLIENTS * scale)
    with ExitStack() as stack:
        us, bare = Up(work / "us", servers=ROOM, forked=False), PyftpdlibServer(work / "pyftpdlib")
        for peer in (us, bare):
            stack.callback(peer.close)
        words = [str(clients), str(SIZE)]
        asked: list[Asked] = [(OURS, us, ["ftp", str(us.port), *words]), ("pyftpdlib", bare, ["ftp", str(bare.port), *words])]
        found = _measured(asked, pairs, "uploads", lambda peer: _all_there(peer, clients))
        ours, told = found[OURS], f"{clients:,} clients at once, 100 kB each, FTP"
        yield from rows("T6", told, found, {"pyftpdlib": None})
        yield Row("T6", f"{told}, from the end of the logins", ours.median, goal=2.0, goal_unit="s", memory=ours.memory, runs=ours.seconds)
        yield Row("T6", "memory of up", ours.memory, unit="MB", goal=200, goal_unit="MB", memory=ours.memory)
        yield Row("T6", "memory of up and the worker beside it", ours.whole, unit="MB", memory=ours.whole)
        asked = [(OURS, us, ["sftp", str(us.sftp), *words])]
        found = _measured(asked, pairs, "uploads", lambda peer: _all_there(peer, clients))
        ours, told = found[OURS], f"{clients:,} clients at once, 100 kB each, SFTP"
        yield Row("T6", told, ours.median, memory=ours.memory, runs=ours.seconds)


def logins(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """Many logins at once, and one busy session among many that are idle."""
    storm, idle, turns = (max(1, round(count * scale)) for count in (STORM, CLIENTS, IN_TURN))
    with ExitStack() as stack:
        # Not vsftpd: of a crowd from one address it refuses most, and told to let them in it took minutes.
        us, bare, ssh = Up(work / "us", servers=ROOM, forked=False), PyftpdlibServer(work / "pyftpdlib"), Sshd(work / "sshd")
        for peer in (us, bare, ssh):
            stack.callback(peer.close)
        ftp = [(OURS, us, us.port), ("pyftpdlib", bare, bare.port)]
        asked: list[Asked] = [(name, peer, ["ftp", str(port), str(storm), "0"]) for name, peer, port in ftp]
        yield from rows("LOGINS", f"{storm} logins at once, FTP", _measured(asked, pairs, "logins"), {"pyftpdlib": None})
        login = [(OURS, us, us.sftp, us.user, us.key), ("OpenSSH", ssh, ssh.port, ssh.user, ssh.key)]
        asked = [(name, peer, ["sftp", str(at), str(storm), "0", "--user", user, "--key", str(key)]) for name, peer, at, user, key in login]
        yield from rows("LOGINS", f"{storm} logins at once by key, SFTP", _measured(asked, pairs, "logins"), {"OpenSSH": None})

        words = ["1", str(SIZE), "--in-turn", str(turns)]
        alone = _measured([(OURS, us, ["ftp", str(us.port), *words])], pairs, "uploads")[OURS]
        among = _measured([(OURS, us, ["ftp", str(us.port), *words, "--idle", str(idle)])], pairs, "uploads")[OURS]
        told = f"{turns} uploads of 100 kB in turn, beside {idle:,} idle sessions"
        yield Row(
            "LOGINS", told, among.median, peer="alone", theirs=alone.median, memory=among.memory, their_memory=alone.memory,
            runs=among.seconds, their_runs=alone.seconds,
        )  # fmt: skip


def _measured(asked: Sequence[Asked], pairs: int, figure: str, check: Callable[[Peer], None] | None = None) -> dict[str, Measured]:
    """Each in turn, `pairs` times after a warm-up, at a server that is started anew: what the clients tell of `figure`."""
    found = {name: Measured(name) for name, _, _ in asked}
    for turn in range(pairs + 1):
        for name, peer, words in asked:
            emptied(peer)
            peer.start()
            assert peer.process is not None
            before = spent(peer.process.pid)
            seconds = _clients(words)[figure]
            (memory, whole), cpu = peak(peer.process.pid), spent(peer.process.pid) - before
            if check is not None:
                check(peer)
            peer.stop()
            print(f"    {name:<12} {seconds:8.2f} s {cpu:8.2f} s of CPU {memory:6.0f} MB{'' if turn else '  (warm-up)'}", flush=True)
            if turn:
                found[name].seconds.append(seconds)
                found[name].cpu.append(cpu)
                found[name].memory, found[name].whole = max(found[name].memory, memory), max(found[name].whole, whole)
    return found


def _clients(words: Sequence[str]) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.crowd", *words]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=LONGEST, check=False)
    if done.returncode:
        raise Wrong(f"{' '.join(words)}: {done.stderr[-2000:]}")
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _all_there(peer: Peer, clients: int) -> None:
    """Every file came, whole; ours delivered each, too."""
    sizes = [path.stat().st_size for path in peer.root.iterdir()]
    if sizes != [SIZE] * clients:
        raise Wrong(f"{sizes.count(SIZE)} of {clients} files are there whole, and {len(sizes) - sizes.count(SIZE)} others")
    if isinstance(peer, Up):
        delivered(peer, clients)
        same(peer.out, digests(peer.root))()
