"""A request in the store's own HTTP API, to be sent by somebody else with the account's authorisation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

type Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a store's API lives: scheme (`http`, `https`), host in lower case, port; below which path.

    Attributes:
        path: begins and ends with `/`; only requests below it are the account's.
        ca: PEM certificates to trust for it; None is the machine's own.
    """

    scheme: str
    host: str
    port: int
    path: str = "/"
    ca: str | None = None


class Payload(StrEnum):
    """What is known of a request's body when its head is authorised."""

    NONE = "none"
    UNSIGNED = "unsigned"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head, as it will be sent but for its authorisation.

    Attributes:
        target: path and query, percent-encoded.
        fields: headers, names in lower case, in order; Host is the origin's.
        payload: whether there is a body, and whether its digest is known.
        digest: SHA-256 of the body in hexadecimal, with `Payload.DIGEST`.
    """

    method: str
    origin: Origin
    target: str
    fields: Fields = ()
    payload: Payload = Payload.UNSIGNED
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Authorised:
    """What the request's head becomes: it says all of target and headers, so nothing of the former is left.

    Attributes:
        secrets: what was put in, in every spelling that an answer could echo it in; to be scrubbed.
        expires: seconds for which the same answer may be given again to the same request; 0 for once.
    """

    target: str
    fields: Fields
    secrets: Sequence[str] = field(default=(), repr=False)
    expires: float = 0.0
