"""AWS Signature Version 4, checked: whether a request's sender signed it with the keys of its token.

S3's API reference, "Authenticating Requests (AWS Signature Version 4)", in its two forms: the Authorization
header and the query of a presigned URL. Bytes and the time come in, no clock is read here. S3 differs from
Amazon's other services in that a path is percent-encoded once.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, unquote

from connectors.http1.others import encoded, pairs
from gateway.access.placeholders import Placeholder
from gateway.proxy.grants import Denied

NOTHING: Final = hashlib.sha256().hexdigest()
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
UNSIGNED_CHUNKS: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED_CHUNKS: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_AND_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
_PAYLOADS = frozenset({UNSIGNED, UNSIGNED_CHUNKS, SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER})
_SHA256 = re.compile(r"[0-9a-f]{64}")

_ALGORITHM = "AWS4-HMAC-SHA256"
_SCHEME = re.compile(r"AWS(4-[A-Z0-9-]*)?(?: |$)", re.IGNORECASE)
_NAMES = re.compile(r"[a-z0-9_.-]+(;[a-z0-9_.-]+)*")  # one line, whatever the query had in its place
_SKEW = timedelta(minutes=15)
_LONGEST = 7 * 24 * 3600  # of a presigned URL, in seconds
_IN_HEADER = frozenset({"Credential", "SignedHeaders", "Signature"})
_IN_QUERY = frozenset(
    {
        *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires"),
        *("X-Amz-SignedHeaders", "X-Amz-Signature"),
    }
)
_TELLING = frozenset({"x-amz-algorithm", "x-amz-credential", "x-amz-signature"})
_VERSION_2 = frozenset({"awsaccesskeyid", "signature"})
_DIGEST = "x-amz-content-sha256"
_SPACES = re.compile(r"[ \t]+")
_WHERE_FROM = "the keys to sign with are those of the proxy's token: 'isthmus exec' sets them"


class Refused(Denied):
    """A signature that is not right, or what it promised of the body: as S3 says it, by code and message."""

    code: str

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(status, message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head as it came: path and query; names in lower case, values as Latin-1 reads them."""

    method: str
    target: str
    fields: Sequence[tuple[str, str]]

    def values(self, name: str) -> list[str]:
        """Every value of the header."""
        return [value for key, value in self.fields if key == name]


@dataclass(frozen=True, slots=True)
class Signed:
    """What a right signature vouches for of the body, and with what chunks go on being signed.

    Attributes:
        payload: the body's SHA-256 in hexadecimal, or one of the words for bodies that have none.
        timestamp, scope: as they stand in strings to sign.
        signature: the head's, in hexadecimal: the first chunk's predecessor.
        key: to sign more in the same scope.
    """

    payload: str
    timestamp: str
    scope: str
    signature: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the request says of its signature."""

    credential: str
    signed_headers: str
    signature: str
    timestamp: str
    payload: str
    expires: int | None  # seconds; None in a header


def checked(head: Head, keys: Placeholder, now: datetime) -> Signed | None:
    """What the request's signature vouches for; None of a request that has no signature.

    Raises Refused for one that is not right, not of these keys, too old, or of another kind.
    """
    claim = _claim(head)
    if claim is None:
        return None
    access_key_id, _, scope = claim.credential.partition("/")
    if access_key_id != keys.access_key_id:
        raise Refused("InvalidAccessKeyId", f"this access key is not this token's: {_WHERE_FROM}")
    day, region = _scope(scope)
    _require_time(claim, day, now)
    names = _signed_names(head, claim.signed_headers)
    asked = _canonical(head, names, claim.payload)
    key = _signing_key(keys.secret_access_key, day, region)
    text = "\n".join((_ALGORITHM, claim.timestamp, scope, hashlib.sha256(asked).hexdigest()))
    if not right(claim.signature, key, text):
        raise Refused("SignatureDoesNotMatch", f"the request's signature is not right: {_WHERE_FROM}")
    return Signed(claim.payload, claim.timestamp, scope, claim.signature, key)


def right(signature: str, key: bytes, text: str) -> bool:
    """Whether it is the text's signature, found out in constant time."""
    return hmac.compare_digest(_utf8(signature), hmac.digest(key, _utf8(text), "sha256").hex().encode())


def _claim(head: Head) -> _Claim | None:
    """Which signature the request says it has. Raises Refused for several, and for kinds we can't check."""
    fields = [value for value in head.values("authorization") if _SCHEME.match(value)]
    query = pairs(head.target.partition("?")[2])
    names = {name.lower() for name, _ in query}
    if names >= _VERSION_2 or any(value[:4].upper() == "AWS " for value in fields):
        raise Refused("InvalidRequest", "Signature Version 2 is not taken: sign with AWS4-HMAC-SHA256", 400)
    in_query = not names.isdisjoint(_TELLING)
    if len(fields) + in_query > 1:
        raise Refused("InvalidArgument", "the request is signed in several ways", 400)
    if in_query:
        return _from_query(head, query)
    return _from_header(head, fields[0]) if fields else None


