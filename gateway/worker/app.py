"""The worker's ASGI application: the operations that content goes through, errors in one place.

Plain ASGI rather than a framework: the only client is our own api. What has no content is asked by `calls`.
"""

import asyncio
import logging
from typing import Any

from connectors.interface import StoreError
from gateway import telemetry
from gateway.operations import wire
from gateway.operations.errors import to_json
from gateway.worker.accounts import one_work
from gateway.worker.answers import ClientGone, Receive, Send, Started, body_of, ended_by, until_gone
from gateway.worker.audit.trail import Trace
from gateway.worker.catalogue import UPLOADS
from gateway.worker.desk import Arguments, Desk
from gateway.worker.events.changes import followed
from gateway.worker.operations import contents, raw

_log = logging.getLogger(__name__)

type Scope = dict[str, Any]


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
        started = Started(send, Trace(trail, path, arguments))
        try:
            with started.trace, one_work():
                await self._answer(path, arguments, receive, started)
        except StoreError as error:
            if started.head:
                raise
            await started.json(to_json(error), status=wire.FAILED)
        except ClientGone:
            _log.info("the client went away", extra={"operation": path})

    async def _answer(self, path: str, arguments: Arguments, receive: Receive, send: Started) -> None:
        if path == "/read":
            await until_gone(receive, contents.read(self._desk, arguments, send))
        elif path == "/raw":
            over = asyncio.Event()
            body = ended_by(over, body_of(receive)) if arguments["body"] else None
            if body is None:
                over.set()
            await until_gone(receive, raw.send(self._desk, arguments, body, send, over), after=over)
        elif (upload := UPLOADS.get(path)) is not None:
            work = upload(self._desk, arguments, body_of(receive))
            await send.json(await followed(self._desk, path, arguments, work))
        else:
            await send.json({"error": "Unsupported", "message": f"no operation {path}"}, status=wire.FAILED)
