"""The one table from errors to HTTP, and the one shape of an error's body."""

from collections.abc import Mapping

import orjson
from starlette.responses import Response

from connectors import interface as stores
from gateway import telemetry
from gateway.access import NotYours, Refused
from gateway.operations import WorkerUnavailable
from gateway.operations.errors import BadSettings, BadUrl, TaskCancelled, TaskLost, TooLarge
from store import errors as state

UNKNOWN = (500, "internal_error", "the gateway failed; its log has the reason")
NOT_FOUND = "there is no such thing, or it is not yours"


class ApiError(Exception):
    """An answer that is decided in the api itself."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after, self.headers = retry_after, headers


def invalid(field: str, why: str) -> ApiError:
    """A 400 that names what was wrong."""
    return ApiError(400, "invalid_parameter", f"{field}: {why}")


TABLE: dict[type[Exception], tuple[int, str]] = {
    Refused: (401, "unauthorized"),
    NotYours: (404, "not_found"),
    WorkerUnavailable: (503, "service_error"),
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
    BadSettings: (400, "invalid_parameter"),
    BadUrl: (400, "invalid_parameter"),
    TooLarge: (413, "too_large"),
    TaskCancelled: (409, "cancelled"),
    TaskLost: (502, "service_error"),
    state.Duplicate: (409, "conflict"),
    state.Stale: (409, "conflict"),
    state.Missing: (404, "not_found"),
    state.Unfit: (400, "invalid_parameter"),
    state.Away: (503, "service_error"),
}
_RETRY_AFTER: dict[type[Exception], float] = {WorkerUnavailable: 1.0}
_RETRY_AFTER_BY_STATUS = {429: 1.0, 503: 5.0}


def answer(error: Exception) -> Response | None:
    """The response to an error that is in the table, or the api's own; None for a bug."""
    if isinstance(error, ApiError):
        return body(error.status, error.code, error.message, error.retry_after, error.headers)
    found = known(error)
    if found is None:
        return None
    wait = getattr(error, "retry_after", None)
    return body(*found, wait if wait is not None else _RETRY_AFTER.get(type(error)))


def known(error: Exception) -> tuple[int, str, str] | None:
    """Status, code and message of an error that is in the table; None for any other."""
    leaf = next((kind for kind in type(error).__mro__ if kind in TABLE), None)
    if leaf is None:
        return None
    status, code = TABLE[leaf]
    return status, code, NOT_FOUND if status == 404 else str(error)  # no difference that could be probed


def body(
    status: int,
    code: str,
    message: str,
    retry_after: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The error as JSON, with the headers that go with its status."""
    sent = dict(headers or {})
    wait = retry_after if retry_after is not None else _RETRY_AFTER_BY_STATUS.get(status)
    if wait is not None:
        sent["Retry-After"] = str(max(1, round(wait)))
    if status == 401:
        sent.setdefault("WWW-Authenticate", 'Bearer realm="isthmus"')
    shown = encoded(status, code, message, telemetry.request_id.get())
    return Response(shown, status, sent, media_type="application/json")


def encoded(status: int, code: str, message: str, request_id: str | None) -> bytes:
    """The body of every error."""
    return orjson.dumps(fields(status, code, message, request_id))


def fields(status: int, code: str, message: str, request_id: str | None) -> dict[str, object]:
    """What every error says: the same four fields."""
    return {"status_code": status, "error_code": code, "message": message, "id": request_id}
