"""HTTP clients of the places where an open account's store is, over the account's dialer."""

import asyncio
import ssl
from collections.abc import Callable

from connectors.http1 import Client, Connection
from connectors.interface import Dialer, Origin

_MOST_CONNECTIONS = 64  # an account and origin; who comes then waits, as at the connector itself


class Senders:
    """Each client is made at its first request, and kept as long as the account is open."""

    def __init__(self, dialer: Dialer, idle_timeout: float) -> None:
        self._dialer = dialer
        self._idle_timeout = idle_timeout
        self._clients: dict[Origin, Client] = {}

    async def to(self, origin: Origin) -> Client:
        """The client of an origin."""
        if (found := self._clients.get(origin)) is not None:
            return found
        tls = None
        if origin.scheme == "https":  # parsing the machine's certificates takes some time
            tls = await asyncio.to_thread(ssl.create_default_context, cadata=origin.ca)

        async def connect(factory: Callable[[], Connection]) -> tuple[asyncio.Transport, Connection]:
            dial = self._dialer.connect
            return await dial(factory, origin.host, origin.port, tls=tls, server_hostname=origin.host)

        client = Client(
            connect,
            host=origin.authority,
            max_connections=_MOST_CONNECTIONS,
            idle_timeout=self._idle_timeout,
        )
        return self._clients.setdefault(origin, client)

    async def aclose(self) -> None:
        """Closes every connection; running requests fail with Unavailable."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()
