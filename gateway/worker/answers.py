"""One exchange with the api: the answer being sent, the content coming in, whether anybody still waits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Final

import orjson

from connectors.interface import Unavailable
from gateway.operations import wire
from gateway.worker.audit.trail import Trace
from gateway.worker.groups import one_error

type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]

_TAKEN: Final = {"type": "http.response.body", "body": b"", "more_body": True}


class ClientGone(Exception):
    """The api closed its side: nobody wants the answer any more."""


class Started:
    """The answer being sent; knows whether its head is out, and tells the audit trail what went."""

    def __init__(self, send: Send, trace: Trace) -> None:
        self._send = send
        self.head = False
        self.trace = trace

    async def json(self, value: Any, status: int = 200) -> None:
        """A whole answer."""
        if status == 200:
            self.trace.result = value
        body = orjson.dumps(value)
        length = str(len(body)).encode()
        self.head = True
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-length", length)]}
        )
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, result: dict[str, Any], length: int | None) -> None:
        """The head of a transfer; chunked when the length isn't known."""
        headers = [(wire.RESULT, wire.pack(result))]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        self.head = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def piece(self, piece: bytes) -> None:
        """Some content; returns when the api may take more."""
        self.trace.passed += len(piece)
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send(_TAKEN)  # uvicorn waits before it sends: the next piece is left where it is

    async def end(self) -> None:
        """The end of the content."""
        await self._send({"type": "http.response.body", "body": b""})


async def body_of(receive: Receive) -> AsyncIterator[bytes]:
    """The request's content. Raises Unavailable when the api went away before its end."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Unavailable("the upload ended before its last byte")
        if body := message.get("body"):
            yield body
        if not message.get("more_body"):
            return


async def ended_by(over: asyncio.Event, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body; its end is told."""
    async for piece in body:
        yield piece
    over.set()


async def until_gone[T](
    receive: Receive, work: Coroutine[Any, Any, T], *, after: asyncio.Event | None = None
) -> T:
    """What the work returns or raises; it is cancelled as soon as the api closes its side (ClientGone).

    While the work itself reads the request, leaving shows there: the api is watched `after` that.
    """

    async def watch(running: asyncio.Task[T]) -> None:
        if after is not None:
            await after.wait()
        while (await receive())["type"] != "http.disconnect":
            pass
        running.cancel()

    with one_error():
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(work, name="operation")
            watching = tasks.create_task(watch(running), name="client gone?")
            await asyncio.wait([running])
            watching.cancel()
    if running.cancelled():
        raise ClientGone
    return running.result()
