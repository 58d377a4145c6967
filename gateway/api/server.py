"""The HTTP server of the api: uvicorn on httptools, with what it lacks: a bounded head, in bounded time."""

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.api import errors
from gateway.api.connect import MOST_BYTES
from gateway.api.middleware import LEFT
from gateway.api.together import Together
from gateway.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_HEAD: Final = 64 * 1024
HEAD_TIMEOUT: Final = 30.0
_LINGER = 30.0  # seconds that a body is still taken after its answer, and thrown away
_WRITE_BUFFER = 64 * 1024


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol. A head is read within 30 seconds and 64 KiB, else 408 or 431; errors are JSON.

    Write buffers are wide enough for a piece of content while the next one is on its way.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False  # its lines hold the query; ours are in `middleware`
        self._in_head = True
        self._in_body = False
        self._head_size = 0
        self._fields = 0
        self.url = b""
        self._deadline: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrower type
        """Bounds what a slow client makes us hold, and starts the clock."""
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_TIMEOUT, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clocks; tells the request that is being answered, if it is whole.

        One that is not learns of it as it reads.
        """
        self._stop_clock()
        self._stop_lingering()
        super().connection_lost(exc)
        if self.cycle is not None and self.cycle.disconnected and not self.cycle.more_body:
            told: Callable[[], None] = self.cycle.scope.get(LEFT, _nobody)  # type: ignore[assignment]  # not ASGI's key
            told()

    def data_received(self, data: bytes) -> None:
        """Counts what belongs to a head."""
        if self._in_head:
            self._head_size += len(data)
            if self._deadline is None:
                self._deadline = self.loop.call_later(HEAD_TIMEOUT, self._too_slow)
        super().data_received(data)
        if self._in_head and self._head_size > LARGEST_HEAD and not self.transport.is_closing():
            self._refuse(431, "too_large", "the request's head is larger than 64 KiB")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._fields = 0
        self._in_body = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts the fields of a head that came in one piece."""
        self._fields += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is in."""
        self._stop_clock()
        self._in_head = False
        if self._fields + len(self.url) > LARGEST_HEAD:
            raise HeadTooLarge
        super().on_headers_complete()
        if self.cycle is not None:  # there is none for a websocket
            self.cycle.transport = Softly(self)  # type: ignore[assignment]  # what a cycle uses of one

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._in_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """What follows is another head, unless the answer was the last."""
        self._in_head, self._head_size = True, 0
        super().on_message_complete()
        if self._stop_lingering() and not self.cycle.keep_alive:
            self.transport.close()

    def on_response_complete(self) -> None:
        """An answer that came before the request's end: the rest is thrown away, for a while."""
        super().on_response_complete()
        if self.cycle.more_body and not self.transport.is_closing():
            self._linger()

    def close_softly(self) -> None:
        """Closes; a client that is still sending would lose the answer to a reset (RFC 9112, 9.6)."""
        if not self.cycle.more_body:
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger()

    def _linger(self) -> None:
        if self.expect_100_continue and not self._in_body:  # it sends nothing before it is told to
            self.transport.close()
        elif self._lingering is None:
            self._lingering = self.loop.call_later(_LINGER, self.transport.close)

    def _stop_lingering(self) -> bool:
        """Whether there was something to stop."""
        was, self._lingering = self._lingering, None
        if was is not None:
            was.cancel()
        return was is not None

    def send_400_response(self, msg: str) -> None:
        """What the parser did not take, in the shape of our errors."""
        if self._fields + len(self.url) > LARGEST_HEAD:
            self._refuse(431, "too_large", "the request's head is larger than 64 KiB")
        else:
            self._refuse(400, "bad_request", "this is no HTTP request, or its length is given twice")

    def _too_slow(self) -> None:
        self._deadline = None
        answering = self.cycle is not None and not self.cycle.response_complete
        if self._in_head and not answering and not self.transport.is_closing():
            self._refuse(408, "timeout", "the request's head did not come in time")

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, code: str, message: str) -> None:
        request_id = secrets.token_hex(16)
        body = errors.encoded(status, code, message, request_id)
        head = (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()


def _nobody() -> None:
    """What is told of a client's leaving when its request is answered."""


class Softly(Together):
    """The transport as an exchange sees it: closing it leaves the client time to read the answer."""

    def __init__(self, protocol: Protocol) -> None:
        super().__init__(protocol.transport)
        self._protocol = protocol

    def close(self) -> None:
        """Closes it, once the client has sent what it is still sending."""
        self.flush()
        self._protocol.close_softly()


class HeadTooLarge(Exception):
    """The head is in, and larger than we take."""


def server(app: ASGIApp, settings: Settings) -> uvicorn.Server:
    """A server by itself, ready to `serve`."""
    return uvicorn.Server(configured(app, settings))


def configured(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """What a server is made of."""
    # its lines about websockets hold the query, which may hold anything
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Protocol,
        ws="websockets-sansio",
        ws_max_size=MOST_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.drain_timeout),
        backlog=2048,
    )
