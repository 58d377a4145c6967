"""The worker's ASGI application: one handler an operation, errors in one place.

Plain ASGI rather than a framework: the only client is our own api, and requests a second count here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Final

import orjson

from connectors.interface import StoreError, Unavailable
from gateway import telemetry
from gateway.operations import wire
from gateway.operations.errors import to_json
from gateway.worker import contents, copies, entries, extras, fetches, finding, long, upkeep, uploads
from gateway.worker.desk import Arguments, Desk, Long, Operation, Upload
from gateway.worker.groups import one_error
from gateway.worker.tasks import Progress
from gateway.worker.trail import Use

_log = logging.getLogger(__name__)

type Scope = dict[str, Any]
type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]

OPERATIONS: dict[str, Operation] = (
    entries.OPERATIONS | long.OPERATIONS | upkeep.OPERATIONS | uploads.OPERATIONS | extras.OPERATIONS
)
UPLOADS: dict[str, Upload] = contents.UPLOADS | uploads.UPLOADS | extras.UPLOADS
LONG: dict[str, Long] = copies.LONG | fetches.LONG | finding.LONG
_TAKEN: Final = {"type": "http.response.body", "body": b"", "more_body": True}


class ClientGone(Exception):
    """The api closed its side: nobody wants the answer any more."""


class Worker:
    """Answers operations."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One operation. What breaks behind the head ends the connection: it must not look whole."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        telemetry.request_id.set(headers.get(wire.REQUEST_ID, b"").decode() or None)
        path, trail = scope["path"], self._desk.trail
        arguments = wire.unpack(headers.get(wire.ARGUMENTS, b"{}"))
        await trail.room(path)
        started = Started(send, Use(trail, path, arguments))
        try:
            with started.use:
                await self._answer(path, arguments, receive, started)
        except StoreError as error:
            if started.head:
                raise
            await started.json(to_json(error), status=wire.FAILED)
        except ClientGone:
            _log.info("the client went away", extra={"operation": path})

    async def _answer(self, path: str, arguments: Arguments, receive: Receive, send: "Started") -> None:
        if path == "/read":
            await until_gone(receive, contents.read(self._desk, arguments, send))
        elif (upload := UPLOADS.get(path)) is not None:
            await send.json(await upload(self._desk, arguments, body_of(receive)))
        elif (long_one := LONG.get(path)) is not None:
            await send.json(await until_gone(receive, long_one(self._desk, arguments, Progress())))
        elif (operation := OPERATIONS.get(path)) is not None:
            await send.json(await operation(self._desk, arguments))
        else:
            await send.json({"error": "Unsupported", "message": f"no operation {path}"}, status=wire.FAILED)


class Started:
    """The answer being sent; knows whether its head is out, and tells the audit trail what went."""

    def __init__(self, send: Send, use: Use) -> None:
        self._send = send
        self.head = False
        self.use = use

    async def json(self, value: Any, status: int = 200) -> None:
        """A whole answer."""
        if status == 200:
            self.use.result = value
        body = orjson.dumps(value)
        length = str(len(body)).encode()
        self.head = True
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-length", length)]}
        )
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, result: Arguments, length: int | None) -> None:
        """The head of a transfer; chunked when the length isn't known."""
        headers = [(wire.RESULT, wire.pack(result))]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        self.head = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def piece(self, piece: bytes) -> None:
        """Some content; returns when the api may take more."""
        self.use.passed += len(piece)
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


async def until_gone[T](receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What the work returns or raises; it is cancelled as soon as the api closes its side (ClientGone)."""

    async def watch(running: asyncio.Task[T]) -> None:
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
