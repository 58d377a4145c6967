"""How many clients there may be, for how long one may say nothing, and whose bytes are left unread."""

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, cast

from mitmproxy import ctx
from mitmproxy.connection import Client, Connection
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from gateway.proxy.entrance.connections import Handler
from gateway.proxy.wire.hooks import Reading

if TYPE_CHECKING:
    from mitmproxy.addons.proxyserver import Proxyserver

_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\nisthmus proxy: there are too many connections now\n"
)
_log = logging.getLogger(__name__)


class Doors:
    """The addon. An address may have half of the connections, so that one alone does not shut out the others.

    Args:
        most: connections of clients at a time.
        timeout: seconds from a connection's begin to the end of its first head, TLS to the proxy included;
            behind it connections may be idle as long as any.
    """

    def __init__(self, most: int, timeout: float) -> None:
        self._most, self._timeout = most, timeout
        self._open: Counter[str] = Counter()
        self._clocks: dict[str, asyncio.TimerHandle] = {}

    def client_connected(self, client: Client) -> None:
        """Lets a client in, or tells it that there is no place."""
        address = client.peername[0]
        self._open[address] += 1
        if self._open.total() > self._most or self._open[address] > self._most // 2:
            _log.warning("too many connections: one of %s was refused", address)
            client.error = "too many connections"
            if (handler := _handler(client)) is not None and (
                writer := handler.transports[client].writer
            ) is not None:
                writer.write(_FULL)
            return
        loop = asyncio.get_running_loop()
        self._clocks[client.id] = loop.call_later(self._timeout, self._too_late, client)

    def client_disconnected(self, client: Client) -> None:
        """A place is free again."""
        address = client.peername[0]
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]
        self._has_asked(client)
        _close(client, client)

    def server_disconnected(self, data: ServerConnectionHookData) -> None:
        """A connection to a store has ended."""
        _close(data.client, data.server)

    def http_connect(self, flow: HTTPFlow) -> None:
        """A head came in time."""
        self._has_asked(flow.client_conn)

    def requestheaders(self, flow: HTTPFlow) -> None:
        """A head came in time."""
        self._has_asked(flow.client_conn)

    def reading(self, reading: Reading) -> None:
        """A connection is left unread, or read again; the kernel's buffer then tells its sender to wait."""
        if (handler := _handler(reading.client)) is not None:
            handler.hold(reading.connection, held=reading.held)

    def _has_asked(self, client: Client) -> None:
        if (clock := self._clocks.pop(client.id, None)) is not None:
            clock.cancel()

    def _too_late(self, client: Client) -> None:
        self._clocks.pop(client.id, None)
        handler = _handler(client)
        found = handler.transports.get(client) if handler else None
        if found is not None and found.handler is not None:
            found.handler.cancel("nothing was asked for in time")


def _close(client: Client, connection: Connection) -> None:
    """Closes what mitmproxy left open: it does when it is told to close while it waits for its own lock."""
    handler = _handler(client)
    found = handler.transports.pop(connection, None) if handler else None
    if found is not None and found.writer is not None:
        found.writer.close()


def _handler(client: Client) -> Handler | None:
    proxyserver: Proxyserver = ctx.master.addons.get("proxyserver")  # type: ignore[no-untyped-call]
    found: Any = proxyserver.connections.get(client.id)  # what `given` made
    return cast("Handler | None", found)
