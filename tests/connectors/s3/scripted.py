"""A connector for S3 whose server is a double: it gives scripted answers, as no real one does on demand."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector
from connectors.s3 import S3CompatibleConnector


def settings(**more: Any) -> dict[str, Any]:
    return {"bucket": "reports", "access_key_id": "AK", "secret_access_key": "S3CR3T", **more}


class ToHead(bytes):
    """An answer to HEAD."""


@asynccontextmanager
async def scripted(*answers: bytes, **more: Any) -> AsyncIterator[tuple[FullConnector, list[bytes]]]:
    """A connector whose server gives these answers in turn, and the heads that it got.

    HEAD gets those that are `ToHead`, whatever else is asked the others: looks are sent at the same time.
    """
    left, heads = list(answers), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                head = await reader.readuntil(b"\r\n\r\n")
                heads.append(head)
                if length := re.search(rb"\r\ncontent-length: (\d+)", head.lower()):
                    await reader.readexactly(int(length[1]))
                fit = [one for one in left if isinstance(one, ToHead) is head.startswith(b"HEAD")]
                left.remove(fit[0])
                writer.write(fit[0])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    store = Store(S3CompatibleConnector, settings(endpoint=endpoint, **more), Direct(), idle_timeout=5.0)
    try:
        async with store.opened() as connector:
            yield connector, heads  # type: ignore[misc]  # it has what the tests use
    finally:
        server.close()
        await server.wait_closed()


def answer(status: int, body: str = "", *fields: str) -> bytes:
    head = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 {status} X\r\n{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()


def refused(status: int, code: str, inside: str = "") -> bytes:
    return answer(status, f"<Error><Code>{code}</Code><Message>inner-host said</Message>{inside}</Error>")


def page(*keys: str, more: str = "", encoding: str = "") -> str:
    inside = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    return f"<ListBucketResult>{more}{encoding}{inside}</ListBucketResult>"
