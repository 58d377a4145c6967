"""The api as a list of its parts."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.access.callers import Callers
from gateway.api import accounts, connect, contents, enrolment, errors, resources, storage
from gateway.api.middleware import Around
from gateway.operations import Operations
from gateway.settings import Settings
from store.engine import Database


async def health(request: Request) -> Response:
    """200 when a worker answers, else 503."""
    ready = await request.app.state.operations.ready()
    return resources.send({"ready": ready}, 200 if ready else 503)


async def nowhere(request: Request) -> Response:
    """Every path that we do not have."""
    raise errors.ApiError(404, "not_found", errors.NOT_FOUND)


def build(settings: Settings, database: Database, operations: Operations) -> ASGIApp:
    """The ASGI application of the public API."""
    app = Starlette(
        routes=[
            Route("/health", health, methods=["GET"]),
            *connect.ROUTES,
            *enrolment.ROUTES,
            *storage.ROUTES,
            *contents.ROUTES,
            *accounts.ROUTES,
            *accounts.LAST,
            Route("/{path:path}", nowhere, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ],
        exception_handlers=dict.fromkeys((404, 405), errors.handle),
    )
    app.state.settings = settings
    app.state.database = database
    app.state.operations = operations
    app.state.callers = Callers(database)
    return Around(app)
