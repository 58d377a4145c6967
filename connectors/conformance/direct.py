"""A dialer for tests of connectors: straight to the store, no gateway needed."""

import asyncio
import socket
import ssl
from collections.abc import Callable

from connectors.interface import TimedOut, Unavailable

_WITHIN = 10.0


class Direct:
    """Satisfies `Dialer` from this machine."""

    async def connect[P: asyncio.BaseProtocol](
        self,
        factory: Callable[[], P],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> tuple[asyncio.Transport, P]:
        """A connected transport and its protocol."""
        sock = await self.open_socket(host, port)
        name = (server_hostname or host) if tls is not None else None
        loop = asyncio.get_running_loop()
        return await loop.create_connection(factory, sock=sock, ssl=tls, server_hostname=name)

    async def open_socket(self, host: str, port: int) -> socket.socket:
        """A connected, non-blocking socket."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_WITHIN):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                family, kind, protocol, _, address = found[0]
                sock = socket.socket(family, kind, protocol)
                sock.setblocking(False)
                try:
                    await loop.sock_connect(sock, address)
                except BaseException:
                    sock.close()
                    raise
                return sock
        except TimeoutError:
            raise TimedOut("the store's host did not answer in time") from None
        except OSError as error:
            raise Unavailable("the store can't be reached") from error
