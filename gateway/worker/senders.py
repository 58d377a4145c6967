"""TLS and HTTP clients of the places where an open account's store is, over the account's dialer."""

import asyncio
import ssl
from collections.abc import Callable
from functools import lru_cache

from connectors.http1 import Client, Connection
from connectors.http1.secure import tls_context
from connectors.interface import Dialer, Identity, Origin

_MOST_CONNECTIONS = 64  # an account and origin; who comes then waits, as at the connector itself


class Senders:
    """Each client is made at its first request, and kept as long as the account is open.

    Args:
        dialer: reaches the store.
        idle_timeout: seconds that it may be silent.
        identity: what the account shows to a store that asks for a client certificate.
    """

    def __init__(self, dialer: Dialer, idle_timeout: float, identity: Identity | None = None) -> None:
        self._dialer = dialer
        self._idle_timeout = idle_timeout
        self._clients: dict[Origin, Client] = {}
        self._identity = identity
        self._identified: dict[str | None, ssl.SSLContext] = {}

    @property
    def shows_certificate(self) -> bool:
        """Whether TLS with the store takes a key that only the worker has."""
        return self._identity is not None

    async def proxied_tls(self, origin: Origin) -> ssl.SSLContext:
        """How TLS is spoken for the native proxy: as strictly as by it, and with the client certificate."""
        if self._identity is None:
            return await asyncio.to_thread(_shared, origin.ca)
        if (found := self._identified.get(origin.ca)) is None:
            made = await asyncio.to_thread(_strict, origin.ca, self._identity)
            found = self._identified.setdefault(origin.ca, made)
        return found

    async def to(self, origin: Origin) -> Client:
        """The client of an origin."""
        if (found := self._clients.get(origin)) is not None:
            return found
        tls = None
        if origin.scheme == "https":  # parsing the machine's certificates takes some time
            tls = await asyncio.to_thread(tls_context, origin.ca, self._identity)

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

    def dial_anew(self) -> None:
        """Gives up the connections that stand, each when nothing runs on it."""
        for client in self._clients.values():
            client.dial_anew()

    async def aclose(self) -> None:
        """Closes every connection; running requests fail with Unavailable."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()


@lru_cache(256)
def _shared(ca: str | None) -> ssl.SSLContext:
    """One for all accounts that trust the same: a machine's list is large."""
    return _strict(ca, None)


def _strict(ca: str | None, identity: Identity | None) -> ssl.SSLContext:
    """No common names (RFC 9525, 2), as the proxy has it; and the one protocol that it speaks inside."""
    made = tls_context(ca, identity)
    made.hostname_checks_common_name = False
    made.set_alpn_protocols(["http/1.1"])
    return made
