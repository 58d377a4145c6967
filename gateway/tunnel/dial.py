"""The two dialers that connectors get: straight from this machine, or through a private network's tunnel.

Both turn what went wrong into the interface's errors here, in words without an address.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from connect_agent.tunnel import RelayEnd
from connectors.http1.errors import refused_certificate
from connectors.interface import BadAnswer, TimedOut, Unavailable, UntrustedHost

if TYPE_CHECKING:
    from gateway.tunnel.hub import Hub

_BUFFER = 1024 * 1024
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
_OTHER_NAME = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH

REFUSED = "the store's host refused the connection: is the port right, and is the store running?"
UNKNOWN_NAME = "the store's host name does not resolve"
UNREACHABLE = "there is no route to the store's host"
SILENT = "the store's host did not answer in time"


class DirectDialer:
    """Reaches stores from the gateway's own machine. Satisfies `connectors.interface.Dialer`."""

    def __init__(self, timeout: float = 10.0) -> None:
        self._timeout = timeout

    async def connect[P: asyncio.BaseProtocol](
        self,
        factory: Callable[[], P],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> tuple[asyncio.Transport, P]:
        """A connected transport and its protocol; see the interface."""
        sock = await self.open_socket(host, port)
        with store_errors():
            return await over(sock, factory, tls, server_hostname or host, self._timeout)

    async def open_socket(self, host: str, port: int) -> socket.socket:
        """A connected, non-blocking socket; the host's addresses are tried in turn within one deadline."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        with store_errors():
            async with asyncio.timeout_at(deadline):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            places = [(family, address) for family, *_, address in found]
            return await first_connected(places, deadline - loop.time())


class NetworkDialer:
    """Reaches stores inside one private network, through its agents. Satisfies `Dialer` as well.

    Args:
        hub: where the agents are.
        network: the network.
        handshake_timeout: seconds that a store may take for TLS.
        on_leave: called when an agent leaves that connections of this dialer run through.
    """

    def __init__(
        self,
        hub: "Hub",
        network: int,
        *,
        handshake_timeout: float = 15.0,
        on_leave: Callable[[], None] | None = None,
    ) -> None:
        self._hub = hub
        self._network = network
        self._handshake_timeout = handshake_timeout
        self._on_leave = on_leave

    def agent_leaves(self) -> None:
        """Passes on what the hub says."""
        if self._on_leave is not None:
            self._on_leave()

    async def connect[P: asyncio.BaseProtocol](
        self,
        factory: Callable[[], P],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> tuple[asyncio.Transport, P]:
        """A transport and its protocol; with `tls` the agent sees only what is encrypted for the store.

        Without TLS it is the stream's own transport, no copy more than needed. TLS runs on a socket pair,
        since uvloop has TLS for its own transports only.
        """
        if tls is None:
            return await self._hub.dial(self._network, factory, host, port, rider=self)
        sock = await self.open_socket(host, port)
        with store_errors():
            return await over(sock, factory, tls, server_hostname or host, self._handshake_timeout)

    async def open_socket(self, host: str, port: int) -> socket.socket:
        """One end of a socket pair whose other end is relayed to the stream, with back-pressure."""
        _, end = await self._hub.dial(self._network, RelayEnd, host, port, rider=self)
        return await relayed(end)


async def relayed(end: RelayEnd, other_end: Callable[[RelayEnd], RelayEnd] = RelayEnd) -> socket.socket:
    """One end of a socket pair; its other end and the connected one given are relayed to each other."""
    ours, theirs = socket.socketpair()
    try:
        for sock in (ours, theirs):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        end.peer = other = other_end(end)
        await asyncio.get_running_loop().create_unix_connection(lambda: other, sock=theirs)
    except BaseException:
        end.transport.abort()
        ours.close()
        theirs.close()
        raise
    end.begin()
    return ours


@contextmanager
def store_errors() -> Iterator[None]:
    """The only place where socket and TLS errors become connector errors; none has an address."""
    try:
        yield
    except TimeoutError as error:
        raise TimedOut(SILENT) from error
    except ssl.SSLCertVerificationError as error:
        why = "it is for another name" if error.verify_code in _OTHER_NAME else error.verify_message
        raise UntrustedHost(f"the store's certificate is not trusted: {why}") from error
    except ssl.SSLError as error:
        broken = BadAnswer("the store does not speak TLS as it should: is the port right?")
        raise refused_certificate(error) or broken from error
    except (socket.gaierror, UnicodeError) as error:
        raise Unavailable(UNKNOWN_NAME) from error
    except ConnectionRefusedError as error:
        raise Unavailable(REFUSED) from error
    except OSError as error:
        if error.errno in _UNREACHABLE:
            raise Unavailable(UNREACHABLE) from error
        why = os.strerror(error.errno).lower() if error.errno else "the connection broke"
        raise Unavailable(f"the store can't be reached: {why}") from error


async def first_connected(places: Sequence[tuple[int, object]], within: float) -> socket.socket:
    """A non-blocking socket, connected to the first that takes it of the places (address family, address).

    Each has its share of the time for them all: where IPv6 leads nowhere, a host's IPv4 is still reached.
    Raises OSError, of the first that failed.
    """
    failure: OSError | None = None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    for left, (family, address) in zip(range(len(places), 0, -1), places, strict=True):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout((deadline - loop.time()) / left):
                await loop.sock_connect(sock, address)  # type: ignore[arg-type]  # as the resolver gave it
        except OSError as error:  # TimeoutError, too
            sock.close()
            failure = failure or error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or socket.gaierror(socket.EAI_NONAME, "no address")


async def over[P: asyncio.BaseProtocol](
    sock: socket.socket,
    factory: Callable[[], P],
    tls: ssl.SSLContext | None,
    server_hostname: str,
    handshake_timeout: float,
) -> tuple[asyncio.Transport, P]:
    """A transport over the connected socket, after the TLS handshake if there is one; owns the socket."""
    loop = asyncio.get_running_loop()
    name = None if tls is None else server_hostname
    async with asyncio.timeout(handshake_timeout):
        if sock.family == socket.AF_UNIX:
            return await loop.create_unix_connection(factory, sock=sock, ssl=tls, server_hostname=name)
        return await loop.create_connection(factory, sock=sock, ssl=tls, server_hostname=name)
