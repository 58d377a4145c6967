"""The bytes of files, streamed both ways; nothing here holds more than a piece."""

import re
from contextlib import aclosing
from datetime import UTC
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from connectors.interface import BadSpan, PreconditionFailed
from gateway.api import conditions, parameters, resources, storage, tasks
from gateway.api.bodies import json_object, pieces
from gateway.api.call import Call, ref, resource
from gateway.api.conditions import Range
from gateway.api.errors import ApiError, invalid
from gateway.api.forms import Form
from gateway.api.streamed import Streamed
from gateway.operations import AccountRef, Conflict, EntryView, Operations, Reading
from store.tables import Account

_MEDIA_TYPE = re.compile(r"[!-~]+/[!-~]+(?:; ?[!-~]+)*")


async def download(call: Call) -> Response:
    """All of a file, or a range of it."""
    return await send_file(call, ref(await call.store()), call.entry_id)


async def send_file(call: Call, account: AccountRef, file_id: str) -> Response:
    """The file as the request's method, range and conditions ask for it."""
    operations = call.parts.operations
    none_match, match = conditions.tags(call, "if-none-match"), conditions.tags(call, "if-match")
    if call.method == "HEAD" or none_match is not None or match is not None:
        view = await operations.stat(account, file_id, "file")
        if match is not None and not match.match(view.etag):
            raise conditions.changed()
        if none_match is not None and none_match.match(view.etag, weakly=True):
            return Response(status_code=304, headers=_validators(view))
        if call.method == "HEAD":
            return _bodiless(_head(view, view.size))
    wanted = conditions.byte_range(call)
    try:
        reading, cut = await _open(operations, account, file_id, wanted, conditions.if_range(call))
    except BadSpan:
        raise await _unsatisfiable(operations, account, file_id) from None
    return _opened(reading, cut, call.parts.settings.idle_timeout)


async def _open(
    operations: Operations, account: AccountRef, file_id: str, wanted: Range | None, only: str | None
) -> tuple[Reading, bool]:
    """The file, and whether it was cut to what is wanted.

    It is the whole file when it is another version than `only`, or when the store does not say its size.
    """
    if wanted is None:
        return await operations.read(account, file_id), False
    try:
        reading = await operations.read(
            account, file_id, first=wanted.first, last=wanted.last, suffix=wanted.suffix, etag=only
        )
    except PreconditionFailed:
        return await operations.read(account, file_id), False
    if reading.length is not None:
        return reading, True
    await reading.aclose()
    return await operations.read(account, file_id), False


async def _unsatisfiable(operations: Operations, account: AccountRef, file_id: str) -> ApiError:
    size = (await operations.stat(account, file_id, "file")).size
    headers = {"Content-Range": f"bytes */{'*' if size is None else size}", "Accept-Ranges": "bytes"}
    return ApiError(416, "bad_range", "Range: the file has no such bytes", headers=headers)


def _opened(reading: Reading, cut: bool, idle_timeout: float) -> Response:
    """The reading's content; `cut` is whether it is a part of the file, as asked for."""
    head = _head(reading.entry, reading.length)
    if cut:
        size = "*" if reading.entry.size is None else reading.entry.size
        head["Content-Range"] = f"bytes {reading.first}-{reading.first + (reading.length or 1) - 1}/{size}"
    return Streamed(reading, 206 if cut else 200, _encoded(head), idle_timeout)


