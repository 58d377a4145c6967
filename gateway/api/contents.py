"""The bytes of files, streamed both ways; nothing here holds more than a piece."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.api import parameters, resources
from gateway.api.accounts import account_in_path, operations, ref
from gateway.api.errors import ApiError
from gateway.api.storage import refuse_async
from gateway.operations import Conflict, EntryView, Reading


class Download(StreamingResponse):
    """A response that gives up everything behind it when the client goes away, or at its end."""

    def __init__(self, reading: Reading, status: int, headers: dict[str, str]) -> None:
        super().__init__(reading.chunks, status, headers)
        self._reading = reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._reading.aclose()


async def download(request: Request) -> Response:
    """All of a file or a range of it (RFC 9110, 14)."""
    account = await account_in_path(request)
    file_id, ops = request.path_params["id"], operations(request)
    wanted = parameters.byte_range(request)
    conditional = any(name in request.headers for name in ("if-none-match", "if-match", "if-range"))
    if request.method == "HEAD" or conditional:
        view = await ops.stat(ref(account), file_id, "file")
        early = _by_condition(request, view)
        if early is not None:
            return early
        if request.method == "HEAD":
            return Response(headers=_head(view, view.size), media_type=_type(view))
        if "if-range" in request.headers and parameters.etag(request.headers["if-range"]) != view.etag:
            wanted = None
    wanted = wanted or parameters.Range()
    reading = await ops.read(
        ref(account), file_id, first=wanted.first, last=wanted.last, suffix=wanted.suffix
    )
    headers = _head(reading.entry, reading.length)
    headers["Content-Type"] = _type(reading.entry)
    status = 200
    if wanted != parameters.Range():
        status = 206
        size = "*" if reading.entry.size is None else reading.entry.size
        last = reading.first + (reading.length or 1) - 1
        headers["Content-Range"] = f"bytes {reading.first}-{last}/{size}"
    return Download(reading, status, headers)


async def upload(request: Request) -> Response:
    """A new file from the body, or from the `file` part of a form."""
    account = await account_in_path(request)
    refuse_async(request)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ApiError(
            501,
            "not_implemented",
            "uploads as multipart/form-data are not implemented yet: send the bytes as the body and "
            "X-Kloudless-Metadata as a header",
        )
    if "x-kloudless-metadata" not in request.headers and request.headers.get("content-type") == (
        "application/json"
    ):
        raise ApiError(501, "not_implemented", "uploads from a URL are not implemented yet")
    given = parameters.metadata(request)
    view, created = await operations(request).write(
        ref(account),
        parameters.text(given, "parent_id"),
        parameters.name(given),
        _body(request),
        size=parameters.content_length(request),
        conflict=_conflict(request),
    )
    return resources.send(resources.entry(request, account, view), 201 if created else 200)


async def replace(request: Request) -> Response:
    """New bytes for a file; with If-Match only over that version."""
    account = await account_in_path(request)
    refuse_async(request)
    view = await operations(request).replace(
        ref(account),
        request.path_params["id"],
        _body(request),
        size=parameters.content_length(request),
        etag=parameters.etag(request.headers.get("if-match")),
    )
    return resources.send(resources.entry(request, account, view))


async def _body(request: Request) -> AsyncIterator[bytes]:
    """The request's bytes; the write behind it is cancelled when the client goes away."""
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except ClientDisconnect:
        raise ApiError(400, "bad_request", "the upload ended before its last byte") from None


def _conflict(request: Request) -> Conflict:
    if parameters.flag(request, "conflict_if_exists"):
        return Conflict.ERROR
    return Conflict.REPLACE if parameters.flag(request, "overwrite") else Conflict.RENAME


def _by_condition(request: Request, view: EntryView) -> Response | None:
    """304 or an error by If-None-Match and If-Match (RFC 9110, 13.1)."""
    none_match = request.headers.get("if-none-match")
    if none_match is not None and _matches(none_match, view):
        return Response(status_code=304, headers={"ETag": f'"{view.etag}"'})
    match = request.headers.get("if-match")
    if match is not None and not _matches(match, view):
        raise ApiError(412, "conflict", "the file is another version now")
    return None


def _matches(tags: str, view: EntryView) -> bool:
    return tags.strip() == "*" or view.etag in [parameters.etag(tag) for tag in tags.split(",")]


def _head(view: EntryView, length: int | None) -> dict[str, str]:
    plain = view.name.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_")
    encoded = quote(view.name, safe="", errors="replace")
    headers: dict[str, Any] = {
        "Accept-Ranges": "bytes",
        # RFC 6266: the plain name for old clients, the exact one beside it
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}",
        "X-Content-Type-Options": "nosniff",
    }
    if length is not None:
        headers["Content-Length"] = str(length)
    if view.etag is not None:
        headers["ETag"] = f'"{view.etag}"'
    return headers


def _type(view: EntryView) -> str:
    return view.mime_type or "application/octet-stream"


_FILES = "/v1/accounts/{accounts}/storage/files"
ROUTES = [
    Route(f"{_FILES}/{{id}}/contents", download, methods=["GET", "HEAD"]),
    Route(_FILES, upload, methods=["POST"]),
    Route(f"{_FILES}/{{id}}", replace, methods=["PUT"]),
]
