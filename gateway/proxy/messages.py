"""Heads of messages: what is asked of the worker, what goes to the store then, and what a client is shown."""

from collections.abc import Sequence
from typing import Final

from mitmproxy import http

from connectors.interface import Authorised, Origin, Payload, Request
from gateway.access.scrubbing import Scrubber
from gateway.proxy.wire.websockets import wanted

type Field = tuple[str, str]

_HOP_BY_HOP: Final = frozenset(
    (
        *("connection", "http2-settings", "keep-alive", "proxy-connection", "proxy-authorization"),
        *("te", "trailer", "upgrade"),
    )
)
_FRAMING: Final = ("content-length", "transfer-encoding")
_CLIENTS_OWN: Final = frozenset(("authorization", "accept-encoding", "expect", "host"))
_NOT_FOR_CLIENTS: Final = (
    *("alt-svc", "proxy-authenticate", "proxy-authentication-info", "www-authenticate"),
    "trailer",
)
_BODILESS: Final = ("GET", "HEAD", "OPTIONS", "TRACE")


def asked(request: http.Request, origin: Origin, *, keeps_cookies: bool) -> Request:
    """What the worker is to authorise: nothing of the client's own authorisation is in it."""
    headers = request.headers
    dropped = _CLIENTS_OWN | _HOP_BY_HOP | (frozenset() if keeps_cookies else {"cookie"})
    named = {word.strip().lower() for word in headers.get("connection", "").split(",")}
    fields = [
        (name.lower(), value)
        for name, value in _fields(headers)
        if name.lower() not in dropped | named and name.lower() != "transfer-encoding"
    ]
    fields.append(("accept-encoding", "identity"))  # so that what echoes a secret can be read
    payload = Payload.UNSIGNED if _has_body(request) else Payload.NONE
    return Request(request.method, origin, request.path, fields, payload)


def put_on(authorised: Authorised, request: http.Request, origin: Origin) -> None:
    """Target and headers become the worker's; how the body is framed stays the client's."""
    framing = [(n.lower(), v) for n, v in _fields(request.headers) if n.lower() in _FRAMING]
    if request.headers.get("expect", "").lower() == "100-continue":
        framing.append(("expect", "100-continue"))  # answered here, and not sent on, by mitmproxy
    upgrade = []
    if wanted(request):
        upgrade = [("connection", "upgrade"), ("upgrade", "websocket")]
    kept = [(n, v) for n, v in authorised.fields if n not in (*_FRAMING, "host", *_HOP_BY_HOP)]
    host: list[Field] = []
    if request.is_http2:
        request.authority = origin.authority
    else:  # origin-form: an absolute target inside a tunnel is written so too
        request.authority = ""
        host = [("host", origin.authority)]
    request.path = authorised.target
    request.headers = _headers([*host, *kept, *framing, *upgrade])


def shown(headers: http.Headers, scrubber: Scrubber, *, keeps_cookies: bool) -> http.Headers:
    """A store's headers as the client gets them."""
    dropped = _NOT_FOR_CLIENTS if keeps_cookies else (*_NOT_FOR_CLIENTS, "set-cookie")
    return _headers(
        [
            (scrubber.name(name), scrubber.text(without_folds(value)))
            for name, value in _fields(headers)
            if name.lower() not in dropped
        ]
    )


def without_folds(value: str) -> str:
    """A header's value on one line (RFC 9112, 5.2): what a store folded can't begin a header of its own."""
    if "\r" not in value and "\n" not in value and "\0" not in value:
        return value
    return " ".join(value.replace("\0", " ").split())


def _has_body(request: http.Request) -> bool:
    if "transfer-encoding" in request.headers:
        return True
    if "content-length" in request.headers:
        return bool(request.headers["content-length"].strip() != "0")
    return bool(request.is_http2 and request.method not in _BODILESS)


def _fields(headers: http.Headers) -> Sequence[Field]:
    """Names and values in order, as Latin-1 reads them."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.fields]


def _headers(fields: Sequence[Field]) -> http.Headers:
    return http.Headers([(_encoded(name), _encoded(value)) for name, value in fields])


def _encoded(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
