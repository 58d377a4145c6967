"""A store that lies to the worker's own HTTP/1.1 client: by a double, as no real one does."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from connectors.conformance.direct import Direct
from connectors.http1 import Client
from connectors.http1.connection import Connection
from connectors.interface import BadAnswer

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def _answered(said: bytes, *, again: bool) -> bytes:
    """The body that the client has, of an answer that begins with these bytes, once or for ever."""

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            while again:
                writer.write(said)
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(said + WHOLE)
            await writer.drain()
            await reader.read()
        writer.close()

    async def connect(factory: Callable[[], Connection]) -> tuple[asyncio.Transport, Connection]:
        return await Direct().connect(factory, "127.0.0.1", port)

    async with await asyncio.start_server(lie, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = Client(connect, host="store.example", idle_timeout=5.0)
        try:
            async with asyncio.timeout(20):
                answer = await client.request("GET", "/")
                return await answer.read(100)
        finally:
            await client.aclose()


async def test_informational_answers_without_end_are_no_answer() -> None:
    """Each is a sign of life: no deadline would ever end the wait, and the worker would read on and on."""
    with pytest.raises(BadAnswer, match="informational"):
        await _answered(EARLY, again=True)


async def test_some_informational_answers_are_passed_over() -> None:
    assert await _answered(EARLY * 16, again=False) == b"ok"
