"""Serves MCP over stdio, or over streamable HTTP behind a bearer token."""

import asyncio
import hmac
import json
import logging
import sys

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.mcp.client import opened
from gateway.mcp.server import Files
from gateway.mcp.settings import Listening, Settings, is_loopback

_LARGEST_CALL = 1024 * 1024  # 256 KiB of content in base64, and JSON around it
_DRAIN = 10
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def main(settings: Settings) -> None:
    """Serves until standard input ends, or until SIGTERM."""
    # standard output carries the protocol; requests are logged by the gateway, and their URLs hold names
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    async with opened(settings) as gateway:
        server = Files(gateway, write=settings.write)
        if settings.http is None:
            await server.run_stdio_async()
        else:
            await uvicorn.Server(_config(server, settings.http)).serve()


def _config(server: Files, http: Listening) -> uvicorn.Config:
    app = server.streamable_http_app(
        stateless_http=True,  # no sessions: none can be taken over, and any number of processes can serve
        max_request_body_size=_LARGEST_CALL,
        transport_security=security(http),
        host=http.host,
    )
    return uvicorn.Config(
        Guarded(app, http.token),
        host=http.host,
        port=http.port,
        http="h11",  # bounds a head, which comes before its token; httptools keeps whatever is sent
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN,
    )


def security(http: Listening) -> TransportSecuritySettings:
    """The `Host`s and `Origin`s that are answered; a page whose name was bound anew to us is not."""
    names = [f"{name}:{http.port}" for name in _LOOPBACK] if is_loopback(http.host) else []
    hosts = [*names, *(form for name in http.hosts for form in (name, f"{name}:{http.port}"))]
    origins = [f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")]
    return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins)


class Guarded:
    """The application, for whoever shows the token; for all others 401, whatever they ask for."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the application's lifespan."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._knows(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            await _refuse(send)

    def _knows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._wanted)


async def _refuse(send: Send) -> None:
    body = json.dumps({"error": "invalid_token", "error_description": "show the MCP server's token"}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b'Bearer realm="isthmus mcp"'),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
