"""What requests carry, read strictly: a wrong value is a 400 that names it."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request

from gateway.api.errors import ApiError, invalid

_TRUE, _FALSE = {"true", "1"}, {"false", "0"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOST_JSON = 1024 * 1024


def page_size(request: Request, default: int) -> int:
    """`page_size`, 1 to 1000."""
    given = request.query_params.get("page_size")
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 5 and 1 <= int(given) <= 1000):
        raise invalid("page_size", "must be a number from 1 to 1000")
    return int(given)


def page_number(request: Request) -> int:
    """`page`, from 1."""
    given = request.query_params.get("page", "1")
    if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given) >= 1):
        raise invalid("page", "must be a number from 1 on")
    return int(given)


def flag(request: Request, name: str) -> bool | None:
    """A boolean of the query; None when it isn't there."""
    given = request.query_params.get(name)
    if given is None:
        return None
    if given.lower() in _TRUE:
        return True
    if given.lower() in _FALSE:
        return False
    raise invalid(name, "must be true or false")


async def json_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object of at most 1 MiB."""
    received = b""
    async for piece in request.stream():
        received += piece
        if len(received) > _MOST_JSON:
            raise ApiError(413, "too_large", "the JSON body is larger than 1 MiB")
    return _object(received, "body")


def metadata(request: Request) -> dict[str, Any]:
    """The JSON object of X-Kloudless-Metadata."""
    given = request.headers.get("x-kloudless-metadata")
    if given is None:
        raise invalid("X-Kloudless-Metadata", 'is missing: send {"name": ..., "parent_id": ...}')
    return _object(given.encode("latin-1"), "X-Kloudless-Metadata")


def _object(text: bytes, field: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(field, f"is not JSON ({error.msg})") from None
    if not isinstance(value, dict):
        raise invalid(field, "must be a JSON object")
    return value


def text(value: dict[str, Any], field: str) -> str:
    """A string that must be there."""
    found = optional_text(value, field)
    if found is None:
        raise invalid(field, "is missing")
    return found


def optional_text(value: dict[str, Any], field: str) -> str | None:
    """A string, or None when it is not there or null."""
    found = value.get(field)
    if found is not None and not isinstance(found, str):
        raise invalid(field, "must be a string")
    return found


def name(value: dict[str, Any]) -> str:
    """A file's or folder's name that could exist."""
    return checked_name(text(value, "name"))


def checked_name(given: str) -> str:
    """The name, if it could exist: no slash, no control character, at most 255 bytes, not `.` or `..`."""
    try:
        size = len(given.encode())
    except UnicodeEncodeError:
        raise invalid("name", "has half of a surrogate pair") from None
    if not given or given in (".", ".."):
        raise invalid("name", "must not be empty, '.' or '..'")
    if "/" in given or _CONTROL.search(given):
        raise invalid("name", "must have no slash and no control character")
    if size > 255:
        raise invalid("name", "is longer than 255 bytes")
    return given


def content_length(request: Request) -> int | None:
    """The body's declared length; None when it comes chunked."""
    given = request.headers.get("content-length")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise invalid("Content-Length", "must be a number of bytes")
    return int(given)


@dataclass(frozen=True, slots=True)
class Range:
    """What `Range` asks for: `first..last` (None: to the end), or the last `suffix` bytes."""

    first: int | None = None
    last: int | None = None
    suffix: int | None = None


_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*$")


def byte_range(request: Request) -> Range | None:
    """The one range asked for; None for no, several, or foreign ranges (RFC 9110, 14.2 lets us send all)."""
    given = request.headers.get("range")
    matched = None if given is None else _RANGE.match(given)
    if matched is None:
        return None
    first, last = matched.groups()
    if not first:
        return Range(suffix=int(last)) if last else None
    if last and int(last) < int(first):
        return None
    return Range(first=int(first), last=int(last) if last else None)


def etag(quoted: str | None) -> str | None:
    """The opaque part of an entity tag; None for no tag and for `*`."""
    if quoted is None or quoted.strip() == "*":
        return None
    return quoted.strip().removeprefix("W/").strip('"')


def moment(at: datetime | None) -> str | None:
    """A date as the API writes it: UTC, microseconds, `Z`."""
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
