"""A SOCKS5 and HTTP proxy (pproxy) in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from typing import Literal

from tests.peers.base import Peer, PeerMissing


class Proxy(Peer):
    """A proxy that speaks `kind`; with `login` ("user:password") it asks for that. `connections()` tells how many it has carried."""

    name = "proxy"

    def __init__(self, kind: Literal["socks5", "socks4", "http"] = "socks5", *, login: str = "") -> None:
        """Prepare one; nothing runs yet."""
        if find_spec("pproxy") is None:
            message = "pproxy is not installed (dependency group test)"
            raise PeerMissing(message)
        super().__init__()
        self.kind, self.login = kind, login

    @property
    def url(self) -> str:
        """What a client's configuration takes, without the password."""
        user = self.login.partition(":")[0]
        return f"{self.kind}://{user and user + '@'}{self.host}:{self.port}"

    def start(self) -> None:
        """Start it; returns when it accepts."""
        login = f"#{self.login}" if self.login else ""
        self.spawn([sys.executable, "-u", "-W", "ignore", "-m", __name__, f"{self.kind}://{self.host}:{self.port}{login}"])

    def connections(self, port: int) -> int:
        """How many connections to `port` it has carried."""
        return sum(f":{port}" in line and "->" in line for line in self.log().splitlines())


async def serve(url: str) -> None:
    """Carry connections until killed, with a line for each."""
    import pproxy

    await pproxy.Server(url).start_server({"rserver": [pproxy.Connection("direct://")], "verbose": print, "authtime": -1})
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
