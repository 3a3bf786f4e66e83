"""T4, T5: files uploaded to our servers by others' clients, each answered "yes" once it is durable; and to others' servers."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.peers.base import PASSWORD, USER, Peer, program
from tests.peers.pyftpdlib_server import PyftpdlibServer
from tests.peers.sshd import Sshd
from tests.peers.vsftpd import Vsftpd
from tests.servers.running import Up

from bench import who
from bench.pull import large_file, small_files
from bench.race import OURS, Contestant, Row, Wrong, race, rows, same

FILES = 5000
LARGE = 2**30
DISK = "/var/tmp"
LONGEST = 120.0


def t4(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """Small files by lftp into FTP servers; ours answers each after it is durable, and delivers it to a folder beside that."""
    count = round(FILES * scale)
    wanted = small_files(work / "source", count)
    with ExitStack() as stack:
        disk = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=DISK)))
        for place, told, goal in ((work, "in memory", 1.5), (disk, "on disk", None)):
            us, they, bare = Up(place / "us", doors=("ftp",), forked=False), Vsftpd(place / "vsftpd"), PyftpdlibServer(place / "pyftpdlib")
            for peer in (us, they, bare):
                stack.callback(peer.close)
            contestants = [
                serving(OURS, us, _by_ftp(us, work / "source"), wanted),
                serving("vsftpd", they, _by_ftp(they, work / "source"), wanted),
                serving("pyftpdlib", bare, _by_ftp(bare, work / "source"), wanted),
            ]
            found = race(contestants, pairs)
            yield from rows("T4", f"{count:,} files of 4 KB uploaded by lftp, FTP, {told}", found, {"vsftpd": goal, "pyftpdlib": None})


def t5(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """Small files by lftp into SFTP servers, and one large one there and back by OpenSSH's sftp."""
    count, size = round(FILES * scale), round(LARGE * scale)
    wanted = small_files(work / "source", count)
    with ExitStack() as stack:
        us, they = Up(work / "us", doors=("sftp",), forked=False), Sshd(work / "sshd")
        for peer in (us, they):
            stack.callback(peer.close)
        contestants = [
            serving(OURS, us, _by_sftp(us, work / "source"), wanted),
            serving("OpenSSH", they, _by_sftp(they, work / "source"), wanted),
        ]
        yield from rows("T5", f"{count:,} files of 4 KB uploaded by lftp, SFTP", race(contestants, pairs), {"OpenSSH": 1.0})
        shutil.rmtree(work / "source")

        wanted = large_file(work / "large", size)
        told, large, back = f"one file of {size / 2**30:.3g} GiB", work / "large" / "large.bin", work / "back"
        back.mkdir()
        contestants = [
            serving(name, peer, _batch(peer, work / f"put-{name}", f"put {large} {_inside(peer)}large.bin"), wanted)
            for name, peer in ((OURS, us), ("OpenSSH", they))
        ]
        yield from rows("T5", f"{told} put by sftp", race(contestants, pairs), {"OpenSSH": 0.8})
        contestants = [
            Contestant(
                name,
                _batch(peer, work / f"get-{name}", f"get {_inside(peer)}large.bin {back}/large.bin"),
                prepare=_with_file(peer, large, back),
                check=_and_stop(peer, same(back, wanted)),
                server=_number_of(peer),
            )
            for name, peer in ((OURS, us), ("OpenSSH", they))
        ]
        yield from rows("T5", f"{told} got by sftp", race(contestants, pairs), {"OpenSSH": 1.0})


# The servers


def serving(name: str, peer: Peer, command: list[str], wanted: dict[str, bytes]) -> Contestant:
    """An upload of `wanted` to a server that is started anew for it, with nothing in it; only the client is timed."""

    def prepare() -> None:
        emptied(peer)
        os.sync()
        peer.start()

    def check() -> None:
        same(peer.root, wanted)()
        if isinstance(peer, Up):
            delivered(peer, len(wanted))
            same(peer.out, wanted)()

    return Contestant(name, command, prepare=prepare, check=_and_stop(peer, check), server=_number_of(peer))


def emptied(peer: Peer) -> None:
    """The server has nothing: no file, no ledger."""
    for folder in (peer.data, peer.out, peer.root) if isinstance(peer, Up) else (peer.root,):
        shutil.rmtree(folder, ignore_errors=True)
    peer.root.mkdir()


def delivered(up: Up, count: int) -> None:
    """Wait until so many files have been delivered, or say that they were not."""
    until = time.monotonic() + LONGEST
    while (there := up.asks("select count(*) from arrivals where state = 'delivered'")[0][0]) < count:
        if time.monotonic() > until:
            raise Wrong(f"{there} of {count} files were delivered: {up.log()[-2000:]}")
        time.sleep(0.05)


def _with_file(peer: Peer, file: Path, back: Path) -> Callable[[], None]:
    def prepare() -> None:
        emptied(peer)
        (peer.root / file.name).hardlink_to(file)
        (back / file.name).unlink(missing_ok=True)
        peer.start()

    return prepare


def _and_stop(peer: Peer, check: Callable[[], None]) -> Callable[[], None]:
    """A check after which the server no longer runs: it would take processor time from the next."""

    def checked() -> None:
        try:
            check()
        finally:
            peer.stop()

    return checked


def _number_of(peer: Peer) -> Callable[[], int]:
    def number() -> int:
        assert peer.process is not None
        return peer.process.pid

    return number


# The clients


def _by_ftp(peer: Peer, source: Path) -> list[str]:
    login = f'set ftp:ssl-allow no; open -u {USER},"{PASSWORD}" -p {peer.port} ftp://127.0.0.1'
    return _lftp(login, source, "/")


def _by_sftp(peer: Up | Sshd, source: Path) -> list[str]:
    command = " ".join(["ssh", "-a", "-x", *who.ssh(peer)])
    login = f'set sftp:auto-confirm yes; set sftp:connect-program "{command}"; open -u {peer.user}, -p {_sftp_port(peer)} sftp://127.0.0.1'
    return _lftp(login, source, _inside(peer))


def _lftp(login: str, source: Path, target: str) -> list[str]:
    return [program("lftp"), "--norc", "-c", f"set net:max-retries 1; {login}; mirror -R --no-perms --parallel=8 {source}/ {target}; bye"]


def _batch(peer: Up | Sshd, file: Path, words: str) -> list[str]:
    file.write_text(words + "\n")
    return [program("sftp"), "-q", *who.ssh(peer), "-b", str(file), "-P", str(_sftp_port(peer)), f"{peer.user}@127.0.0.1"]


def _sftp_port(peer: Up | Sshd) -> int:
    return peer.sftp if isinstance(peer, Up) else peer.port


def _inside(peer: Peer) -> str:
    """Where its files lie, as its clients say it: sshd's "/" is the machine's."""
    return "/" if isinstance(peer, Up) else f"{peer.root}/"
