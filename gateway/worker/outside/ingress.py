"""Where the native proxy gets its streams to stores: HTTP CONNECT on a loopback port, for tickets alone.

mitmproxy dials TCP and nothing else, so this is a port and not a Unix socket. Nobody else on the machine can
use it: a ticket comes over the worker's Unix socket, is good for one connection to one place within seconds,
and its place was found to be one of the account's origins when it was issued. So the proxy's process has no
use for a way out of its own, and the address that is really connected to is checked here, once, for public
stores; in a private network the agent's allow-list decides.
"""

import asyncio
import logging
import secrets
import ssl
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

import h11

from connect_agent.tunnel import RelayEnd
from connectors.interface import NetworkUnavailable, NotPermitted, StoreError, TimedOut, Unavailable
from gateway.access.pass_through import is_listed
from gateway.settings import Settings
from gateway.tunnel import NetworkDialer
from gateway.tunnel.dial import store_errors
from gateway.worker.outside.addresses import Address
from gateway.worker.outside.reach import by_system, connected, permitted

if TYPE_CHECKING:
    from gateway.tunnel import Hub

_log = logging.getLogger(__name__)
_TICKET_LIVES: Final = 15.0
_MOST_TICKETS = 10_000
_LARGEST_HEAD = 8 * 1024
_HEAD_TIMEOUT = 5.0
_DIAL_TIMEOUT = 15.0
_WRITE_BUFFER = 64 * 1024
_STATUS: dict[type[StoreError], int] = {
    NotPermitted: 403,
    NetworkUnavailable: 503,
    TimedOut: 504,
    Unavailable: 502,
}


@dataclass(frozen=True, slots=True)
class Way:
    """Where one ticket leads: host and port, in a private network or (None) from here; with TLS or as it is.

    TLS is ours where it takes a key that the proxy must not have.
    """

    network: int | None
    host: str
    port: int
    tls: ssl.SSLContext | None
    until: float


class Ingress:
    """The port and its tickets."""

    def __init__(self, settings: Settings, hub: "Hub") -> None:
        self._allowed = settings.proxy_private
        self._passed = settings.proxy_pass
        self._hub = hub
        self._ways: OrderedDict[str, Way] = OrderedDict()
        self._dials: asyncio.TaskGroup | None = None
        self.port: int | None = None

    def ticket(self, network: int | None, host: str, port: int, tls: ssl.SSLContext | None = None) -> str:
        """A ticket for one connection there, within 15 seconds."""
        made = secrets.token_urlsafe(32)
        self._ways[made] = Way(network, host, port, tls, time.monotonic() + _TICKET_LIVES)
        while len(self._ways) > _MOST_TICKETS:
            self._ways.popitem(last=False)
        return made

    async def passing_ticket(self, host: str, port: int) -> str:
        """A ticket to a host that is no account's, from here.

        Raises NotPermitted when the setting does not list it, or an address of it is none where we go.
        """
        if not is_listed(self._passed, host, port):
            raise NotPermitted("this host is not one that proxy_pass lists")
        with store_errors():
            async with asyncio.timeout(_DIAL_TIMEOUT):
                await self._addresses(host, port)
        return self.ticket(None, host, port)

    async def run(self) -> None:
        """Listens on a free port of the loopback until cancelled."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Asking(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            async with asyncio.TaskGroup() as self._dials:
                await asyncio.Event().wait()
        finally:
            server.close()

    def take(self, ticket: str, authority: str) -> Way:
        """The ticket's way, which no longer exists. Raises NotPermitted."""
        way = self._ways.pop(ticket, None)
        if way is None or way.until < time.monotonic():
            raise NotPermitted("no such ticket")
        if authority != f"{way.host}:{way.port}":
            raise NotPermitted("the ticket is for another place")
        return way

    def answer(self, asking: "Asking", ticket: str, authority: str) -> None:
        """Dials for what was asked, as a task of ours."""
        if self._dials is None:
            asking.refuse(503, "the worker is stopping")
        else:
            self._dials.create_task(self._answer(asking, ticket, authority), name="dial for the proxy")

    async def _answer(self, asking: "Asking", ticket: str, authority: str) -> None:
        try:
            end = await self._dial(self.take(ticket, authority))
        except StoreError as error:
            status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 502)
            asking.refuse(status, error.message)
        except Exception:  # noqa: BLE001  the root of this task: whatever it was ends this one dial
            _log.exception("a dial for the proxy failed")
            asking.refuse(502, "the gateway failed; its log has the reason")
        else:
            asking.accept(end)

    async def _dial(self, way: Way) -> RelayEnd:
        """A stream there. Raises NotPermitted for an address where we don't go, and what dialers raise."""
        end = RelayEnd if way.tls is None else SecureEnd
        name = None if way.tls is None else way.host
        if way.network is not None:
            dialer = NetworkDialer(self._hub, way.network)
            return (await dialer.connect(end, way.host, way.port, tls=way.tls, server_hostname=name))[1]
        with store_errors():
            async with asyncio.timeout(_DIAL_TIMEOUT):
                sock = await connected(await self._addresses(way.host, way.port), way.port)
                loop = asyncio.get_running_loop()
                _, made = await loop.create_connection(end, sock=sock, ssl=way.tls, server_hostname=name)
        made.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        return made

    async def _addresses(self, host: str, port: int) -> Sequence[Address]:
        """Where the host is. Raises NotPermitted unless we go to each of its addresses."""
        found = await by_system(host, port)
        if not found or not all(permitted(address, self._allowed) for address in found):
            raise NotPermitted("the store's host has an address that the proxy does not go to")
        return found


class SecureEnd(RelayEnd):
    """The end at a store with which we speak TLS. There asyncio has no half close: an end is the end."""

    def eof_received(self) -> bool:
        """Closes, after what came before was passed on."""
        self.ended = True
        return False

    def finish(self) -> None:
        """The proxy is done; it waits for no answer behind its end."""
        self.transport.close()


class Asking(asyncio.Protocol):
    """One connection of the proxy, until it has its stream or is turned away."""

    def __init__(self, ingress: Ingress) -> None:
        self._ingress = ingress
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_HEAD)
        self._asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the clock of the head."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._clock = asyncio.get_running_loop().call_later(_HEAD_TIMEOUT, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Reads the head; nothing may follow it before the answer."""
        self._http.receive_data(data)
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError:
            self.refuse(400, "this takes CONNECT")
            return
        if event is h11.NEED_DATA or self._asked:
            return
        if not isinstance(event, h11.Request) or event.method != b"CONNECT":
            self.refuse(400, "this takes CONNECT")
            return
        self._asked = True
        self._clock.cancel()
        self._transport.pause_reading()
        fields = dict(event.headers)
        scheme, _, ticket = fields.get(b"proxy-authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            self.refuse(407, "this takes a ticket")
            return
        self._ingress.answer(self, ticket, event.target.decode("latin-1"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._clock.cancel()

    def accept(self, end: RelayEnd) -> None:
        """The stream stands: from here on bytes go through."""
        if self._transport.is_closing():
            end.transport.abort()
            return
        ours = RelayEnd(peer=end)
        ours.transport = self._transport
        end.peer = ours
        self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._transport.set_protocol(ours)
        self._transport.resume_reading()
        end.begin()

    def refuse(self, status: int, why: str) -> None:
        """Answers with the reason in the first line, where the proxy reads it, and closes."""
        reason = why.encode("ascii", "replace").replace(b"\r", b" ").replace(b"\n", b" ")
        phrase = reason or HTTPStatus(status).phrase.encode()
        self._transport.write(b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\n\r\n" % (status, phrase))
        self._transport.close()
