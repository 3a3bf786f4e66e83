"""Many FTP or SFTP clients at once, in one process: `python -m bench.crowd WAY PORT CLIENTS SIZE`.

All log in at once; then all upload SIZE bytes at once, unless that is 0. With `--idle N`, so many others are logged in and say nothing.
What it took is printed as JSON: `logins` and `uploads`, in seconds, each until the last one had its answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from tests.peers.base import HOST, PASSWORD, USER


class Line:
    """One FTP session."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> None:
        """Connect and log in."""
        self._in, self._out = await asyncio.open_connection(HOST, self._port)
        await self._answer("220")
        await self._ask(f"USER {USER}", "331")
        await self._ask(f"PASS {PASSWORD}", "230")
        await self._ask("TYPE I", "200")

    async def put(self, name: str, data: bytes) -> None:
        """Upload, and have the server's "yes"."""
        told = await self._ask("EPSV", "229")
        port = int(told.split("|")[-2])
        (_, data_line), _ = await asyncio.gather(asyncio.open_connection(HOST, port), self._ask(f"STOR {name}", "150", "125"))
        data_line.write(data)
        await data_line.drain()
        data_line.close()
        await self._answer("226")

    async def _ask(self, line: str, *wanted: str) -> str:
        self._out.write(line.encode() + b"\r\n")
        return await self._answer(*wanted)

    async def _answer(self, *wanted: str) -> str:
        while True:
            line = (await self._in.readline()).decode()
            if line[3:4] == "-":
                continue
            if not line.startswith(wanted):
                raise ConnectionError(f"{line.strip() or 'the end'} where {' or '.join(wanted)} was expected")
            return line


class SftpLine:
    """One SFTP session; `key` is a private key, or there is a password."""

    def __init__(self, port: int, user: str, key: str) -> None:
        self._port, self._user, self._key = port, user, key
        self._open = AsyncExitStack()

    async def open(self) -> None:
        """Connect and log in."""
        import asyncssh

        login: dict[str, Any] = {"client_keys": [self._key]} if self._key else {"password": PASSWORD, "client_keys": []}
        line = asyncssh.connect(
            HOST, self._port, username=self._user, known_hosts=None, login_timeout=0, config=None, agent_path=None, **login
        )
        self._files = await (await self._open.enter_async_context(line)).start_sftp_client()

    async def put(self, name: str, data: bytes) -> None:
        """Upload, and have the server's "yes"."""
        async with self._files.open(name, "wb") as file:
            await file.write(data)


async def crowd(make: Callable[[], Any], clients: int, size: int) -> dict[str, float]:
    """All log in at once, then all upload at once."""
    data = os.urandom(size)
    begun = time.perf_counter()
    lines = await asyncio.gather(*(_opened(make) for _ in range(clients)))
    logged_in = time.perf_counter()
    if size:
        await asyncio.gather(*(line.put(f"crowd-{number:04}.bin", data[number:] + data[:number]) for number, line in enumerate(lines)))
    return {"logins": logged_in - begun, "uploads": time.perf_counter() - logged_in}


async def busy(make: Callable[[], Any], uploads: int, size: int) -> dict[str, float]:
    """One uploads one file after another."""
    line, data = await _opened(make), os.urandom(size)
    begun = time.perf_counter()
    for number in range(uploads):
        await line.put(f"busy-{number:04}.bin", data[number:] + data[:number])
    return {"uploads": time.perf_counter() - begun}


async def _opened(make: Callable[[], Any]) -> Any:
    line = make()
    await line.open()
    return line


async def work(given: argparse.Namespace) -> dict[str, float]:
    """What it took."""

    def make() -> Any:
        return Line(given.port) if given.way == "ftp" else SftpLine(given.port, given.user, given.key)

    idle = []
    while len(idle) < given.idle:
        idle += await asyncio.gather(*(_opened(make) for _ in range(min(50, given.idle - len(idle)))))
    told = await (busy(make, given.in_turn, given.size) if given.in_turn else crowd(make, given.clients, given.size))
    assert len(idle) == given.idle
    return told


def main() -> None:
    """Say what it took."""
    wants = argparse.ArgumentParser()
    wants.add_argument("way", choices=["ftp", "sftp"])
    for name in ("port", "clients", "size"):
        wants.add_argument(name, type=int)
    wants.add_argument("--idle", type=int, default=0)
    wants.add_argument("--in-turn", type=int, default=0, help="one client uploads so many files, one after another")
    wants.add_argument("--user", default=USER)
    wants.add_argument("--key", default="")
    given = wants.parse_args()
    if given.way == "sftp":
        import uvloop

        told = uvloop.run(work(given))
    else:
        told = asyncio.run(work(given))
    print(json.dumps(told), flush=True)
    os._exit(0)  # without goodbyes


if __name__ == "__main__":
    main()
