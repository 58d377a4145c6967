"""What happens around every request: its id, its path, CORS, one line in the log. Plain ASGI."""

import logging
import re
import secrets
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import telemetry
from gateway.api import errors

_log = logging.getLogger("access")
_GOOD_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_CORS = [
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"X-Request-ID, ETag, Content-Disposition, Content-Range, Retry-After",
    ),
]
_PREFLIGHT = [
    *_CORS,
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Range, If-Match, If-None-Match, If-Range, X-Kloudless-Metadata, "
        b"X-Kloudless-Raw-Data, X-Kloudless-Raw-Headers, X-Kloudless-As-User, X-Kloudless-Async, X-Request-ID",
    ),
    (b"access-control-max-age", b"86400"),
    (b"content-length", b"0"),
]


class Around:
    """Gives each request an id, answers preflights, turns errors into answers, writes the access log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _GOOD_ID.fullmatch(given) else secrets.token_hex(16)
        telemetry.request_id.set(request_id)
        if len(scope["path"]) > 1 and scope["path"].endswith("/"):
            scope["path"] = scope["path"].rstrip("/") or "/"
        sent = Sent(send, request_id)
        started = time.perf_counter()
        try:
            if scope["method"] == "OPTIONS":
                await sent({"type": "http.response.start", "status": 204, "headers": list(_PREFLIGHT)})
                await sent({"type": "http.response.body", "body": b""})
            elif b"content-length" in headers and b"transfer-encoding" in headers:
                both = errors.body(
                    400, "bad_request", "Content-Length and Transfer-Encoding exclude each other"
                )
                await both(scope, receive, sent)
            else:
                await self._guarded(scope, receive, sent)
        finally:
            took = round((time.perf_counter() - started) * 1000, 1)
            _log.info(
                "request",
                extra={"method": scope["method"], "path": scope["path"], "status": sent.status, "ms": took},
            )

    async def _guarded(self, scope: Scope, receive: Receive, sent: "Sent") -> None:
        try:
            await self._app(scope, receive, sent)
        except Exception as error:
            if sent.status is not None:
                raise  # the head is out: the connection is cut, so that the body can't look whole
            try:
                response = errors.answer(error)
            except Exception:  # noqa: BLE001  the request's task root
                _log.exception("a request failed by a bug of ours")
                response = errors.body(500, "internal_error", "the gateway failed; its log has the reason")
            await response(scope, receive, sent)


class Sent:
    """`send` that adds our headers and remembers the status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._id = request_id.encode()
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        """Passes a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[Any] = list(message.get("headers", ()))
            headers.append((b"x-request-id", self._id))
            if not any(name == b"access-control-allow-origin" for name, _ in headers):
                headers += _CORS
            message = {**message, "headers": headers}
        await self._send(message)
