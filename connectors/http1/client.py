"""A small streaming HTTP/1.1 client for one origin, with a bounded pool of connections."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from connectors.http1.connection import Body, BodyFailed, Connection, Headers
from connectors.http1.errors import store_errors
from connectors.interface import BadAnswer, Chunks, Held, Throttled, Unavailable

_FRESH_ENOUGH = 2.0  # seconds idle after which a server may be closing a connection just now
_SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND"})


class Connect(Protocol):
    """Opens a byte stream to the origin: TCP, TLS, a Unix socket or a tunnel."""

    async def __call__(self, factory: Callable[[], Connection]) -> tuple[asyncio.Transport, Connection]:
        """A connected transport and its protocol."""
        ...


class Response:
    """An answer whose body has not been read. Read it to its end, or `aclose` it: always one of the two."""

    def __init__(self, client: "Client", connection: Connection) -> None:
        head = connection.head
        assert head is not None  # noqa: S101  `send` returned
        self.status: int = head.status_code
        self.headers: list[tuple[bytes, bytes]] = list(head.headers)
        self._client = client
        self._connection: Connection | None = connection

    def header(self, name: bytes) -> str | None:
        """The first value of a header (lower-case name), or None."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    def chunks(self) -> Chunks:
        """The body in pieces of 1 B to 256 KiB. Closing it early gives the connection up at once.

        While it is read: Unavailable when it breaks before its declared end, TimedOut, BadAnswer.
        """
        return Held(self._pieces(), self.aclose)

    async def _pieces(self) -> AsyncGenerator[bytes]:
        connection = self._connection
        if connection is None:
            return
        try:
            with store_errors():
                while (piece := await connection.next_piece()) is not None:
                    yield piece
        finally:
            await self.aclose()

    async def read(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes, else BadAnswer: for answers that are no content."""
        pieces, size = [], 0
        async for piece in self.chunks():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise BadAnswer("the store's answer is larger than any should be")
        return b"".join(pieces)

    async def aclose(self) -> None:
        """Gives the connection back when the body was read, else closes it. May be called again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._client.release(connection)


class Client:
    """Requests to one origin.

    Args:
        connect: opens a byte stream to it.
        host: the Host header.
        max_connections: more requests than this wait for a free connection.
        idle_timeout: seconds that the other side may be silent; None for ever.
    """

    def __init__(
        self, connect: Connect, *, host: str, max_connections: int = 16, idle_timeout: float | None = 60.0
    ) -> None:
        self._connect = connect
        self._host = host.encode()
        self._idle_timeout = idle_timeout
        self._free: list[tuple[Connection, float]] = []
        self._busy: set[Connection] = set()
        self._given_up = 0  # how often those that stood were
        self._places = asyncio.Semaphore(max_connections)

    async def request(
        self, method: str, target: str, headers: Headers = (), *, body: Body = None, length: int | None = None
    ) -> Response:
        """The answer's head; its body follows by `Response.chunks`.

        Args:
            method: as it is sent.
            target: path and query, percent-encoded.
            headers: without Host and the body's framing. With `expect: 100-continue` pieces are sent only
                once the server asks for them, or says nothing for two seconds.
            body: bytes, or pieces; None for no body.
            length: of the pieces, when known; else they are sent chunked.

        Raises:
            Unavailable, TimedOut, BadAnswer, UntrustedHost; Throttled (no connection became free); what
            `body` raises.
        """
        framed = [(b"host", self._host), *headers]
        await self._place()
        connection = None
        try:
            repeatable = method in _SAFE_TO_REPEAT and (body is None or isinstance(body, bytes))
            connection, fresh = await self._connection(None if repeatable else _FRESH_ENOUGH)
            try:
                with store_errors():
                    await connection.send(method, target, framed, body, length)
            except Unavailable:
                if fresh or not repeatable:
                    raise
                self._drop(connection)  # it had died while it lay idle
                connection = await self._open()
                with store_errors():
                    await connection.send(method, target, framed, body, length)
        except BaseException as error:
            if connection is not None:
                self._drop(connection)
            self._places.release()
            if isinstance(error, BodyFailed) and error.__cause__ is not None:
                raise error.__cause__ from None
            raise
        return Response(self, connection)

    def release(self, connection: Connection) -> None:
        """Takes a connection back after its response: kept when it can be used again, else closed."""
        self._places.release()
        if connection.complete and connection.reusable and not connection.closed:
            self._busy.discard(connection)
            self._free.append((connection, time.monotonic()))
        else:
            self._drop(connection)

    def dial_anew(self) -> None:
        """Gives up the connections that stand: idle ones at once, others when their request has ended."""
        for connection, _ in self._free:
            connection.abort()
        self._free.clear()
        for connection in self._busy:
            connection.reusable = False
        self._given_up += 1

    async def aclose(self) -> None:
        """Closes every connection; running requests fail with Unavailable."""
        for connection in [*(free for free, _ in self._free), *self._busy]:
            connection.abort()
        self._free.clear()
        self._busy.clear()

    async def _place(self) -> None:
        try:
            async with asyncio.timeout(self._idle_timeout):
                await self._places.acquire()
        except TimeoutError:
            raise Throttled("too many transfers run on this account", retry_after=5) from None

    async def _connection(self, most_idle: float | None) -> tuple[Connection, bool]:
        """One that lies idle, for at most that many seconds, or a new one; and whether it is new."""
        now = time.monotonic()
        while self._free:
            connection, since = self._free.pop()
            young = most_idle is None or now - since <= most_idle
            if young and not connection.closed and connection.reusable:
                self._busy.add(connection)
                return connection, False
            connection.abort()
        return await self._open(), True

    async def _open(self) -> Connection:
        before = self._given_up
        with store_errors():
            _, connection = await self._connect(lambda: Connection(self._idle_timeout))
        if before != self._given_up:  # it may be through the agent that left meanwhile
            connection.reusable = False
        self._busy.add(connection)
        return connection

    def _drop(self, connection: Connection) -> None:
        self._busy.discard(connection)
        connection.abort()
