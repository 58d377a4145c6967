"""How a connector reaches its store: it states the dialer that it wants, the gateway provides it."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Protocol


class Dialer(Protocol):
    """Opens byte streams to a host and port: directly, or through a private network's tunnel.

    Every method raises `Unavailable` (refused, no route, unknown name, not on the allow-list; the message
    says which without an address), `NetworkUnavailable` (no agent connected) or `TimedOut`.
    """

    async def connect[P: asyncio.BaseProtocol](
        self,
        factory: Callable[[], P],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> tuple[asyncio.Transport, P]:
        """A connected transport and its protocol; with `tls`, after the handshake with the store."""
        ...

    async def open_socket(self, host: str, port: int) -> socket.socket:
        """A connected, non-blocking socket, for libraries that take only that. The caller closes it."""
        ...
