"""What happens around every request: its id, its path, CORS, errors, one line in the log. Plain ASGI."""

import asyncio
import logging
import re
import secrets
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import telemetry
from gateway.api import errors

LEFT: Final = "isthmus.left"
"""In a request's scope: what the server calls when the client has left, the request being whole."""
_log = logging.getLogger("access")
_GOOD_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_ACCOUNTS = re.compile(r"me|[0-9]{1,10}(,[0-9]{1,10})*")
_CORS = [
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"X-Request-ID, ETag, Last-Modified, Accept-Ranges, Content-Disposition, Content-Length, "
        b"Content-Range, Retry-After",
    ),
]
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Range, If-Match, If-None-Match, If-Range, X-Kloudless-Metadata, "
        b"X-Kloudless-Raw-Data, X-Kloudless-Raw-Headers, X-Kloudless-Raw-Method, X-Kloudless-Raw-URI, "
        b"X-Kloudless-As-User, X-Kloudless-Async, X-Request-ID",
    ),
    (b"access-control-max-age", b"86400"),
]


class Around:
    """The middleware, outermost first: request id, path, log; whether the client is there; errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, websocket or lifespan."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _GOOD_ID.fullmatch(given) else secrets.token_hex(16)
        telemetry.request_id.set(request_id)
        if len(scope["path"]) > 1 and scope["path"].endswith("/"):
            scope["path"] = scope["path"].rstrip("/") or "/"
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        sent = Sent(send, request_id)
        started = time.perf_counter()
        try:
            await self._answer(scope, headers, receive, sent)
        finally:
            _write(scope, sent, time.perf_counter() - started)

    async def _answer(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, sent: "Sent"
    ) -> None:
        if scope["method"] == "OPTIONS":
            await sent({"type": "http.response.start", "status": 204, "headers": list(_PREFLIGHT)})
            await sent({"type": "http.response.body", "body": b""})
            return
        if b"content-length" in headers and b"transfer-encoding" in headers:
            why = "Content-Length and Transfer-Encoding exclude each other"
            await errors.body(400, "bad_request", why)(scope, receive, sent)
            return
        empty = headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers
        with Leaving(scope, sent):
            await self._guarded(scope, Incoming(receive, empty=empty), sent)

    async def _guarded(self, scope: Scope, receive: Receive, sent: "Sent") -> None:
        try:
            await self._app(scope, receive, sent)
        except Exception as error:  # noqa: BLE001  the request's task root
            response = errors.answer(error)
            if response is None:
                _log.exception("a request failed by a bug of ours")
                response = errors.body(500, "internal_error", "the gateway failed; its log has the reason")
            if sent.status is not None:
                return  # the head is out: the server cuts the connection, so that the body can't look whole
            await response(scope, receive, sent)


class Leaving:
    """Cancels the request's task when its client leaves before it has the whole answer.

    The server tells by calling what stands in the scope: a task a request that waits for it would cost more
    than everything else here.
    """

    def __init__(self, scope: Scope, sent: "Sent") -> None:
        self._scope = scope
        self._sent = sent

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._scope[LEFT] = self._left

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        del self._scope[LEFT]
        if not self._sent.gone or self._task is None:
            return False
        return self._task.uncancel() == 0 and kind is asyncio.CancelledError

    def _left(self) -> None:
        if self._task is not None and not self._sent.whole:
            self._sent.gone = True
            self._task.cancel()


class Incoming:
    """`receive` of a request; past its end it waits for ever, as the client's leaving cancels the task."""

    def __init__(self, receive: Receive, *, empty: bool) -> None:
        self._receive = receive
        self._empty = empty
        self._whole = False

    async def __call__(self) -> Message:
        """The next message for the app."""
        if self._whole:
            await asyncio.Event().wait()
        if self._empty:
            self._whole = True
            return {"type": "http.request", "body": b"", "more_body": False}
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            self._whole = True
        return message


class Sent:
    """`send` that adds our headers and remembers what went out."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._id = request_id.encode()
        self.status: int | None = None
        self.whole = False
        self.gone = False

    async def __call__(self, message: Message) -> None:
        """Passes a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._id), *_CORS]
        elif not message.get("more_body"):
            self.whole = True
        await self._send(message)


def _write(scope: Scope, sent: Sent, seconds: float) -> None:
    """The request's line: the route, not the path, which may hold a key; never a query's values."""
    endpoint = scope.get("endpoint")
    _log.info(
        "request",
        extra={
            "method": scope["method"],
            "route": getattr(endpoint, "path", None),
            "account": _account(scope),
            "status": sent.status,
            "ms": round(seconds * 1000, 1),
            "client_gone": sent.gone or not sent.whole,
        },
    )


def _account(scope: Scope) -> str | None:
    """The account in the path, when it looks like one: whatever else stands there may be a secret."""
    given: str = scope.get("path_params", {}).get("accounts", "")
    return given if _ACCOUNTS.fullmatch(given) else None
