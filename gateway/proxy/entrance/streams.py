"""One TCP connection as mitmproxy uses a reader and a writer, without a copy of what comes in.

asyncio's own StreamReader puts all into one buffer, of which mitmproxy takes 64 KiB at a time: two copies,
and an event through all of its layers for each. Here a piece is what the kernel gave at once, up to 128 KiB:
with more, 32 transfers that wait take more than 64 MiB.
"""

import asyncio
from collections import deque
from typing import Any, Final, Self, cast

LARGEST_PIECE: Final = 128 * 1024
LARGEST_WAITING: Final = LARGEST_PIECE
"""Bytes that wait for a reader who is busy; then the kernel keeps the rest, and the peer stops."""


class Stream(asyncio.Protocol):
    """Both ways of a connection; one task reads, any may write."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = self._lost = False
        self._full = self._held = self._paused = False

    @classmethod
    def taking_over(cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Self:
        """A connection that asyncio opened, in place of its two, which are not used any more."""
        made, transport = cls(), cast("asyncio.Transport", writer.transport)
        made.connection_made(transport)
        was: Any = reader
        if early := bytes(was._buffer):  # noqa: SLF001  read before this; there is no public way to look
            made.data_received(early)
        transport.set_protocol(made)
        if was._eof or transport.is_closing():  # noqa: SLF001
            made.eof_received()
        transport.resume_reading()
        return made

    # what mitmproxy calls

    async def read(self, _mitmproxys_most: int = -1) -> bytes:
        """The next piece as it came; b"" after the last."""
        while not self._pieces:
            if self._ended:
                return b""
            self._something.clear()
            await self._something.wait()
        piece = self._pieces.popleft()
        self._waiting -= len(piece)
        if self._full and self._waiting < LARGEST_WAITING:
            self._full = False
            self._regulate()
        return piece

    def hold(self, *, held: bool) -> None:
        """Leaves what comes unread, or reads on; the kernel's buffer then tells the peer to wait."""
        self._held = held
        self._regulate()

    def write(self, data: bytes) -> None:
        """Sends, or keeps until it can be sent: see `drain`."""
        self.transport.write(data)

    async def drain(self) -> None:
        """Returns when little waits to be sent. Raises ConnectionResetError when the connection is gone."""
        if self._lost:
            raise ConnectionResetError("Connection lost")
        await self._room.wait()

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self.transport.is_closing()

    def close(self) -> None:
        """Closes after what was written."""
        self.transport.close()

    def write_eof(self) -> None:
        """Ends this side after what was written."""
        self.transport.write_eof()

    def get_extra_info(self, name: str) -> Any:
        """As the transport's."""
        return self.transport.get_extra_info(name)

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport, which reads as much at once as its attribute says (in asyncio's own loop)."""
        self.transport = cast("asyncio.Transport", transport)
        cast("Any", transport).max_size = LARGEST_PIECE

    def data_received(self, data: bytes) -> None:
        """One more piece; no further ones while many wait."""
        self._pieces.append(data)
        self._waiting += len(data)
        if self._something.is_set():  # who reads is busy with an earlier one
            self._full = self._waiting >= LARGEST_WAITING
            self._regulate()
        self._something.set()

    def eof_received(self) -> bool:
        """No more will come; what is to be sent still is."""
        self._ended = True
        self._something.set()
        return True

    def pause_writing(self) -> None:
        """Who drains, waits."""
        self._room.clear()

    def resume_writing(self) -> None:
        """Who drains, goes on."""
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        self._ended = self._lost = True
        self._something.set()
        self._room.set()

    def _regulate(self) -> None:
        wanted = self._full or self._held
        if wanted != self._paused:
            self._paused = wanted
            (self.transport.pause_reading if wanted else self.transport.resume_reading)()
