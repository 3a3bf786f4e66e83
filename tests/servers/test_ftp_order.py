"""The order of what our FTP server does, as the system's calls show it: bytes, names, ledger, and only then the "yes"."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

from tests.servers.ftp_ground import Raw

SERVER = """
import sys
from pathlib import Path
from tests.servers.ftp_ground import FtpGround
with FtpGround(Path(sys.argv[1])) as ground:
    print(ground.port, flush=True)
    sys.stdin.read()
"""
CALLS = "fsync,fdatasync,syncfs,rename,renameat,renameat2,unlinkat,unlink,sendto"


@pytest.fixture
def traced(tmp_path):
    """A server under strace, on a disk that must be synced; its port, and the trace."""
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], check=False, capture_output=True)
    if tried.returncode:
        pytest.skip("needs the right to use strace")
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-s", "60", "-o", str(trace), "-e", f"trace={CALLS}", sys.executable, "-c", SERVER]
    with subprocess.Popen([*command, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield int(server.stdout.readline()), trace
        server.stdin.close()
        assert 0 == server.wait(30)


def between(trace, start, end):
    """The calls between two answers of ours."""
    until = time.monotonic() + 10
    while True:
        lines = trace.read_text(errors="replace").splitlines()
        ends = [at for at, line in enumerate(lines) if re.search(rf'sendto\(.*"{end} ', line)]
        if ends:
            begins = [at for at, line in enumerate(lines) if re.search(rf'sendto\(.*"{start} ', line)]
            return lines[begins[-1] : ends[-1]]
        assert time.monotonic() < until
        time.sleep(0.01)


def order(lines, *patterns):
    """Where each of them is first done, after the one before it."""
    found, at = [], -1
    for pattern in patterns:
        at = next((number for number, line in enumerate(lines) if number > at and re.search(pattern, line)), -1)
        assert at >= 0, (pattern, "\n".join(lines))
        found.append(at)
    return found


SYNC, LEDGER = r"f(data)?sync\(\d+<[^>]*/spool/", r"f(data)?sync\(\d+<[^>]*ledger\.db-wal>"


@pytest.mark.slow
def test_226_and_250_come_after_the_syncs_and_the_ledgers_commit(traced):
    port, trace = traced
    with Raw(port) as raw:
        raw.hears(220)
        raw.login()
        assert b"226" == raw.put("a.csv", b"x" * 5000)[:3]
        order(between(trace, "1[25][05]", 226), SYNC, r"rename.*/spool/", SYNC, LEDGER, r"rename.*a\.csv")
        raw.asks("RNFR a.csv", 350)
        raw.asks("RNTO b.csv", 250)
        order(between(trace, 350, 250), r"renameat2.*a\.csv.*b\.csv", LEDGER)
        raw.asks("NOOP", 200)
        raw.asks("DELE b.csv", 250)
        order(between(trace, 200, 250), LEDGER, r"unlinkat.*b\.csv")
