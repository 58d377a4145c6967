"""Headers that a caller of ours adds to the requests that a store gets."""

import re
from collections.abc import Mapping, Sequence

from connectors.http1.connection import Headers
from connectors.interface import InvalidName, Unsupported

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token (RFC 9110, 5.6.2)
_VALUE = re.compile(r"[\t \x21-\x7e\xa0-\xff]*")  # RFC 9110, 5.5: no control characters, so no second header
_OURS = frozenset(
    b"host authorization proxy-authorization cookie "  # who asks whom
    b"content-length transfer-encoding connection keep-alive proxy-connection te trailer upgrade expect "
    b"range accept-encoding".split()  # what bytes we then wait for
)


def callers_headers(headers: Mapping[str, str]) -> Sequence[tuple[bytes, bytes]]:
    """The headers as they are sent, in lower case; those that are the connector's own to say are left out.

    Raises InvalidName for what is no header.
    """
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise InvalidName(f"this is no HTTP header: {name!r}")
    framed = [(k.lower().encode(), v.strip(" \t").encode("latin-1")) for k, v in headers.items()]
    return [(name, value) for name, value in framed if name not in _OURS]


def added_headers(
    headers: Mapping[str, str], ours: frozenset[str], ours_from: tuple[str, ...]
) -> dict[str, str]:
    """The headers, names in lower case, for a store whose requests hang on headers of its own kind.

    Args:
        headers: the caller's.
        ours: names, in lower case, by which a request gets its meaning, framing or signature.
        ours_from: how further such names begin.

    Raises:
        Unsupported: one of them is ours, or HTTP can't carry it.
    """
    added = {name.lower(): value for name, value in headers.items()}
    for name, value in added.items():
        if name in ours or name.startswith(ours_from):
            raise Unsupported(f"the header {name} is the connector's own")
        if not _NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise Unsupported("a header has a name or value that HTTP can't carry")
    return added


def joined(ours: Headers, callers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A request's headers: ours, and the caller's where we say nothing."""
    said = {name for name, _ in ours}
    return [*ours, *(header for header in callers if header[0] not in said)]
