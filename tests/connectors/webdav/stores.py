"""What the tests beside this share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.interface import (
    Connector,
)
from connectors.webdav import WebdavConnector
from tests.servers.apache import PASSWORD, USER


def store(url: str, username: str | None = USER, password: str = PASSWORD, **more: Any) -> Store:
    settings = {"url": url, "username": username, "password": password, **more}
    return Store(WebdavConnector, settings, Direct(), idle_timeout=5.0)


@asynccontextmanager
async def scripted(*answers: bytes, seen: list[bytes] | None = None) -> AsyncIterator[Connector]:
    """A connector whose server gives these answers, one a request; `seen` takes the requests' heads."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                head = await reader.readuntil(b"\r\n\r\n")
                if seen is not None:
                    seen.append(head)
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        await reader.readexactly(int(line.split(b":")[1]))
                writer.write(left.pop(0))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    try:
        async with store(f"http://127.0.0.1:{port}/dav/", None).opened() as connector:
            yield connector
    finally:
        server.close()


def listing(*responses: str) -> bytes:
    body = f'<D:multistatus xmlns:D="DAV:">{"".join(responses)}</D:multistatus>'.encode()
    return b"HTTP/1.1 207 Multi-Status\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def resource(href: str, inside: str = "", status: str = "HTTP/1.1 200 OK") -> str:
    prop = f"<D:propstat><D:prop>{inside}<D:resourcetype/></D:prop><D:status>{status}</D:status></D:propstat>"
    return f"<D:response><D:href>{href}</D:href>{prop}</D:response>"


def folder(href: str) -> str:
    return (
        f"<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:resourcetype><D:collection/>"
        "</D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )
