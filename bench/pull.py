"""T1, T2, T3: fetched from SFTP and FTP servers into a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tests.peers.sshd import Sshd
from tests.peers.vsftpd import Vsftpd

from bench import who
from bench.race import Row, digests, race, rows, same

FILES = 20_000
SMALL = 4096
LARGE = 2 * 2**30
_OLD = 1_700_000_000
# vsftpd has no MLSD, so its times do not settle whether a file is still being written, and a run would wait to see; lftp does not.
AT_ONCE = {"from": {"remote": who.REMOTE, "settle": "0s"}}


def small_files(root: Path, count: int) -> dict[str, bytes]:
    """`count` files of 4 KB; their hashes."""
    root.mkdir(parents=True)
    for number in range(count):
        path = root / f"file-{number:06}.csv"
        path.write_bytes(os.urandom(SMALL))
        os.utime(path, (_OLD, _OLD + number))
    return digests(root)


def large_file(root: Path, size: int) -> dict[str, bytes]:
    """One file of `size` bytes; its hash."""
    root.mkdir(parents=True)
    block = os.urandom(2**24)
    with (root / "large.bin").open("wb") as file:
        while file.tell() < size:
            file.write(block[: size - file.tell()])
    os.utime(root / "large.bin", (_OLD, _OLD))
    return digests(root)


def t1(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """Small files over SFTP."""
    count = round(FILES * scale)
    wanted = small_files(work / "source", count)
    us, out = work / "us", work / "out"
    with Sshd(work / "source") as server:
        found = race(
            [
                who.ours(who.to_folder(who.of_sshd(server), us), who.emptied(us / "data", us / "out"), same(us / "out", wanted)),
                who.lftp(server, out, same(out, wanted)),
                who.rclone(server, out, same(out, wanted)),
            ],
            pairs,
        )
    yield from rows("T1", f"pull {count:,} files of 4 KB, SFTP (OpenSSH)", found, {"lftp": 0.8, "rclone": 0.15})


def t2(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """Small files over FTP."""
    count = round(FILES * scale)
    wanted = small_files(work / "source", count)
    us, out = work / "us", work / "out"
    with Vsftpd(work / "source") as server:
        found = race(
            [
                who.ours(
                    who.to_folder(who.of_vsftpd(server), us, **AT_ONCE), who.emptied(us / "data", us / "out"), same(us / "out", wanted)
                ),
                who.lftp(server, out, same(out, wanted)),
            ],
            pairs,
        )
    yield from rows("T2", f"pull {count:,} files of 4 KB, FTP (vsftpd)", found, {"lftp": 1.0})


def t3(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """One large file."""
    size = round(LARGE * scale)
    wanted = large_file(work / "source", size)
    us, out, told = work / "us", work / "out", f"pull one file of {size / 2**30:.3g} GiB"
    check, prepare = same(us / "out", wanted), who.emptied(us / "data", us / "out", out)
    with Sshd(work / "source") as server:
        mine = who.ours(who.to_folder(who.of_sshd(server), us), prepare, check)
        found = race([mine, who.sftp(server, "large.bin", out, same(out, wanted)), who.rclone(server, out, same(out, wanted))], pairs)
    yield from rows("T3", f"{told}, SFTP (OpenSSH)", found, {"sftp": 0.8, "rclone": None})
    with Vsftpd(work / "source") as server:
        mine = who.ours(who.to_folder(who.of_vsftpd(server), us, **AT_ONCE), prepare, check)
        found = race([mine, who.rclone(server, out, same(out, wanted))], pairs)
    yield from rows("T3", f"{told}, FTP (vsftpd)", found, {"rclone": 1.2})