def _from_header(head: Head, value: str) -> _Claim:
    scheme, _, rest = value.partition(" ")
    _require_algorithm(scheme)
    said = [part.strip().partition("=") for part in rest.split(",")]
    found = {name: value for name, _, value in said}
    times, payloads = head.values("x-amz-date"), head.values(_DIGEST)
    if len(said) != len(_IN_HEADER) or found.keys() != _IN_HEADER:
        raise Refused("AuthorizationHeaderMalformed", "the Authorization header is malformed", 400)
    if len(times) != 1 or len(payloads) != 1:
        raise Refused("InvalidRequest", f"signed requests have one x-amz-date and one {_DIGEST}", 400)
    given = found["Credential"], found["SignedHeaders"], found["Signature"]
    return _Claim(*given, times[0].strip(), _payload(payloads[0].strip()), None)


def _from_query(head: Head, query: Sequence[tuple[str, str]]) -> _Claim:
    own = {name.lower() for name in _IN_QUERY}
    said = [(name, value) for name, value in query if name.lower() in own]
    found = dict(said)
    if len(said) != len(_IN_QUERY) or found.keys() != _IN_QUERY or not _is_expiry(found["X-Amz-Expires"]):
        raise Refused(
            "AuthorizationQueryParametersError", "the presigned URL's parameters are malformed", 400
        )
    _require_algorithm(found["X-Amz-Algorithm"])
    told = [*head.values(_DIGEST), *(value for name, value in query if name.lower() == _DIGEST)]
    if len(told) > 1:
        raise Refused("InvalidRequest", f"the request has several {_DIGEST}", 400)
    given = found["X-Amz-Credential"], found["X-Amz-SignedHeaders"], found["X-Amz-Signature"]
    payload = _payload(told[0].strip()) if told else UNSIGNED
    return _Claim(*given, found["X-Amz-Date"], payload, int(found["X-Amz-Expires"]))


def _is_expiry(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,6}", text) is not None and 1 <= int(text) <= _LONGEST


def _require_algorithm(name: str) -> None:
    if name != _ALGORITHM:
        raise Refused("InvalidRequest", f"the proxy checks {_ALGORITHM} alone, and no other signature", 400)


def _payload(text: str) -> str:
    if text not in _PAYLOADS and not _SHA256.fullmatch(text):
        raise Refused("InvalidArgument", f"{_DIGEST} is neither a SHA-256 nor a kind that the proxy has", 400)
    return text


def _scope(scope: str) -> tuple[str, str]:
    """Day and region. Any region will do: the account's own is put in its place."""
    parts = scope.split("/")
    if len(parts) != 4 or parts[2:] != ["s3", "aws4_request"]:
        raise Refused("AuthorizationHeaderMalformed", "the credential's scope is not one of S3", 400)
    return parts[0], parts[1]


def _require_time(claim: _Claim, day: str, now: datetime) -> None:
    try:
        at = datetime.strptime(claim.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        at = None
    if at is None or not claim.timestamp.startswith(f"{day}T"):
        raise Refused("AccessDenied", "the signature's date is malformed, or not the one of its scope")
    if claim.expires is None:
        if abs(now - at) > _SKEW:
            raise Refused("RequestTimeTooSkewed", "the program's clock is more than 15 minutes off")
    elif at - now > _SKEW:
        raise Refused("AccessDenied", "Request is not valid yet")
    elif now > at + timedelta(seconds=claim.expires):
        raise Refused("AccessDenied", "Request has expired")


def _signed_names(head: Head, text: str) -> list[str]:
    """The headers under the signature. Raises Refused unless Host and all of Amazon's own are among them."""
    if not _NAMES.fullmatch(text):
        raise Refused("AuthorizationHeaderMalformed", "the list of signed headers is malformed", 400)
    names = text.split(";")
    wanted = {"host", *(name for name, _ in head.fields if name.startswith("x-amz-"))}
    if missing := wanted.difference(names):
        raise Refused(
            "AccessDenied",
            f"There were headers present in the request which were not signed: {', '.join(sorted(missing))}",
        )
    return names


def _canonical(head: Head, names: Sequence[str], payload: str) -> bytes:
    """The canonical request; headers as the bytes that they were."""
    path, _, query = head.target.partition("?")
    plain = quote(unquote(path, errors="surrogateescape"), safe="/~", errors="surrogateescape")
    asked = sorted(encoded([pair]).split("=") for pair in pairs(query) if pair[0] != "X-Amz-Signature")
    headers = [f"{name}:{','.join(map(_one_line, head.values(name)))}\n" for name in names]
    return b"\n".join(
        (
            _utf8(head.method),
            plain.encode(),
            "&".join(map("=".join, asked)).encode(),
            "".join(headers).encode("latin-1"),
            ";".join(names).encode(),
            payload.encode(),
        )
    )


def _one_line(value: str) -> str:
    return _SPACES.sub(" ", value.strip(" \t"))


def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, _utf8(part), "sha256")
    return key


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
