"""The HTTP server of the api: uvicorn on httptools, with what it lacks: a bounded head, in bounded time."""

import asyncio
import logging
import secrets
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.api import errors
from gateway.api.connect import MOST_BYTES
from gateway.settings import Settings

LARGEST_HEAD: Final = 64 * 1024
HEAD_TIMEOUT: Final = 30.0
_WRITE_BUFFER = 64 * 1024


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol. A head is read within 30 seconds and 64 KiB, else 408 or 431; errors are JSON.

    Write buffers are wide enough for a piece of content while the next one is on its way.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False  # its lines hold the query; ours are in `middleware`
        self._in_head = True
        self._head_size = 0
        self._fields = 0
        self.url = b""
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrower type
        """Bounds what a slow client makes us hold, and starts the clock."""
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_TIMEOUT, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop_clock()
        super().connection_lost(exc)

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

    def on_message_complete(self) -> None:
        """What follows is another head."""
        self._in_head, self._head_size = True, 0
        super().on_message_complete()

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


class HeadTooLarge(Exception):
    """The head is in, and larger than we take."""


def server(app: ASGIApp, settings: Settings) -> uvicorn.Server:
    """The server, ready to `serve`."""
    # its lines about websockets hold the query, which may hold anything
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
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
    return uvicorn.Server(config)
