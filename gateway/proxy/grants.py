"""What a token may carry: pure decisions on one request's method, host and path.

Nothing is allowed that does not match: an origin of the account, and every limit of the token.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from connectors.http1.others import BY_TARGET
from connectors.interface import Origin, Signing

READING = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"})
"""Methods that change nothing (RFC 9110, 9.2.1; RFC 4918; RFC 3253; RFC 5323)."""
_ECHOES = frozenset({"TRACE", "TRACK"})
_OVERRIDES = frozenset({"x-http-method", "x-http-method-override", "x-method-override"})
_SECOND_PLACES = frozenset({"destination", "x-ms-copy-source", "x-ms-rename-source"})
"""Headers with a URL or path that a request is about too (RFC 4918, 10.3; Azure's Copy Blob, Path Create)."""
_S3_SOURCE = "x-amz-copy-source"
"""Bucket and key, percent-encoded (Amazon S3 API Reference, CopyObject)."""
_SOURCES = frozenset({"x-amz-rename-source", "x-goog-copy-source"})
"""As that, but of stores and ways of asking that are not checked for it."""
_SECOND_PATHS = re.compile(r"/b/[^/]+/o/[^/]+/(copyTo|rewriteTo|moveTo|compose)(/|$)")
"""Of Google's JSON API (Objects): behind one object's name, an act that names others."""
_PORTS = {"http": 80, "https": 443}
_UNFIT = re.compile(r"[\x00-\x20\x7f\\#]")
_SLASHES = re.compile(r"%(2f|5c|00|25)", re.IGNORECASE)
_DISGUISES = re.compile(r"%(5c|00)", re.IGNORECASE)
_LONGEST_TARGET = 16 * 1024
_LONGEST_PORT = 5


class Denied(Exception):
    """The request is not let through, with the status to say so and the reason in words for its sender."""

    code: str | None = None
    """The store's own name for what is wrong, where it has one."""

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after


@dataclass(frozen=True, slots=True)
class Grant:
    """What one token may do. Empty lists allow every host, method or path of the account.

    Attributes:
        revision: the account's, as the token was looked up.
        actor: who it is, for the audit log.
        hosts: `host` or `host:port`, lower case.
        paths: prefixes, each from `/`; a prefix covers itself and what is below it.
    """

    account: int
    revision: int
    actor: str
    hosts: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    read_only: bool = False

    def require_host(self, origins: Sequence[Origin], host: str, port: int) -> None:
        """Raises Denied unless something of the account is there, and the token may go there."""
        if origin_at(origins, host, port) is None:
            raise Denied(403, f"{host}:{port} is not a host of account {self.account}")
        self._require_listed(host, port)

    def require(
        self, origins: Sequence[Origin], *, method: str, scheme: str, host: str, port: int, target: str
    ) -> Origin:
        """The origin that the request is for. Raises Denied when it is for none, or beyond the token."""
        if method.upper() in _ECHOES:
            raise Denied(403, f"{method} is not let through: its answer would show what was put in")
        path = plain_path(target)
        here = [o for o in origins if (o.scheme, plain_host(o.host), o.port) == (scheme, host, port)]
        if not here:
            raise Denied(403, f"{scheme}://{host}:{port} is not a host of account {self.account}")
        self._require_listed(host, port)
        if self.paths or any(o.path != "/" for o in here):
            _require_one_reading(target, path, flat=all(o.flat_names for o in here))
        origin = next((o for o in here if covers(o.path, path)), None)
        if origin is None:
            raise Denied(403, f"this path of {host} is not of account {self.account}")
        if self.read_only and method not in READING:
            raise Denied(403, f"this token is read-only: {method} is not let through")
        if self.methods and method not in self.methods:
            raise Denied(403, f"this token does not let {method} through")
        if self.paths and not any(covers(prefix, path) for prefix in self.paths):
            raise Denied(403, "this token does not let this path through")
        if self.paths and _SECOND_PATHS.search(target.partition("?")[0]):
            raise Denied(403, "this token limits paths: this one names a second object")
        return origin

    def require_passing(self, host: str, port: int) -> None:
        """Raises Denied unless the token lets everything through there: nothing that passes is looked at."""
        self._require_listed(host, port)
        if self.read_only or self.methods or self.paths:
            raise Denied(403, "this token is limited in what it may do, and what passes through is not seen")

    def require_plain_method(self, header_names: Iterable[str]) -> None:
        """Raises Denied where the token limits methods and a header asks the store to take another one.

        It is not taken off instead: a POST that stands for a GET would be a real POST then.
        """
        if (self.read_only or self.methods) and (found := _OVERRIDES.intersection(header_names)):
            raise Denied(403, f"this token limits methods: {min(found)} is not let through")

    def require_second_places(self, origin: Origin, method: str, fields: Iterable[tuple[str, str]]) -> None:
        """Raises Denied where the token limits paths and the request may be about more than its target.

        The account's own limits are the worker's to keep. The fields have their names in lower case.
        """
        if not self.paths:
            return
        if method not in BY_TARGET:
            raise Denied(403, f"this token limits paths: {method} could name others in its body")
        for name, value in fields:
            if name == _S3_SOURCE and origin.signing is Signing.AWS4:
                self._require_source(origin, value)
            elif name == _S3_SOURCE or name in _SOURCES:
                raise Denied(403, f"this token limits paths: {name} is not let through")
            if name in _SECOND_PLACES:
                self._require_place(origin, name, value)

    def _require_place(self, origin: Origin, name: str, value: str) -> None:
        if _UNFIT.search(value):  # tabs, which urlsplit takes off, among them
            raise Denied(400, f"{name} has characters that no URL has")
        try:
            place = urlsplit(value)
        except ValueError:
            raise Denied(400, f"{name} is no URL") from None
        is_here = place.scheme.lower() == origin.scheme and names(place.netloc, origin)
        if (place.scheme or value.startswith("//")) and not is_here:
            raise Denied(403, f"this token limits paths: {name} is for another host")
        path = plain_path(place.path)
        _require_one_reading(place.path, path, flat=origin.flat_names)
        if not any(covers(prefix, path) for prefix in self.paths):
            raise Denied(403, f"this token does not let the path in {name} through")

    def _require_source(self, origin: Origin, value: str) -> None:
        """As a place. That the bucket is the account's requires the worker; it reads the key as we do."""
        path = plain_path(f"/{value.removeprefix('/')}")
        _require_one_reading(value, path, flat=origin.flat_names)
        bucket, _, key = path[1:].partition("/")
        place = f"/{key}" if origin.path == "/" else path  # the bucket stands in the host, or in the path
        if ":" in bucket or not any(covers(prefix, place) for prefix in self.paths):
            raise Denied(403, f"this token does not let the object in {_S3_SOURCE} through")

    def _require_listed(self, host: str, port: int) -> None:
        if self.hosts and not {host, f"{host}:{port}"} & set(self.hosts):
            raise Denied(403, f"this token does not let {host}:{port} through")


def origin_at(origins: Sequence[Origin], host: str, port: int) -> Origin | None:
    """One of the origins that is at this host, in its plain form, and port."""
    return next((o for o in origins if (plain_host(o.host), o.port) == (host, port)), None)


def plain_path(target: str) -> str:
    """The target's path, decoded. Raises Denied for what is no path."""
    path = target.partition("?")[0]
    if not path.startswith("/") or len(target) > _LONGEST_TARGET or _UNFIT.search(target):
        raise Denied(400, "this is no path: it is too long, or has characters that no path has")
    return unquote(path, errors="surrogateescape")


def _require_one_reading(target: str, decoded: str, *, flat: bool) -> None:
    """Raises Denied for a path that a store may read as another one, so that it leaves a prefix.

    Where names are flat, `%2F` is how the vendor's own SDKs write a slash in one, and a name may have a `%`.
    """
    encoded = (_DISGUISES if flat else _SLASHES).search(target.partition("?")[0])
    if encoded or {".", ".."} & {segment.partition(";")[0] for segment in decoded.split("/")}:
        raise Denied(403, "a path below a prefix must not have dot segments or encoded slashes")


def covers(prefix: str, path: str) -> bool:
    """Whether the path is the prefix or below it."""
    whole = prefix.rstrip("/")
    return path == whole or path.startswith(f"{whole}/")


@lru_cache(1024)
def plain_host(host: str) -> str:
    """The host in lower case, without a final dot; an IPv6 address in its one short form."""
    bare = host.strip("[]").rstrip(".").lower()
    try:
        return str(ip_address(bare))
    except ValueError:
        return bare


def names(host_field: str, origin: Origin) -> bool:
    """Whether a Host header, or `:authority`, is the origin's."""
    host, colon, port = host_field.rpartition(":")
    if not colon or host_field.endswith("]"):
        host, port = host_field, str(_PORTS.get(origin.scheme))
    if not (port.isascii() and port.isdigit() and len(port) <= _LONGEST_PORT):
        return False
    return (plain_host(host), int(port)) == (plain_host(origin.host), origin.port)
