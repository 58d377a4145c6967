"""How an operation with content looks on the Unix socket: HTTP/1.1, `POST /NAME`, arguments in one header.

The body of a request or an answer is content and nothing else; what describes it stands in a header as
ASCII JSON. Operations without content have frames of their own: see `calls`.
"""

import codecs
from typing import Any

import orjson

ARGUMENTS = b"isthmus-arguments"
RESULT = b"isthmus-result"
REQUEST_ID = b"isthmus-request-id"
FAILED = 422
"""Status of an answer whose body is an error (see `errors.to_json`)."""


def pack(value: dict[str, Any]) -> bytes:
    """JSON in ASCII, fit for a header's value; an AccountRef as `{"id", "revision"}`."""
    packed = orjson.dumps(value)
    if packed.isascii():
        return packed
    return packed.decode().encode("ascii", "json_escape")


def unpack(value: bytes) -> dict[str, Any]:
    """The object that `pack` was given."""
    unpacked: dict[str, Any] = orjson.loads(value)
    return unpacked


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""Writes what is not ASCII as JSON's `\uXXXX`, in surrogate pairs beyond the basic plane."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end


codecs.register_error("json_escape", _escape)
