"""What requests carry, read strictly: a wrong value is a 400 that names it."""

import base64
import binascii
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request

from gateway.api.errors import invalid

_TRUE, _FALSE = {"true", "1"}, {"false", "0"}
LONGEST_ID = 8192
_LONGEST_NAME = 255
_NUMBER = re.compile(r"[0-9]{1,9}")


def page_size(request: Request, default: int) -> int:
    """`page_size`, 1 to 1000."""
    given = request.query_params.get("page_size")
    if given is None:
        return default
    if not (_NUMBER.fullmatch(given) and 1 <= int(given) <= 1000):
        raise invalid("page_size", "must be a number from 1 to 1000")
    return int(given)


def page_number(request: Request) -> int:
    """`page`, from 1."""
    given = request.query_params.get("page", "1")
    if not (_NUMBER.fullmatch(given) and int(given) >= 1):
        raise invalid("page", "must be a number from 1 on")
    return int(given)


def page_place(request: Request) -> tuple[int, str | None]:
    """Where `page` says to go on: the how-manieth account of the path, and the cursor in it.

    The first page is `1`, or nothing; every other one is what an answer's `next_page` was.
    """
    given = request.query_params.get("page", "1")
    if given in ("", "1"):
        return 0, None
    try:
        text = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True).decode()
        number, dot, cursor = text.partition(".")
        if not (dot and _NUMBER.fullmatch(number)):
            raise ValueError
    except (binascii.Error, ValueError):
        raise invalid("page", "must be 1, or the next_page of an answer, as it came") from None
    return int(number), cursor or None


def place_text(number: int, cursor: str | None) -> str:
    """A place as `next_page` carries it: opaque, URL-safe."""
    return base64.urlsafe_b64encode(f"{number}.{cursor or ''}".encode()).rstrip(b"=").decode()


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


def object_of(text: bytes, field: str) -> dict[str, Any]:
    """The JSON object that the text is."""
    value = value_of(text, field)
    if not isinstance(value, dict):
        raise invalid(field, "must be a JSON object")
    return value


def value_of(text: bytes, field: str) -> Any:
    """What the text is as JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise invalid(field, "is not JSON") from None


def text(value: Mapping[str, Any], field: str) -> str:
    """A string that must be there."""
    found = optional_text(value, field)
    if found is None:
        raise invalid(field, "is missing")
    return found


def optional_text(value: Mapping[str, Any], field: str) -> str | None:
    """A string, or None when it is not there or null."""
    found = value.get(field)
    if found is not None and not isinstance(found, str):
        raise invalid(field, "must be a string")
    return found


def optional_flag(value: Mapping[str, Any], field: str) -> bool | None:
    """A boolean, or None when it is not there."""
    if field not in value:
        return None
    if not isinstance(value[field], bool):
        raise invalid(field, "must be true or false")
    return bool(value[field])


def entry_id(value: Mapping[str, Any], field: str) -> str:
    """The id of a file or folder that must be there."""
    return _checked_id(text(value, field), field)


def optional_entry_id(value: Mapping[str, Any], field: str) -> str | None:
    """The id of a file or folder, or None."""
    found = optional_text(value, field)
    return None if found is None else _checked_id(found, field)


def _checked_id(given: str, field: str) -> str:
    if not 0 < len(given) <= LONGEST_ID:
        raise invalid(field, f"must have 1 to {LONGEST_ID} characters")
    return given


def name(value: Mapping[str, Any]) -> str:
    """A file's or folder's name that could exist."""
    return checked_name(text(value, "name"))


def optional_name(value: Mapping[str, Any]) -> str | None:
    """A name that could exist, or None."""
    found = optional_text(value, "name")
    return None if found is None else checked_name(found)


def checked_name(given: str) -> str:
    """The name, if it could exist: no slash, no control character, at most 255 bytes, not `.` or `..`."""
    if given in ("", ".", ".."):
        raise invalid("name", "must not be empty, '.' or '..'")
    if "/" in given or any(unicodedata.category(c) == "Cc" for c in given):
        raise invalid("name", "must have no slash and no control character")
    try:
        size = len(given.encode())
    except UnicodeEncodeError:
        raise invalid("name", "has half of a surrogate pair") from None
    if size > _LONGEST_NAME:
        raise invalid("name", f"is longer than {_LONGEST_NAME} bytes")
    return given


def content_length(request: Request) -> int | None:
    """The body's declared length; None when it comes chunked."""
    given = request.headers.get("content-length")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise invalid("Content-Length", "must be a number of bytes")
    return int(given)


def optional_moment(text: str) -> datetime | None:
    """The moment that an ISO 8601 text names, UTC unless it says otherwise; None for what is none."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def optional_date(value: Mapping[str, Any], field: str) -> datetime | None:
    """A date in ISO 8601, UTC unless it says otherwise; None when it is not there or null."""
    given = optional_text(value, field)
    if given is None:
        return None
    if (at := optional_moment(given)) is None:
        raise invalid(field, "must be a date in ISO 8601, such as 2030-01-31T12:00:00Z")
    return at


def moment(at: datetime | None) -> str | None:
    """A date as the API writes it: UTC, microseconds, `Z`."""
    if at is None:
        return None
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
