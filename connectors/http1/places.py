"""Clients of places: one scheme, host and port, dialled through the account's dialer."""

import asyncio
import ssl
from collections.abc import Callable

from connectors.http1.client import Client
from connectors.http1.connection import Connection
from connectors.interface import Context, Origin


def client_of(
    origin: Origin, context: Context, tls: ssl.SSLContext | None, *, max_connections: int
) -> Client:
    """A client of the origin; the first request connects. `tls` is used where the scheme is https."""
    used = tls if origin.scheme == "https" else None

    async def connect(factory: Callable[[], Connection]) -> tuple[asyncio.Transport, Connection]:
        dial = context.dialer.connect
        return await dial(factory, origin.host, origin.port, tls=used, server_hostname=origin.host)

    client = Client(
        connect,
        host=origin.authority,
        max_connections=max_connections,
        idle_timeout=context.idle_timeout,
    )
    context.leaving.append(client.dial_anew)
    return client
