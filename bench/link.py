"""A link with a delay and a rate, where the kernel has no `netem`: bytes come out later, in order, none lost.

    python -m bench.link LISTEN_PORT TARGET_PORT ROUND_TRIP_MILLISECONDS [MEGABITS]

Each end acknowledges locally, so TCP's own window does not feel the delay: for both sides that are compared
the link is kinder than a real one, and what is measured is their own flow control.
"""

import asyncio
import sys
from collections import deque

import uvloop

_MOST = 64 * 1024 * 1024


class End(asyncio.Protocol):
    """One end; what it receives leaves at the other one later."""

    def __init__(self, delay: float, rate: float) -> None:
        self._delay = delay
        self._rate = rate
        self.other: End | None = None
        self.transport: asyncio.Transport | None = None
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._queued = 0
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._full = False
        self._writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport and sends what came meanwhile."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]  # uvloop's own
        self.pump()

    def data_received(self, data: bytes) -> None:
        """Across, later."""
        if self.other is not None:
            self.other.add(data, self)

    def eof_received(self) -> bool:
        """Across as well."""
        if self.other is not None:
            self.other.add(None, self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end goes too."""
        if self._timer is not None:
            self._timer.cancel()
        if self.other is not None and self.other.transport is not None:
            self.other.transport.abort()

    def pause_writing(self) -> None:
        """The receiver is slow."""
        self._writable = False

    def resume_writing(self) -> None:
        """It is not any more."""
        self._writable = True
        self.pump()

    def add(self, data: bytes | None, source: "End") -> None:
        """Bytes to leave here after the delay, at the link's rate."""
        now = asyncio.get_running_loop().time()
        size = len(data or b"")
        self._free_at = max(self._free_at, now) + size / self._rate
        self._queue.append((self._free_at + self._delay, data))
        self._queued += size
        waiting = (self._free_at - now) * self._rate
        if waiting > 4 * 1024 * 1024 and not source._full and source.transport is not None:
            source._full = True  # the sender's own buffer is full, as a socket's would be
            source.transport.pause_reading()
        self.pump()

    def pump(self) -> None:
        """Sends what is due."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._queue and self._queue[0][0] <= now and self._writable and self.transport is not None:
            _, data = self._queue.popleft()
            if data is None:
                self.transport.write_eof()
                continue
            self._queued -= len(data)
            self.transport.write(data)
        source = self.other
        if source is not None and source._full and (self._free_at - now) * self._rate < 2 * 1024 * 1024:
            source._full = False
            if source.transport is not None and not source.transport.is_closing():
                source.transport.resume_reading()
        if self._queue and self._writable:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(max(self._queue[0][0], now + 0.0005), self.pump)


async def serve(listen: int, target: int, round_trip: float, rate: float) -> None:
    """Relays until it is stopped."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:

        def accepted() -> End:
            near, far = End(round_trip / 2, rate), End(round_trip / 2, rate)
            near.other, far.other = far, near
            tasks.create_task(connect(far))
            return near

        async def connect(far: End) -> None:
            try:
                await loop.create_connection(lambda: far, "127.0.0.1", target)
            except OSError:
                if far.other is not None and far.other.transport is not None:
                    far.other.transport.abort()

        server = await loop.create_server(accepted, "127.0.0.1", listen)
        await server.serve_forever()


if __name__ == "__main__":
    megabits = float(sys.argv[4]) if len(sys.argv) > 4 else 1000.0
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) / 1000, megabits * 1e6 / 8))
