"""The api as a list of its parts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access import Callers, NotYours
from gateway.api import (
    accounts,
    connect,
    contents,
    enrolment,
    events,
    extras,
    links,
    listings,
    meta,
    multipart,
    oauth,
    proxy_tokens,
    raw,
    resources,
    services,
    shared,
    storage,
    tasks,
    unbuilt,
)
from gateway.api.call import PARTS, Call, Parts, resource
from gateway.api.middleware import Around
from gateway.board import Board
from gateway.operations import Operations
from gateway.settings import Settings
from store.engine import Database
from store.envelope import SealingKey

_HASHED_AT_ONCE = 2
_READY_WITHIN = 2.0


def build(
    settings: Settings,
    database: Database,
    operations: Operations,
    sealing_key: SealingKey,
    board: Board | None = None,
) -> ASGIApp:
    """The ASGI application of the public API. What it is given stays the caller's to close.

    The board is what it shares with other processes that serve the same; None where there is none.
    """
    callers = Callers(database, board or Board.make())
    parts = Parts(
        settings,
        database,
        operations,
        callers,
        sealing_key,
        hashing=asyncio.Semaphore(max(1, _HASHED_AT_ONCE // settings.api_processes)),
    )
    routes: list[BaseRoute] = [
        # the first that fits is taken: those that are asked for most come first
        *listings.ROUTES,
        *storage.ROUTES,
        *extras.ROUTES,
        *contents.ROUTES,
        *links.ROUTES,
        *multipart.ROUTES,
        *raw.ROUTES,
        *events.ROUTES,
        *unbuilt.ROUTES,
        *accounts.ROUTES,
        *proxy_tokens.ROUTES,
        *tasks.ROUTES,
        *services.ROUTES,
        *oauth.ROUTES,
        *meta.ROUTES,
        *enrolment.ROUTES,
        *connect.ROUTES,
        *shared.ROUTES,
        resource("/health", GET=health),
    ]
    router = Router(routes, redirect_slashes=False, default=nowhere, lifespan=_lifespan(parts))
    return Around(_with(parts, router))


def _with(parts: Parts, app: ASGIApp) -> ASGIApp:
    """Hands the parts to whatever is behind."""

    async def handed(scope: Scope, receive: Receive, send: Send) -> None:
        scope[PARTS] = parts
        await app(scope, receive, send)

    return handed


def _lifespan(parts: Parts) -> Any:
    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        """Nothing to open; at the end no look-up outlives the database that it came from."""
        yield
        parts.callers.forget()

    return lifespan


async def health(call: Call) -> Response:
    """200 when a worker answers, else 503."""
    try:
        async with asyncio.timeout(_READY_WITHIN):
            ready = await call.parts.operations.ready()
    except TimeoutError:
        ready = False
    return resources.send({"ready": ready}, 200 if ready else 503)


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Every path that we do not have."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
        return
    raise NotYours
