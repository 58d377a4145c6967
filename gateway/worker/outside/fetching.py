"""Fetching a URL that a caller names, without lending the caller our place in the network.

The host is resolved once a hop, every address of it is checked, and the connection goes to exactly the one
that was checked, so a name that answers differently the second time gains nothing. A redirect is a new URL,
with all of it anew. What is wrong with a host is never told apart: unknown, private and our own read alike.
"""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from connectors import http1
from connectors.interface import BadAnswer, Chunks, StoreError, TimedOut, Unavailable, UntrustedHost
from gateway.operations.errors import BadUrl, TooLarge
from gateway.settings import Settings
from gateway.worker.outside.addresses import Address
from gateway.worker.outside.reach import Resolve, by_system, connected, permitted

MOST_REDIRECTS: Final = 5
_LONGEST_URL = 8192
_LARGEST_HEAD = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_UNFIT = re.compile(r"[\x00-\x20\x7f\\]")
_RATE_OVER = 30.0  # seconds of waiting after which the server's rate is looked at
_NOWHERE = "url: its host has no address that this gateway fetches from"
_SAID: dict[type[StoreError], str] = {
    TimedOut: "url: its server did not answer in time, or sends too slowly",
    UntrustedHost: "url: the certificate of its server is not trusted",
    BadAnswer: "url: its server's answer is not HTTP as it should be, or its head is too large",
    Unavailable: "url: its server can't be reached, or the connection broke",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a URL gives: its bytes as they were sent (a content coding is left on), how many if known."""

    size: int | None
    chunks: Chunks


@dataclass(frozen=True, slots=True)
class Place:
    """One URL, taken apart and found fit to be asked for."""

    url: str
    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        named = f"[{self.host}]" if ":" in self.host else self.host
        return named if self.port == _PORTS[self.scheme] else f"{named}:{self.port}"


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches by the settings `fetch_*`.

    Attributes:
        resolve: a host's addresses.
        tls: what certificates are checked with.
    """

    settings: Settings
    resolve: Resolve = by_system
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    @asynccontextmanager
    async def open(self, url: str) -> AsyncGenerator[Fetched]:
        """The content of the URL; leaving gives the connection up at once.

        Raises:
            BadUrl: it is malformed, leads where we don't go, redirects too often, or its server has nothing.
            TooLarge: it says that it is more than `fetch_bytes`; while chunks are read: it is.
            TimedOut, Unavailable, UntrustedHost, BadAnswer: its server failed.
        """
        place = self._place(url)
        for _ in range(MOST_REDIRECTS + 1):
            client = self._client(place)
            try:
                response = await self._asked(client, place)
                if response.status in _REDIRECTS:
                    place = self._redirected(place, response.header(b"location"))
                    continue
                _require_content(response)
                size = self._size(response)
                async with aclosing(self._bounded(response)) as chunks:
                    yield Fetched(size, chunks)
                return
            finally:
                await client.aclose()
        raise BadUrl(f"url: it redirects more than {MOST_REDIRECTS} times")

    def _place(self, url: str) -> Place:
        """The parts of the URL. Raises BadUrl for what is no URL, or one that the settings don't allow."""
        if len(url) > _LONGEST_URL or _UNFIT.search(url):
            raise BadUrl(
                f"url: must be at most {_LONGEST_URL} characters, without spaces or control characters"
            )
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except (ValueError, UnicodeError):
            raise BadUrl("url: is malformed") from None
        if parts.scheme not in self.settings.fetch_schemes or not host:
            raise BadUrl(
                f"url: must begin with {' or '.join(f'{s}://' for s in self.settings.fetch_schemes)}"
            )
        if parts.username is not None or parts.password is not None:
            raise BadUrl("url: must not hold a user name or a password")
        if self.settings.fetch_ports and port not in self.settings.fetch_ports:
            allowed = ", ".join(map(str, self.settings.fetch_ports))
            raise BadUrl(f"url: its port is not one that this gateway fetches from ({allowed})")
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        if parts.query:
            target += "?" + quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
        return Place(url, parts.scheme, host, port, target)

    def _redirected(self, place: Place, location: str | None) -> Place:
        """Where a redirect leads, checked like the first URL; never from https to http."""
        if location is None:
            raise BadUrl("url: it redirects to nowhere")
        following = self._place(urljoin(place.url, location))
        if place.scheme == "https" and following.scheme != "https":
            raise BadUrl("url: it redirects from https to http")
        return following

    def _client(self, place: Place) -> http1.Client:
        """A client whose connection goes to an address of the place that was checked."""

        async def connect(
            factory: Callable[[], http1.Connection],
        ) -> tuple[asyncio.Transport, http1.Connection]:
            # half of it: an answer has to come as well
            sock = await connected(await self._addresses(place), place.port, self.settings.fetch_timeout / 2)
            secure = place.scheme == "https"
            return await asyncio.get_running_loop().create_connection(
                factory,
                sock=sock,
                ssl=self.tls if secure else None,
                server_hostname=place.host if secure else None,
            )

        idle = self.settings.idle_timeout
        return http1.Client(connect, host=place.authority, max_connections=1, idle_timeout=idle)

    async def _addresses(self, place: Place) -> Sequence[Address]:
        """Every address of the host, when all of them may be connected to. Raises BadUrl."""
        try:
            found = await self.resolve(place.host, place.port)
        except (OSError, ValueError):
            raise BadUrl(_NOWHERE) from None
        allowed = self.settings.fetch_private
        for address in found:
            if not permitted(address, allowed):
                raise BadUrl(_NOWHERE)
        if not found:
            raise BadUrl(_NOWHERE)
        return found

    async def _asked(self, client: http1.Client, place: Place) -> http1.Response:
        """The head of the answer, within `fetch_timeout`."""
        headers = [(b"accept", b"*/*"), (b"accept-encoding", b"identity"), (b"user-agent", b"isthmus")]
        with _source_errors():
            async with asyncio.timeout(self.settings.fetch_timeout):
                response = await client.request("GET", place.target, headers)
            if sum(len(name) + len(value) for name, value in response.headers) > _LARGEST_HEAD:
                raise BadAnswer("the head is too large")
        return response

    def _size(self, response: http1.Response) -> int | None:
        """The declared length. Raises TooLarge."""
        declared = response.header(b"content-length")
        chunked = response.header(b"transfer-encoding") is not None
        size = None if declared is None or chunked else int(declared)
        if size is not None and size > self.settings.fetch_bytes:
            raise self._too_large()
        return size

    async def _bounded(self, response: http1.Response) -> AsyncGenerator[bytes]:
        """The body, as long as it is not too much and does not come too slowly.

        Only the time spent waiting for the server counts: a slow store is not the server's fault.
        """
        size, waited = 0, 0.0
        with _source_errors():
            async with aclosing(response.chunks()) as chunks:
                while True:
                    before = time.monotonic()
                    piece = await anext(chunks, None)
                    waited += time.monotonic() - before
                    if piece is None:
                        return
                    size += len(piece)
                    if size > self.settings.fetch_bytes:
                        raise self._too_large()
                    if waited > _RATE_OVER and size < waited * self.settings.fetch_least_rate:
                        raise TimedOut("too slow")
                    yield piece

    def _too_large(self) -> TooLarge:
        return TooLarge(f"url: it gives more than {self.settings.fetch_bytes} bytes")


def _require_content(response: http1.Response) -> None:
    if response.status != 200:
        raise BadUrl(f"url: its server answered with status {response.status}")


@contextmanager
def _source_errors() -> Iterator[None]:
    """Says of the URL's server what the client says of a store."""
    try:
        yield
    except (BadUrl, TooLarge):
        raise
    except TimeoutError:
        raise TimedOut(_SAID[TimedOut]) from None
    except StoreError as error:
        kind = next((kind for kind in type(error).__mro__ if kind in _SAID), Unavailable)
        raise kind(_SAID[kind]) from error
