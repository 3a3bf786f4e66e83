"""A long wire: two networks of their own on this machine, whose packets take their time, and sometimes get lost; needs root."""

from __future__ import annotations

import argparse
import fcntl
import heapq
import itertools
import os
import random
import selectors
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.peers.base import REPOSITORY, PeerMissing, need_root, program

HERE, THERE = "192.0.2.1", "192.0.2.2"
_TUNSETIFF, _TUN, _NO_PI = 0x400454CA, 0x0001, 0x1000
_MTU = 1500
_numbers = itertools.count(1)


class LongWire:
    """`here` and `there` go before a command to have it run at that end, where it has the address HERE or THERE.

    A packet takes `delay` seconds one way, more or less by up to `jitter`, and gets lost with the probability `loss`. Both ends have
    their loopback, too, on which nothing takes long.
    """

    def __init__(self, delay: float, *, jitter: float = 0.0, loss: float = 0.0) -> None:
        """Nothing is there yet."""
        need_root("a network of its own")
        self.delay, self.jitter, self.loss = delay, jitter, loss
        number = next(_numbers)
        self.names = [f"tl{os.getpid()}-{number}{end}" for end in "ab"]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def here(self) -> list[str]:
        """What goes before a command that is to run at this end."""
        return _inside(self.names[0])

    @property
    def there(self) -> list[str]:
        """What goes before a command that is to run at the other end."""
        return _inside(self.names[1])

    def __enter__(self) -> Self:
        try:
            self._lay()
        except BaseException:
            self._take_up()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._take_up()

    def _lay(self) -> None:
        for name in self.names:
            _ip("netns", "add", name)
        wants = ["--delay", str(self.delay), "--jitter", str(self.jitter), "--loss", str(self.loss), *self.names]
        command = [sys.executable, "-m", __name__, *wants]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            message = f"no tunnel can be made here: {self.process.wait()}"
            raise PeerMissing(message)
        for name, own, other in zip(self.names, (HERE, THERE), (THERE, HERE), strict=True):
            _ip("link", "set", name, "netns", name)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "address", "add", own, "peer", other, "dev", name)
            _ip("-n", name, "link", "set", name, "mtu", str(_MTU), "up")

    def _take_up(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        for name in self.names:
            if Path(f"/run/netns/{name}").exists():
                _ip("netns", "del", name)


def _inside(name: str) -> list[str]:
    return [program("nsenter"), f"--net=/run/netns/{name}", "--"]


def _ip(*words: str) -> None:
    done = subprocess.run([program("ip"), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"ip {' '.join(words)} does not work here: {done.stderr.strip()}"
        raise PeerMissing(message)


def _end(name: str) -> int:
    """A new end of the wire: what is written to it comes out of the network device `name`."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN | _NO_PI))
    return end


def main(names: list[str], delay: float, jitter: float, loss: float) -> None:
    """Carry packets both ways until killed."""
    one, other = map(_end, names)
    print("laid", flush=True)
    across, dice = {one: other, other: one}, random.Random()
    waiting: list[tuple[float, int, int, bytes]] = []
    number = 0
    with selectors.DefaultSelector() as ready:
        for end in across:
            ready.register(end, selectors.EVENT_READ)
        while True:
            pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            for key, _ in ready.select(pause):
                while packet := _read(key.fd):
                    if dice.random() >= loss:
                        number += 1
                        due = time.monotonic() + max(0.0, delay + dice.uniform(-jitter, jitter))
                        heapq.heappush(waiting, (due, number, across[key.fd], packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(waiting)
                _write(end, packet)


def _read(end: int) -> bytes:
    try:
        return os.read(end, 65536)
    except OSError:  # nothing more, or the device is not up yet
        return b""


def _write(end: int, packet: bytes) -> None:
    try:
        os.write(end, packet)
    except OSError:  # full, or down: lost, as on any wire
        return


if __name__ == "__main__":
    wants = argparse.ArgumentParser()
    wants.add_argument("names", nargs=2)
    for told in ("delay", "jitter", "loss"):
        wants.add_argument(f"--{told}", type=float)
    given = wants.parse_args()
    main(given.names, given.delay, given.jitter, given.loss)
