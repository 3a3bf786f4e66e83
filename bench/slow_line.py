"""A TCP relay with a long way to go: `python -m bench.slow_line PORT SECONDS` delays each direction by so much, and says its port."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress

import uvloop

HOST = "127.0.0.1"
BLOCK = 2**18


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Every byte arrives `delay` later than it was sent; none waits for another's arrival."""
    clock, on_the_way = asyncio.get_running_loop().time, asyncio.Queue[tuple[float, bytes]](4096)

    async def arrive() -> None:
        with suppress(OSError):
            while True:
                at, data = await on_the_way.get()
                if (left := at - clock()) > 0:
                    await asyncio.sleep(left)
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        writer.close()

    arriving = asyncio.create_task(arrive())
    data = b"?"
    while data:
        try:
            data = await reader.read(BLOCK)
        except OSError:
            data = b""
        await on_the_way.put((clock() + delay, data))
    await arriving


async def main(port: int, delay: float) -> None:
    """Relay until killed."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, port)
        for one in (writer, back):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(carry(reader, back, delay), carry(there, writer, delay))

    server = await asyncio.start_server(connected, HOST, 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
