"""`X-Kloudless-Raw-Headers`: headers that a client adds to the requests that reach its store."""

import re
from typing import Final

from starlette.requests import Request

from gateway.api.errors import invalid
from gateway.api.parameters import object_of

_HEADER: Final = "X-Kloudless-Raw-Headers"
_LARGEST = 8 * 1024
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token, RFC 9110, 5.6.2
_VALUE = re.compile(r"[\x20-\x7e\t]*")
# what frames or routes a message, and what says who asks: the connector's alone
_REFUSED = {
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


def raw_headers(request: Request) -> dict[str, str]:
    """The headers that the request has for its store; none without any.

    Raises ApiError (400) for what is no JSON object of texts, could break a head, or is the connector's own.
    """
    given = request.headers.get(_HEADER)
    if given is None:
        return {}
    if len(given) > _LARGEST:
        raise invalid(_HEADER, f"is longer than {_LARGEST} bytes")
    found = object_of(given.encode("latin-1"), _HEADER)
    for name, value in found.items():
        if not isinstance(value, str):
            raise invalid(_HEADER, "every value must be a string")
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise invalid(_HEADER, "has a name or a value that no header can have")
        if name.lower() in _REFUSED or name.lower().startswith("proxy-"):
            raise invalid(_HEADER, f"{name} can't be set")
    return found
