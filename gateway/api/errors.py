"""The one table from errors to HTTP, and the one shape of an error's body."""

from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from connectors import interface as stores
from gateway import telemetry
from gateway.access.callers import NotYours, Refused
from gateway.operations import WorkerUnavailable

NOT_FOUND = "there is no such thing, or not for you"


class ApiError(Exception):
    """An answer that is decided in the api itself."""

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


def invalid(field: str, why: str) -> ApiError:
    """A 400 that names what was wrong."""
    return ApiError(400, "invalid_parameter", f"{field}: {why}")


STORE: dict[type[stores.StoreError], tuple[int, str]] = {
    stores.NotFound: (404, "not_found"),
    stores.NotAFolder: (404, "not_found"),
    stores.AlreadyExists: (409, "item_exists"),
    stores.NotEmpty: (409, "conflict"),
    stores.PreconditionFailed: (409, "conflict"),
    stores.NotPermitted: (403, "permission_denied"),
    stores.BadCredential: (403, "permission_denied"),
    stores.UntrustedHost: (502, "service_error"),
    stores.InvalidName: (400, "invalid_parameter"),
    stores.BadSpan: (416, "bad_range"),
    stores.OutOfSpace: (507, "insufficient_storage"),
    stores.Unsupported: (501, "not_implemented"),
    stores.Throttled: (429, "too_many_requests"),
    stores.NetworkUnavailable: (503, "network_unavailable"),
    stores.Unavailable: (502, "service_error"),
    stores.TimedOut: (504, "timeout"),
    stores.BadAnswer: (502, "service_error"),
}
_HTTP = {404: "not_found", 405: "not_allowed", 413: "too_large"}
_ALWAYS_RETRY_AFTER = {429: 1.0, 503: 5.0}


def answer(error: Exception) -> Response:
    """The response of an error that is no bug; anything else is raised again."""
    if isinstance(error, stores.StoreError):
        status, code = next(STORE[leaf] for leaf in type(error).__mro__ if leaf in STORE)
        return body(status, code, error.message, error.retry_after)
    if isinstance(error, ApiError):
        return body(error.status, error.code, error.message, error.retry_after)
    if isinstance(error, Refused):
        return body(401, "unauthorized", str(error))
    if isinstance(error, NotYours):
        return body(404, "not_found", NOT_FOUND)
    if isinstance(error, WorkerUnavailable):
        return body(503, "service_error", str(error), 1.0)
    if isinstance(error, HTTPException):
        return body(error.status_code, _HTTP.get(error.status_code, "bad_request"), error.detail)
    raise error


def body(status: int, code: str, message: str, retry_after: float | None = None) -> Response:
    """The error as JSON, with the headers that go with its status."""
    headers = {}
    wait = retry_after if retry_after is not None else _ALWAYS_RETRY_AFTER.get(status)
    if wait is not None:
        headers["Retry-After"] = str(max(1, round(wait)))
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="isthmus"'
    shown: dict[str, Any] = {
        "status_code": status,
        "error_code": code,
        "message": message,
        "id": telemetry.request_id.get(),
    }
    return Response(orjson.dumps(shown), status, headers, media_type="application/json")


async def handle(request: Request, error: Exception) -> Response:
    """For Starlette's table of handlers."""
    return answer(error)
