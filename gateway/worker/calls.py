"""The worker's end of `gateway.operations.calls`: each question is a task, each answer one frame."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import Any, Final, cast

import orjson

from connectors.interface import StoreError, Unsupported
from gateway import telemetry
from gateway.operations.errors import to_json
from gateway.operations.frames import Frame, Frames, Kind
from gateway.worker.accounts import one_work
from gateway.worker.audit.trail import Trace
from gateway.worker.catalogue import LONG, OPERATIONS, UPLOADS
from gateway.worker.desk import Arguments, Desk
from gateway.worker.events.changes import followed
from gateway.worker.groups import one_error
from gateway.worker.tasks import Progress

_log = logging.getLogger(__name__)
_LONGEST_QUESTION: Final = 4 * 1024 * 1024


class Calls:
    """Answers questions.

    Attributes:
        lines: the connections that are open.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._group: asyncio.TaskGroup
        self.lines: set[_Line] = set()

    async def serve(self, listening: socket.socket) -> None:
        """Takes connections on the socket until cancelled; with it end the questions that still run."""
        async with asyncio.TaskGroup() as self._group:
            loop = asyncio.get_running_loop()
            server = await loop.create_unix_server(lambda: _Line(self), sock=listening, backlog=1024)
            try:
                await asyncio.Event().wait()
            finally:
                server.close()
                for line in self.lines:
                    line.end()

    async def drain(self, within: float) -> None:
        """Returns when no question runs, at the latest after so many seconds."""
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            _log.warning(
                "operations were still running when the worker ended", extra={"number": self._running}
            )

    def begin(self, line: "_Line", frame: Frame) -> None:
        """Answers, as a task of ours."""
        self._running += 1
        self._idle.clear()
        self._group.create_task(self._answer(line, frame), name="operation").add_done_callback(self._done)

    def _done(self, _: asyncio.Task[None]) -> None:
        self._running -= 1
        if not self._running:
            self._idle.set()

    async def _answer(self, line: "_Line", frame: Frame) -> None:
        """One question, as the root of its task: whatever goes wrong ends this one alone."""
        try:
            asked = orjson.loads(frame.json)
            telemetry.request_id.set(asked["request"])
            found = await self._operation(line, frame, asked["operation"], asked["arguments"])
            answer = Frame(Kind.ANSWER, frame.number, orjson.dumps(found))
        except StoreError as error:
            answer = Frame(Kind.FAILED, frame.number, orjson.dumps(to_json(error)))
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            _log.info("the client went away")
            return
        except Exception:  # noqa: BLE001  the root of the task
            _log.exception("an operation failed")
            answer = Frame(Kind.BROKEN, frame.number)
        await line.answer(answer)

    async def _operation(self, line: "_Line", frame: Frame, name: str, arguments: Arguments) -> Any:
        path, desk = f"/{name}", self._desk
        await desk.trail.room(path)
        with Trace(desk.trail, path, arguments) as trace, one_work(), one_error():
            if (upload := UPLOADS.get(path)) is not None:
                work: Awaitable[Any] = upload(desk, arguments, _in_one_piece(frame.body))
            elif (long_one := LONG.get(path)) is not None:
                work = _ended_with(line, frame.number, long_one(desk, arguments, Progress()))
            elif (operation := OPERATIONS.get(path)) is not None:
                work = operation(desk, arguments)
            else:
                raise Unsupported(f"no operation {name}")
            trace.result = await followed(desk, path, arguments, work)
            return trace.result


async def _ended_with(line: "_Line", number: int, work: Coroutine[Any, Any, Any]) -> Any:
    """What the work gives; CancelledError when nobody waits for it any more."""
    async with asyncio.TaskGroup() as group:  # ours: what fails here must end nothing else
        running = group.create_task(work, name="long operation")
        line.ends(number, running)
    return running.result()


async def _in_one_piece(body: bytes) -> AsyncIterator[bytes]:
    yield body


class _Line(asyncio.Protocol):
    """One connection, and the operations on it that end when nobody waits for them."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._frames = Frames(_LONGEST_QUESTION)
        self._ending: dict[int, asyncio.Task[Any]] = {}
        self._room = asyncio.Event()
        self._room.set()

    def ends(self, number: int, work: asyncio.Task[Any]) -> None:
        """The question's work ends with it."""
        self._ending[number] = work
        work.add_done_callback(lambda _: self._ending.pop(number, None))
        if self._transport.is_closing():
            work.cancel()

    async def answer(self, frame: Frame) -> None:
        """Sends it, when the other side has taken what was sent before."""
        await self._room.wait()
        if not self._transport.is_closing():
            self._transport.write(frame.written())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._calls.lines.add(self)

    def end(self) -> None:
        """Closes the connection: the worker ends."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Takes questions; what is too long ends the connection."""
        try:
            for frame in self._frames.feed(data):
                self._take(frame)
        except ValueError as error:
            _log.warning("a connection with questions ends: %s", error)
            self._transport.abort()

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.QUESTION:
            self._calls.begin(self, frame)
        elif frame.kind == Kind.CANCEL and (work := self._ending.get(frame.number)) is not None:
            work.cancel()

    def pause_writing(self) -> None:
        """Answers wait."""
        self._room.clear()

    def resume_writing(self) -> None:
        """Answers go on."""
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        self._calls.lines.discard(self)
        self._room.set()
        for work in list(self._ending.values()):
            work.cancel()
