"""Where requests go: one scheme, host and port, dialled through the account's dialer."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from connectors.http1 import Client, Connection
from connectors.interface import Context

_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Origin:
    """One web server. `authority` is the Host header: the port only where it is not the scheme's own."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        """Of an http or https URL."""
        parts = urlsplit(url)
        return cls(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])

    @property
    def authority(self) -> str:
        """The host, and the port where it has to be said."""
        named = f"[{self.host}]" if ":" in self.host else self.host
        return named if self.port == _PORTS[self.scheme] else f"{named}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    def client(self, context: Context, tls: ssl.SSLContext, *, max_connections: int) -> Client:
        """A client of it; the first request connects."""
        used = tls if self.scheme == "https" else None

        async def connect(factory: Callable[[], Connection]) -> tuple[asyncio.Transport, Connection]:
            dial = context.dialer.connect
            return await dial(factory, self.host, self.port, tls=used, server_hostname=self.host)

        return Client(
            connect,
            host=self.authority,
            max_connections=max_connections,
            idle_timeout=context.idle_timeout,
        )
