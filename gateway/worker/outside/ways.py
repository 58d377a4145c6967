"""The native proxy's connections to stores: opened here, where each address is checked, and given away.

A socket goes to the proxy as it is where it can (unix(7), SCM_RIGHTS): then nothing of ours is in between.
In a private network the agent's allow-list decides instead of the address.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from connectors.interface import NotPermitted
from gateway.access.pass_through import is_listed
from gateway.settings import Settings
from gateway.tunnel import NetworkDialer
from gateway.tunnel.dial import over, relayed, store_errors
from gateway.worker.outside.addresses import Address
from gateway.worker.outside.reach import by_system, connected, permitted
from gateway.worker.outside.secure import ProxyEnd, SecureEnd

if TYPE_CHECKING:
    from gateway.tunnel import Hub

_DIAL_TIMEOUT: Final = 15.0


@dataclass(frozen=True, slots=True)
class Way:
    """Where a connection is to lead: host and port, in a private network or (None) from here.

    TLS is ours where it takes a key that the proxy must not have; None is as it is.
    """

    network: int | None
    host: str
    port: int
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection for another process.

    Attributes:
        sock: it is not read or written here.
        agent_left: set when the agent takes no more, or is gone; None where it leads through none.
        dialer: kept for that: the hub does not keep it alive.
    """

    sock: socket.socket
    agent_left: asyncio.Event | None = None
    dialer: NetworkDialer | None = None


class Ways:
    """Opens them."""

    def __init__(self, settings: Settings, hub: "Hub") -> None:
        self._allowed = settings.proxy_private
        self._passed = settings.proxy_pass
        self._hub = hub

    def past(self, host: str, port: int) -> Way:
        """The way to a host that is no account's. Raises NotPermitted when `proxy_pass` does not list it."""
        if not is_listed(self._passed, host, port):
            raise NotPermitted("this host is not one that proxy_pass lists")
        return Way(None, host, port)

    async def require_permitted(self, way: Way) -> None:
        """Raises NotPermitted when a host that is reached from here has an address where we don't go."""
        with store_errors():
            async with asyncio.timeout(_DIAL_TIMEOUT):
                await self._addresses(way.host, way.port)

    async def opened(self, way: Way) -> Opened:
        """A connection that leads there.

        Raises NotPermitted for an address where we don't go, and what dialers raise.
        """
        if way.network is not None:
            left = asyncio.Event()
            dialer = NetworkDialer(self._hub, way.network, on_leave=left.set)
            sock = await dialer.open_socket(way.host, way.port)
            return Opened(await _secured(sock, way), left, dialer)
        with store_errors():
            async with asyncio.timeout(_DIAL_TIMEOUT):
                found = await self._addresses(way.host, way.port)
            sock = await connected(found, way.port, _DIAL_TIMEOUT)
        return Opened(await _secured(sock, way))

    async def _addresses(self, host: str, port: int) -> Sequence[Address]:
        """Where the host is. Raises NotPermitted unless we go to each of its addresses."""
        found = await by_system(host, port)
        if not found or not all(permitted(address, self._allowed) for address in found):
            raise NotPermitted("the store's host has an address that the proxy does not go to")
        return found


async def _secured(sock: socket.socket, way: Way) -> socket.socket:
    """The socket itself, or one whose bytes we carry over it in TLS."""
    if way.tls is None:
        return sock
    with store_errors():
        _, end = await over(sock, SecureEnd, way.tls, way.host, _DIAL_TIMEOUT)
    return await relayed(end, ProxyEnd)
