"""One data connection: bytes of one transfer, one way, with a bounded buffer."""

import asyncio
import ssl
from collections import deque
from typing import cast

from connectors.ftp.errors import BROKE, ftp_errors
from connectors.interface import CHUNK, Unavailable

_MOST_AHEAD = 64 * 1024


class DataConnection(asyncio.Protocol):
    """What the reader has not asked for stays in the kernel; a writer waits until the store takes more.

    `idle_timeout` seconds of the store's silence end a wait.
    """

    def __init__(self, idle_timeout: float) -> None:
        self._idle_timeout = idle_timeout
        self._transport: asyncio.Transport | None = None
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._writable = True
        self._ended = False
        self._lost: Exception | None = None
        self._wake: asyncio.Future[None] | None = None

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own do not inherit from it

    def connection_lost(self, exc: Exception | None) -> None:
        """Wakes whoever waits."""
        self._lost = exc or ConnectionResetError("closed")
        self._notify()

    def eof_received(self) -> bool:
        """The end of a download."""
        self._ended = True
        self._notify()
        return False

    def pause_writing(self) -> None:
        """The store takes no more for now."""
        self._writable = False

    def resume_writing(self) -> None:
        """It does again."""
        self._writable = True
        self._notify()

    def data_received(self, data: bytes) -> None:
        """A piece of a download."""
        if len(data) <= CHUNK:
            self._pieces.append(data)
        else:  # TLS hands over what several records held in one
            self._pieces.extend(data[at : at + CHUNK] for at in range(0, len(data), CHUNK))
        self._buffered += len(data)
        if self._buffered > _MOST_AHEAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._notify()

    # what a transfer calls; each raises Unavailable when the connection breaks, TimedOut on silence

    async def secure(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Goes on in TLS. Also raises UntrustedHost."""
        assert self._transport is not None  # noqa: S101  connected
        with ftp_errors():
            secured = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                context,
                server_hostname=server_hostname,
                ssl_handshake_timeout=self._idle_timeout,
            )
        if secured is None:
            raise Unavailable(BROKE)
        self._transport = secured

    async def next_piece(self) -> bytes | None:
        """1 B to 256 KiB; None at the end, which only the control connection's reply tells from a cut."""
        while not self._pieces:
            if self._ended:
                return None
            self._check()
            self._read_on()
            await self._wait()
        piece = self._pieces.popleft()
        self._buffered -= len(piece)
        return piece

    async def write(self, piece: bytes) -> None:
        """Hands a piece over, and waits while too much is under way."""
        self._check()
        assert self._transport is not None  # noqa: S101  connected
        if self._transport.is_closing():  # broken, though asyncio has not told us yet
            raise Unavailable(BROKE)
        self._transport.write(piece)
        while not self._writable:
            await self._wait()
            self._check()

    def finish(self) -> None:
        """Ends an upload: what was handed over is still sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Gives the connection up at once."""
        self._pieces.clear()
        self._buffered = 0
        if self._transport is not None:
            self._transport.abort()

    def _check(self) -> None:
        if self._lost is not None:
            raise Unavailable(BROKE) from self._lost

    def _read_on(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    async def _wait(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        with ftp_errors():
            async with asyncio.timeout(self._idle_timeout):
                await self._wake

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
