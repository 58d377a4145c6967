"""A request in the store's own HTTP API, to be sent by somebody else with the account's authorisation."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from connectors.interface.errors import InvalidName

type Fields = Sequence[tuple[str, str]]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t \x21-\x7e\x80-\xff]*")  # RFC 9110, 5.5: no control characters, so no second header
# more than RFC 3986 has for path and query, since programs send []{}|^` as they are; no quotes, no fragment
_TARGET = re.compile(r"/[!$-;=?-\[\]-~]*")
_PORTS = {"http": 80, "https": 443}
_LARGEST_HEAD = 64 * 1024


class Signing(StrEnum):
    """How programs sign requests in a store's own API, where the native proxy checks it with other keys."""

    AWS4 = "AWS4-HMAC-SHA256"


class ErrorForm(StrEnum):
    """In which form programs of a store's own API read why a request was refused."""

    S3 = "s3"
    AZURE = "azure"
    GOOGLE = "google"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a store's API lives: scheme (`http`, `https`), host in lower case, port; below which path.

    Attributes:
        path: begins and ends with `/`; only requests below it, and for itself (with the last slash or
            without), are the account's.
        ca: PEM certificates to trust for it; None is the machine's own.
        worker_tls: whether TLS with it is the worker's: it takes the account's client certificate, whose key
            stays there. Said by the worker of what connectors state.
        signing: how programs sign for it, which `authorise` does anew; None is not at all, or unchecked.
        flat_names: what is below the path are names without folders: for the store neither `%2F`, as some
            programs write a slash, nor `%25` leads out of the path, and `authorise` reads them as it does.
        errors: how its programs read what is answered in the store's place; None as a line of text.
    """

    scheme: str
    host: str
    port: int
    path: str = "/"
    ca: str | None = field(default=None, repr=False)
    worker_tls: bool = False
    signing: Signing | None = None
    flat_names: bool = False
    errors: ErrorForm | None = None

    @classmethod
    def of(cls, url: str, ca: str | None = None) -> Self:
        """Of an http or https URL; its path, plain or percent-encoded, is what the account is below."""
        parts = urlsplit(url)
        path = quote(unquote(parts.path)).rstrip("/") + "/"
        return cls(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme], path, ca)

    @property
    def authority(self) -> str:
        """As the Host header has it: the port only where it is not the scheme's own."""
        named = f"[{self.host}]" if ":" in self.host else self.host
        return named if _PORTS.get(self.scheme) == self.port else f"{named}:{self.port}"


class Payload(StrEnum):
    """What is known of a request's body when its head is authorised."""

    NONE = "none"
    UNSIGNED = "unsigned"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head, as it will be sent but for its authorisation.

    Making one that no HTTP/1.1 message could carry, or of more than 64 KiB, raises InvalidName.

    Attributes:
        target: path and query, percent-encoded.
        fields: headers, names in lower case, in order, values as Latin-1 reads them; Host is the origin's
            whatever is said here, and hop-by-hop headers are the sender's own.
        payload: whether there is a body, and whether its digest is known.
        digest: SHA-256 of the body in hexadecimal, with `Payload.DIGEST`.
    """

    method: str
    origin: Origin
    target: str
    fields: Fields = ()
    payload: Payload = Payload.UNSIGNED
    digest: str | None = None

    def __post_init__(self) -> None:
        """Checks that it is one message, and not two."""
        if not _TOKEN.fullmatch(self.method):
            raise InvalidName("this is no HTTP method")
        if not _TARGET.fullmatch(self.target):
            raise InvalidName("a request's path and query must be percent-encoded and begin with /")
        size = len(self.target)
        for name, value in self.fields:
            if not _TOKEN.fullmatch(name) or name != name.lower() or not _VALUE.fullmatch(value):
                raise InvalidName("a header has a name or value that HTTP can't carry")
            size += len(name) + len(value)
        if size > _LARGEST_HEAD:
            raise InvalidName("the request's head is larger than 64 KiB")


@dataclass(frozen=True, slots=True)
class Authorised:
    """What the request's head becomes: it says all of target and headers, so nothing of the former is left.

    Attributes:
        fields: Host first, the origin's; hop-by-hop headers as they were given.
        secrets: what was put in, in every spelling that an answer could echo it in; to be scrubbed.
        expires: seconds for which the same answer may be given again to the same request; 0 for once.
    """

    target: str = field(repr=False)  # a SAS token stands in the query
    fields: Fields = field(repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    expires: float = 0.0
