"""One HTTP/1.1 connection. h11 parses heads and chunked bodies; a body with a length is handed over raw.

What the reader has not asked for stays in the kernel: above `_MOST_AHEAD` bytes the transport stops reading,
and goes on when the reader comes back to an empty buffer.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import cast

import h11

from connectors.http1.errors import refused_certificate
from connectors.interface import CHUNK, BadAnswer, Unavailable

type Headers = Sequence[tuple[bytes, bytes]]
type Body = bytes | AsyncIterator[bytes] | None

_MOST_AHEAD = 64 * 1024
_LARGEST_HEAD = 64 * 1024
_CONTINUE_WITHIN = 2.0
_MOST_INFORMATIONAL = 16  # answers of status 1xx before the real one (RFC 9110, 15.2)
_WORDS = re.compile(r"[A-Za-z0-9 ,_-]*")
_NO_BODY = frozenset({204, 304})


class BodyFailed(Exception):
    """The source of a request's body broke, not the connection: its error is the cause."""


class Connection(asyncio.Protocol):
    """Carries one exchange after the other. `idle_timeout` seconds of silence end a wait (None: never)."""

    def __init__(self, idle_timeout: float | None) -> None:
        self._idle_timeout = idle_timeout
        self._transport: asyncio.Transport | None = None
        self._lost: Exception | None = None
        self._writable = True
        self._wake: asyncio.Future[None] | None = None
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self.reusable = True
        self._begin("")

    def _begin(self, method: str) -> None:
        self._pieces.clear()  # of an answer that nobody read
        self._buffered = 0
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)
        self._method = method
        self.head: h11.Response | None = None
        self._left: int | None = None  # bytes of a raw body still to come; None: h11 frames the body
        self.complete = False
        self._go_on = False
        self._informational = 0
        self._failure: Exception | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing more can be exchanged here."""
        return self._lost is not None or self._transport is None or self._transport.is_closing()

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own do not inherit from it

    def connection_lost(self, exc: Exception | None) -> None:
        """Wakes whoever waits."""
        self._lost = exc or ConnectionResetError("closed")
        self._notify()

    def eof_received(self) -> bool:
        """A body without a length ends here; anything else is cut."""
        if self.head is not None and self._left is None and not self.complete:
            self._feed(b"")
        self.reusable = False
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
        """A piece of a head or of a body."""
        if self._left is not None:
            self._take_raw(data)
        else:
            self._feed(data)
        self._notify()

    # receiving

    def _take_raw(self, data: bytes) -> None:
        assert self._left is not None  # noqa: S101  the caller looked
        if len(data) > self._left:
            self.reusable = False
            data = data[: self._left]
        self._left -= len(data)
        if data:
            self._push(data)
        if not self._left:
            self.complete = True

    def _feed(self, data: bytes) -> None:
        if self.complete:
            self.reusable = False  # bytes that nobody asked for
            return
        try:
            self._h11.receive_data(data)
            self._events()
        except h11.RemoteProtocolError as error:
            self.reusable = False
            self._failure = BadAnswer(f"the store's answer is not HTTP: {_plain(error)}")

    def _events(self) -> None:
        while self._left is None:
            event = self._h11.next_event()
            if isinstance(event, h11.Response):
                self._got_head(event)
            elif isinstance(event, h11.Data):
                self._push(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self.complete = True
                return
            elif isinstance(event, h11.InformationalResponse):
                self._go_on = self._go_on or event.status_code == 100
                self._informational += 1
                if self._informational > _MOST_INFORMATIONAL:  # each would count as a sign of life
                    raise h11.RemoteProtocolError("nothing but informational answers")
            else:  # NEED_DATA, PAUSED, ConnectionClosed
                return

    def _got_head(self, head: h11.Response) -> None:
        self.head = head
        fields = dict(head.headers)
        if head.http_version < b"1.1" or b"close" in fields.get(b"connection", b"").lower():
            self.reusable = False
        bodiless = self._method == "HEAD" or head.status_code in _NO_BODY
        if b"transfer-encoding" in fields or b"content-length" not in fields or bodiless:
            return
        self._left = int(fields[b"content-length"])
        rest, _ = self._h11.trailing_data
        # h11 buffers the body's first bytes that came with the head
        self._take_raw(rest)

    def _push(self, data: bytes) -> None:
        if len(data) <= CHUNK:
            self._pieces.append(data)
        else:  # TLS hands over what several records held in one
            self._pieces.extend(data[at : at + CHUNK] for at in range(0, len(data), CHUNK))
        self._buffered += len(data)
        if self._buffered > _MOST_AHEAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    # what the client calls

    async def send(self, method: str, target: str, headers: Headers, body: Body, length: int | None) -> None:
        """Sends a request and waits for the head of its answer; stops sending when the answer comes early.

        Raises Unavailable when the connection breaks, TimeoutError on silence, and what `body` raises.
        """
        self._begin(method)
        self._read_on()
        framed = list(headers)
        if isinstance(body, bytes):
            length = len(body)
        if body is not None:
            framed.append(
                (b"transfer-encoding", b"chunked")
                if length is None
                else (b"content-length", str(length).encode())
            )
        elif method in ("POST", "PUT"):
            framed.append((b"content-length", b"0"))
        request = h11.Request(method=method, target=target, headers=framed)
        first = self._h11.send(request) or b""
        if isinstance(body, bytes):
            self._write([first, *self._framed(h11.Data(data=body)), *self._framed(h11.EndOfMessage())])
        elif body is None:
            self._write([first, *self._framed(h11.EndOfMessage())])
        else:
            self._write([first])
            if (b"expect", b"100-continue") in framed:
                await self._wait_for_go()
            await self._send_body(body)
        while self.head is None:
            self._check()
            await self._wait()

    async def _wait_for_go(self) -> None:
        """Until the server wants the body, refuses it, or seems not to know of asking (RFC 9110, 10.1.1)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CONTINUE_WITHIN):
                while not self._go_on and self.head is None:
                    self._check()
                    await self._wait()
        self.reusable = self.reusable and self.head is None

    async def _send_body(self, body: AsyncIterator[bytes]) -> None:
        if self.head is not None:
            return
        async with aclosing(_marked(body)) as pieces:
            async for piece in pieces:
                self._write(self._framed(h11.Data(data=piece)))
                while not self._writable and self.head is None:
                    self._check()
                    await self._wait()
                if self.head is not None:  # an early answer: whatever it says, the rest is not wanted
                    self.reusable = False
                    return
                self._check()
        self._write(self._framed(h11.EndOfMessage()))

    def _framed(self, event: h11.Data | h11.EndOfMessage) -> list[bytes]:
        try:
            return list(self._h11.send_with_data_passthrough(event) or ())
        except h11.LocalProtocolError as error:
            self.reusable = False
            raise Unavailable("the content has another length than was declared") from error

    async def next_piece(self) -> bytes | None:
        """Some of the body; None at its end. Raises as `send` does, and BadAnswer for broken framing."""
        while not self._pieces:
            if self.complete:
                self._read_on()
                return None
            self._check()
            self._read_on()
            await self._wait()
        piece = self._pieces.popleft()
        self._buffered -= len(piece)
        return piece

    def _read_on(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def abort(self) -> None:
        """Gives the connection up at once."""
        self.reusable = False
        self._pieces.clear()
        self._buffered = 0
        if self._transport is not None:
            self._transport.abort()

    def _write(self, pieces: list[bytes]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(pieces)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._lost is not None:
            broke = Unavailable("the connection to the store broke")
            raise refused_certificate(self._lost) or broke from self._lost

    async def _wait(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(self._idle_timeout):
            await self._wake

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def _plain(error: h11.RemoteProtocolError) -> str:
    """What is wrong, without what the store sent, which h11 quotes: it may be our credential, echoed."""
    words = _WORDS.match(str(error))
    return words[0].strip() if words else ""


async def _marked(body: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    try:
        async for piece in body:
            yield piece
    except Exception as error:
        raise BodyFailed from error
