"""Requests that somebody else made: whether they stay in an account's part of its store, what is kept.

Servers differ in how they read a path, and a path that any of them reads as another one must not leave the
account's part. So what can be read in two ways is refused, not tidied up.
"""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from connectors.interface import NotPermitted, Origin, Request

type Query = Sequence[tuple[str, str]]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SEPARATOR = re.compile(r"[/\\]")
_ECHO = frozenset({"TRACE", "TRACK", "CONNECT"})  # the first two send our authorisation back
_CALLERS = frozenset(
    {
        *("host", "authorization", "proxy-authorization"),
        *("x-http-method-override", "x-http-method", "x-method-override"),  # another method than was judged
        *("x-original-url", "x-rewrite-url"),  # another target
    }
)
_PORTS = {"http": 80, "https": 443}
BY_TARGET = frozenset(
    {
        *("GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE", "PROPFIND", "PROPPATCH", "MKCOL"),
        *("COPY", "MOVE", "LOCK", "UNLOCK"),
    }
)
"""Methods of HTTP (RFC 9110, RFC 5789) and WebDAV (RFC 4918); others name resources in their body."""


def require_origin(request: Request, origins: Iterable[Origin]) -> None:
    """Raises NotPermitted for an origin that is none of these, and for methods that no account has."""
    if request.origin not in origins:
        raise NotPermitted("this host is not one of the account's")
    if request.method.upper() in _ECHO:
        raise NotPermitted(f"{request.method} is not passed on: it would show the account's authorisation")


def require_below(request: Request, origin: Origin) -> None:
    """Raises NotPermitted for what is not at the origin, or names something that is not below its path."""
    require_origin(request, [origin])
    below(request.target.partition("?")[0], origin.path)
    for address in values(request, "destination"):
        below_url(address, origin)
    if origin.path != "/" and request.method not in BY_TARGET:
        raise NotPermitted(f"{request.method} could name what is not below the account's URL")


def below(path: str, base: str) -> str:
    """What follows the base in the path, decoded; empty for the base itself, with its last slash or without.

    Args:
        path: percent-encoded.
        base: percent-encoded, begins and ends with `/`.

    Raises:
        NotPermitted: it lies elsewhere, or some server could take it for a path elsewhere: by `.` and `..`
            in any spelling, backslashes and path parameters included, or control characters.
    """
    decoded = _decoded(path)
    for read in (decoded, _decoded(decoded)):  # some decode twice
        parts = [part.partition(";")[0] for part in _SEPARATOR.split(read)]
        if "." in parts or ".." in parts or _CONTROL.search(read):
            raise NotPermitted("the path has . or .. or a control character in it")
    wanted = [_decoded(part) for part in base.strip("/").split("/") if part]
    first, *given = path.split("/")
    if first or [_decoded(part) for part in given[: len(wanted)]] != wanted:
        raise NotPermitted("the path is not below the account's")
    return _decoded("/".join(given[len(wanted) :]))


def below_url(url: str, origin: Origin) -> str:
    """As `below`, of an absolute URL, or an absolute path, at the origin; its query is not looked at."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        raise NotPermitted("an address in a header is malformed") from None
    absolute = (parts.scheme, parts.hostname, port) == (origin.scheme, origin.host, origin.port)
    in_place = not parts.scheme and not parts.netloc
    if not (absolute or in_place) or "@" in parts.netloc:
        raise NotPermitted("an address in a header is at a host that is not the account's")
    return below(parts.path, origin.path)


def kept(request: Request, dropped: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Its origin's Host and the request's headers, without the dropped and what says who its caller is.

    Cookies are the sender's to let through or not.
    """
    gone = _CALLERS.union(dropped)
    rest = [(name, value) for name, value in request.fields if name not in gone]
    return [("host", request.origin.authority), *rest]


def values(request: Request, name: str) -> list[str]:
    """Every value of a header."""
    return [value for key, value in request.fields if key == name]


def joined(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers as signatures see them: repeated ones in one line, the bytes read as UTF-8 where they are."""
    found: dict[str, str] = {}
    for name, value in fields:
        text = _as_utf8(value)
        found[name] = f"{found[name]},{text}" if name in found else text
    return found


def pairs(query: str) -> list[tuple[str, str]]:
    """Names and values of a query, decoded; `+` is a space."""
    parts = (part.partition("=") for part in query.split("&") if part)
    return [
        (unquote_plus(name, errors="surrogateescape"), unquote_plus(value, errors="surrogateescape"))
        for name, _, value in parts
    ]


def encoded(query: Query) -> str:
    """The query as signatures want it: all but RFC 3986's unreserved characters percent-encoded."""
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query)


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


def _decoded(text: str) -> str:
    return unquote(text, errors="surrogateescape")


def _as_utf8(value: str) -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value
