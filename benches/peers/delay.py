"""A relay that lies far away: every byte takes half a round trip each way, and a new connection one round trip more.

A connection to a relay on loopback is there at once; one to a far host takes a round trip before its first byte can
leave. So nothing is passed on before that has gone by too. usage: python3 -m peers.delay PORT TARGET_PORT MILLISECONDS
"""

import asyncio
import sys


class Side(asyncio.Protocol):
    """One end of a relayed connection; what it hears is written to the other, later."""

    def __init__(self, delay: float, not_before: float) -> None:
        self.delay, self.not_before = delay, not_before
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None
        self.waiting: list[tuple[float, bytes]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def later(self, data: bytes) -> None:
        """Passes bytes on in their time; none: the end."""
        loop = asyncio.get_running_loop()
        at = max(loop.time(), self.not_before) + self.delay
        if self.other is None:
            self.waiting.append((at, data))
        else:
            loop.call_at(at, self.other.put, data)

    def join(self, other: "Side") -> None:
        self.other = other
        for at, data in self.waiting:
            asyncio.get_running_loop().call_at(at, other.put, data)

    def put(self, data: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if data:
            self.transport.write(data)
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.later(data)

    def connection_lost(self, _: Exception | None) -> None:
        self.later(b"")


async def relay(port: int, target: int, round_trip: float) -> None:
    loop = asyncio.get_running_loop()

    class Near(Side):
        """A caller's end, which brings the far one with it."""

        def __init__(self) -> None:
            super().__init__(round_trip / 2, loop.time() + round_trip)

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.joining = loop.create_task(self.reach())

        async def reach(self) -> None:
            _, far = await loop.create_connection(lambda: Side(round_trip / 2, 0.0), "127.0.0.1", target)
            far.join(self)
            self.join(far)

    server = await loop.create_server(Near, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
