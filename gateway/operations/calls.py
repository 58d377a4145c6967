"""The way of what asks a worker and gets JSON: one connection, on which any number of questions wait.

Not HTTP, as content has: half of a small request's time went into heads and connections of their own.
"""

import asyncio
from itertools import count
from pathlib import Path
from typing import Any, Final, cast

import orjson

from gateway import telemetry
from gateway.operations.errors import WorkerUnavailable, from_json
from gateway.operations.frames import Frame, Frames, Kind

_LONGEST_ANSWER: Final = 64 * 1024 * 1024


class Calls:
    """Asks a worker, on a connection that is made when it is needed."""

    def __init__(self, socket_path: Path) -> None:
        self._path = str(socket_path)
        self._line: _Line | None = None
        self._opening = asyncio.Lock()
        self._numbers = count(1)

    async def ask(self, operation: str, arguments: dict[str, Any], body: bytes = b"") -> Any:
        """What the operation answers; one that takes long ends when this is cancelled.

        Raises `StoreError` leaves, and WorkerUnavailable when there is no worker or it goes away.
        """
        line = self._line or await self._opened()
        number = next(self._numbers) & 0xFFFFFFFF
        asked = {"operation": operation, "arguments": arguments, "request": telemetry.request_id.get()}
        answer = await line.ask(Frame(Kind.QUESTION, number, orjson.dumps(asked), body))
        if answer.kind == Kind.ANSWER:
            return orjson.loads(answer.json)
        if answer.kind == Kind.FAILED:
            raise from_json(orjson.loads(answer.json))
        raise WorkerUnavailable("the worker failed; its log has the reason under this request's id")

    async def aclose(self) -> None:
        """Closes the connection; who still waits gets WorkerUnavailable."""
        if self._line is not None:
            self._line.transport.close()

    async def _opened(self) -> "_Line":
        async with self._opening:
            if self._line is None:
                loop = asyncio.get_running_loop()
                try:
                    _, self._line = await loop.create_unix_connection(lambda: _Line(self), self._path)
                except OSError as error:
                    raise WorkerUnavailable("no worker took the request; try again in a moment") from error
            return self._line

    def ended(self, line: "_Line") -> None:
        """The line is no more; the next question opens another."""
        if self._line is line:
            self._line = None


class _Line(asyncio.Protocol):
    """One connection, and who waits on it."""

    transport: asyncio.Transport

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._frames = Frames(_LONGEST_ANSWER)
        self._waiting: dict[int, asyncio.Future[Frame]] = {}

    async def ask(self, question: Frame) -> Frame:
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting[question.number] = answer
        self.transport.write(question.written())
        try:
            return await answer
        except asyncio.CancelledError:
            if not self.transport.is_closing():
                self.transport.write(Frame(Kind.CANCEL, question.number).written())
            raise
        finally:
            self._waiting.pop(question.number, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            waiting = self._waiting.get(frame.number)
            if waiting is not None and not waiting.done():
                waiting.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self._calls.ended(self)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(
                    WorkerUnavailable("the worker went away before its answer; try again in a moment")
                )