async def upload(call: Call) -> Response:
    """A new file from the body, or from the `file` part of a form."""
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    from_url = kind == "application/json" and "x-kloudless-metadata" not in call.headers
    account = await call.store(as_task=from_url)
    conflict = conflict_of(call)
    if from_url:
        return await _fetch(call, account, conflict)
    async with aclosing(pieces(call)) as body:
        size = parameters.content_length(call)
        content = body
        if "x-kloudless-metadata" in call.headers:
            header = call.headers["x-kloudless-metadata"].encode("latin-1")
            given = parameters.object_of(header, "X-Kloudless-Metadata")
        elif kind == "multipart/form-data":
            form = Form(call.headers["content-type"], body)
            given, content, size = await form.metadata(), form.content(), None
        else:
            raise invalid("X-Kloudless-Metadata", 'is missing: send {"name": ..., "parent_id": ...}')
        async with aclosing(content) as chunks:
            view, created = await call.parts.operations.write(
                ref(account),
                parameters.entry_id(given, "parent_id"),
                parameters.name(given),
                chunks,
                size=size,
                conflict=conflict,
            )
    return resources.send(resources.entry(call, account, view), 201 if created else 200)


async def _fetch(call: Call, account: Account, conflict: Conflict) -> Response:
    """A new file from what a URL gives."""
    given = await json_object(call)
    arguments: dict[str, Any] = {
        "url": parameters.text(given, "url"),
        "parent_id": parameters.entry_id(given, "parent_id"),
        "name": parameters.name(given),
        "conflict": conflict,
    }
    if call.wants_task:
        return await tasks.begin(call, account, "fetch", **arguments)
    view, created = await call.parts.operations.fetch(ref(account), **arguments)
    return resources.send(resources.entry(call, account, view), 201 if created else 200)


async def replace(call: Call) -> Response:
    """New bytes for a file; with If-Match only over that version."""
    account = await call.store()
    etag = await _expected(call, ref(account))
    async with aclosing(pieces(call)) as chunks:
        view = await call.parts.operations.replace(
            ref(account), call.entry_id, chunks, size=parameters.content_length(call), etag=etag
        )
    return resources.send(resources.entry(call, account, view))


async def _expected(call: Call, account: AccountRef) -> str | None:
    """The version that may be replaced; None for whichever there is."""
    match = conditions.tags(call, "if-match")
    if match is None or match.any:
        return None
    if len(match.strong) == 1:
        return match.strong[0]
    view = await call.parts.operations.stat(account, call.entry_id, "file")
    if not match.match(view.etag):
        raise conditions.changed()
    return view.etag


def conflict_of(call: Call) -> Conflict:
    """What `overwrite` and `conflict_if_exists` ask for when the name is taken."""
    overwrite = parameters.flag(call, "overwrite")
    if parameters.flag(call, "conflict_if_exists"):
        return Conflict.ERROR
    return Conflict.REPLACE if overwrite else Conflict.RENAME


def _head(view: EntryView, length: int | None) -> dict[str, str]:
    name = "".join("_" if c in '"\\' or not " " <= c <= "~" else c for c in view.name)
    mime_type = view.mime_type or ""
    head = {
        "Content-Type": mime_type if _MEDIA_TYPE.fullmatch(mime_type) else "application/octet-stream",
        # RFC 6266: a plain name for old clients, the exact one beside it
        "Content-Disposition": (
            f"attachment; filename=\"{name}\"; filename*=UTF-8''{quote(view.name, safe='', errors='replace')}"
        ),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        **_validators(view),
    }
    if length is not None:
        head["Content-Length"] = str(length)
    return head


def _validators(view: EntryView) -> dict[str, str]:
    found = {}
    if (tag := conditions.tag_of(view)) is not None:
        found["ETag"] = tag
    if view.modified is not None:
        found["Last-Modified"] = format_datetime(view.modified.astimezone(UTC), usegmt=True)
    return found


def _bodiless(head: dict[str, str]) -> Response:
    """The answer to HEAD: the length is the content's, or is not known and not said."""
    response = Response()
    response.raw_headers = _encoded(head)
    return response


def _encoded(head: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in head.items()]


_FILES = "/v1/accounts/{accounts}/storage/files"
ROUTES = [
    resource(f"{_FILES}/{{id}}/contents", GET=download),
    resource(
        f"{_FILES}/{{id}}",
        GET=storage.show("file"),
        PUT=replace,
        PATCH=storage.move("file"),
        DELETE=storage.delete("file"),
    ),
    resource(_FILES, POST=upload),
]
