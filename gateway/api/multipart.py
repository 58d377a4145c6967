"""Uploads in parts (API.md 4): what a part may be is decided here, what is stored by the worker."""

import re
from contextlib import aclosing
from typing import Any

from starlette.responses import Response

from gateway.api import contents, parameters, resources
from gateway.api.bodies import json_object, pieces
from gateway.api.call import Call, ref, resource
from gateway.api.errors import ApiError, invalid
from gateway.api.parameters import moment
from gateway.operations import PartView, UploadView
from store.tables import Account

MOST_PARTS = 50_000
_LARGEST = 2**62
_NUMBER = re.compile(r"[0-9]{1,9}")


async def begin(call: Call) -> Response:
    """A new upload; a taken name gives a new one, unless `overwrite` or `conflict_if_exists`."""
    account = await call.store()
    conflict = contents.conflict_of(call)
    given = await json_object(call)
    begun = await call.parts.operations.uploads.begin(
        ref(account),
        parameters.entry_id(given, "parent_id"),
        parameters.name(given),
        size=_size(given),
        conflict=conflict,
    )
    return resources.send(_upload(call, account, begun), 201)


async def show(call: Call) -> Response:
    """The upload, with the parts that are stored."""
    account = await call.store()
    found = await call.parts.operations.uploads.fetch(ref(account), call.entry_id)
    return resources.send(_upload(call, account, found))


async def write_part(call: Call) -> Response:
    """Stores a part, or stores it again."""
    account = await call.store()
    number = _part_number(call)
    size = parameters.content_length(call)
    if size is None:
        raise ApiError(411, "length_required", "Content-Length: a part needs one")
    uploads = call.parts.operations.uploads
    check_part(await uploads.fetch(ref(account), call.entry_id), number, size)
    async with aclosing(pieces(call)) as chunks:
        stored = await uploads.write_part(ref(account), call.entry_id, number, chunks, size=size)
    return resources.send(_part(stored))


async def complete(call: Call) -> Response:
    """The file, made of the parts."""
    account = await call.store()
    uploads = call.parts.operations.uploads
    found = await uploads.fetch(ref(account), call.entry_id)
    check_complete(found)
    made = await uploads.complete(
        ref(account), found.id, parts=len(found.parts), size=sum(part.size for part in found.parts)
    )
    return resources.send(resources.entry(call, account, made), 201)


async def abandon(call: Call) -> Response:
    """Drops the upload."""
    account = await call.store()
    await call.parts.operations.uploads.abandon(ref(account), call.entry_id)
    return Response(status_code=204)


def check_part(upload: UploadView, number: int, size: int) -> None:
    """Raises a 400 for a size that a part of this number can't have, as far as that is known by now."""
    if size > upload.part_size:
        raise invalid("body", f"a part has at most {upload.part_size} bytes, the upload's part_size")
    if upload.size is not None:
        last = max(1, -(-upload.size // upload.part_size))
        if number > last:
            raise invalid("part_number", f"a file of {upload.size} bytes has {last} parts")
        wanted = upload.part_size if number < last else upload.size - (last - 1) * upload.part_size
        if size != wanted:
            raise invalid("body", f"part {number} must have {wanted} bytes")
    elif size < upload.part_size and any(part.number > number for part in upload.parts):
        raise _short(number, upload)


def check_complete(upload: UploadView) -> None:
    """Raises a 400 unless the parts are 1 to the last, each whole, and together as large as was told."""
    if not upload.parts:
        raise invalid("parts", "none was sent: a file needs at least one, be it empty")
    for number, part in enumerate(upload.parts, 1):
        if part.number != number:
            raise invalid("parts", f"part {number} is missing")
        if part.size != upload.part_size and number < len(upload.parts):
            raise _short(number, upload)
    size = sum(part.size for part in upload.parts)
    if upload.size not in (None, size):
        raise invalid("parts", f"they have {size} bytes together, and {upload.size} were announced")


def _short(number: int, upload: UploadView) -> ApiError:
    return invalid("parts", f"part {number} must have {upload.part_size} bytes: only the last may be shorter")


def _size(given: dict[str, Any]) -> int | None:
    size = given.get("size")
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= _LARGEST:
        raise invalid("size", "must be a number of bytes")
    return size


def _part_number(call: Call) -> int:
    given = call.query_params.get("part_number", "")
    if not (_NUMBER.fullmatch(given) and 1 <= int(given) <= MOST_PARTS):
        raise invalid("part_number", f"must be a number from 1 to {MOST_PARTS}")
    return int(given)


def _upload(call: Call, account: Account, view: UploadView) -> dict[str, Any]:
    return {
        "id": view.id,
        "type": "multipart",
        "api": "storage",
        "href": f"{call.base}/accounts/{account.id}/storage/multipart/{view.id}",
        "account": account.id,
        "name": view.name,
        "size": view.size,
        "part_size": view.part_size,
        "parallel": view.parallel,
        "created": moment(view.created),
        "expires": moment(view.expires),
        "parts": [_part(part) for part in view.parts],
    }


def _part(part: PartView) -> dict[str, Any]:
    return {"part_number": part.number, "size": part.size, "modified": moment(part.modified)}


_MULTIPART = "/v1/accounts/{accounts}/storage/multipart"
ROUTES = [
    resource(_MULTIPART, POST=begin),
    resource(f"{_MULTIPART}/{{id}}", GET=show, PUT=write_part, DELETE=abandon),
    resource(f"{_MULTIPART}/{{id}}/complete", POST=complete),
]
