"""What a refusal of the store means: its code as one of our errors (S3's API reference, "Error Responses").

The store's own words are not passed on: they name hosts, keys, and the account's identity.
"""

import re

from connectors.http1 import Response
from connectors.interface import (
    BadAnswer,
    BadCredential,
    BadSpan,
    InvalidName,
    NotEmpty,
    NotFound,
    NotPermitted,
    OutOfSpace,
    PreconditionFailed,
    StoreError,
    Throttled,
    TimedOut,
    Unavailable,
    Unsupported,
)
from connectors.s3.documents import Document

type Meaning = tuple[type[StoreError], str]

_LARGEST = 64 * 1024
_NO_ENTRY = (NotFound, "there is no such file or folder")
_NO_UPLOAD = (NotFound, "the upload was completed or abandoned")
_NO_KEY = (BadCredential, "the store does not know the access key")
_SESSION = (BadCredential, "the session token is expired or not the key's: temporary keys have to be renewed")
_FORBIDDEN = (NotPermitted, "the store does not permit that to this account")
_CHANGED = (PreconditionFailed, "the file is another version now")
_NAME = (InvalidName, "the store can't hold this name")
_TAGS = (InvalidName, "the store can't hold these properties")
_SLOWER = (Throttled, "the store asks for fewer requests")
_FULL = (OutOfSpace, "no room is left on the store")
_LARGE = (OutOfSpace, "the file is larger than the store takes")
_LACKS = (Unsupported, "the store does not do that")
_CLOCK = (
    Unavailable,
    "the store's clock and the gateway's differ too much (S3 allows 15 minutes): set the clocks",
)

_CODES: dict[str, Meaning] = {
    "NoSuchKey": _NO_ENTRY,
    "NoSuchVersion": _NO_ENTRY,
    "NoSuchBucket": (NotFound, "there is no such bucket"),
    "NoSuchUpload": _NO_UPLOAD,
    "AccessDenied": _FORBIDDEN,
    "AllAccessDisabled": _FORBIDDEN,
    "AccountProblem": _FORBIDDEN,
    "ObjectLocked": _FORBIDDEN,
    "InvalidObjectState": (NotPermitted, "the file is archived: it has to be restored on the store first"),
    "InvalidAccessKeyId": _NO_KEY,
    "NotSignedUp": _NO_KEY,
    "SignatureDoesNotMatch": (BadCredential, "the store does not accept the signature: is the secret right?"),
    "ExpiredToken": _SESSION,
    "InvalidToken": _SESSION,
    "TokenRefreshRequired": _SESSION,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "SlowDown": _SLOWER,
    "SlowDownRead": _SLOWER,
    "SlowDownWrite": _SLOWER,
    "TooManyRequests": _SLOWER,
    "RequestLimitExceeded": _SLOWER,
    "ServiceUnavailable": (Throttled, "the store is overloaded or under maintenance"),
    "InternalError": (Unavailable, "the store failed"),
    "RequestTimeout": (TimedOut, "the store waited too long for content"),
    "IncompleteBody": (Unavailable, "the content ended before its declared length"),
    "PreconditionFailed": _CHANGED,
    "ConditionalRequestConflict": _CHANGED,
    "OperationAborted": _CHANGED,
    "InvalidRange": (BadSpan, "the span starts at or after the file's end"),
    "KeyTooLongError": (InvalidName, "the name is longer than the store takes"),
    "InvalidURI": _NAME,
    "InvalidObjectName": _NAME,
    "XMinioInvalidObjectName": _NAME,
    "InvalidTag": _TAGS,
    "EntityTooLarge": _LARGE,
    "QuotaExceeded": _FULL,
    "QuotaExceededException": _FULL,
    "XMinioStorageFull": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "InsufficientCapacity": _FULL,
    "NotImplemented": _LACKS,
    "MethodNotAllowed": _LACKS,
    "BucketNotEmpty": (NotEmpty, "the folder is not empty"),
    "InvalidPart": (PreconditionFailed, "a part of the upload is not as it was stored"),
    "EntityTooSmall": (Unsupported, "the store does not take a part that small"),
}
_STATUSES: dict[int, Meaning] = {  # where no code came with it: answers to HEAD, and what stands in front
    403: _FORBIDDEN,
    404: _NO_ENTRY,
    405: _LACKS,
    409: _CHANGED,
    411: (Unsupported, "the store wants the content's length"),
    412: _CHANGED,
    413: _LARGE,
    416: _CODES["InvalidRange"],
    429: _SLOWER,
    501: _LACKS,
    503: _CODES["ServiceUnavailable"],
    507: _FULL,
}
_ELSEWHERE = frozenset({"PermanentRedirect", "TemporaryRedirect", "Redirect", "AuthorizationHeaderMalformed"})
_REGION = re.compile(r"[a-z0-9-]{1,40}")


async def refusal(answer: Response) -> StoreError:
    """What the answer means; its body is read to its end, or given up."""
    code, region = "", answer.header(b"x-amz-bucket-region") or ""
    try:
        body = await answer.read(_LARGEST)
        if body:
            told = Document.parse(body)
            code, region = told.text("Code"), region or told.text("Region")
    except BadAnswer:
        pass  # a proxy's page in front of the store: its status says it
    return meaning(answer.status, code, region, retry_after=_seconds(answer))


def meaning(status: int, code: str, region: str = "", *, retry_after: float | None = None) -> StoreError:
    """The error for a code, or for a status where the code is none that we know."""
    if code in _ELSEWHERE or status in (301, 307):
        return _elsewhere(region)
    if (known := _CODES.get(code) or _STATUSES.get(status)) is not None:
        kind, message = known
        return kind(message, retry_after=retry_after)
    if status >= 500:
        return Unavailable(f"the store failed with status {status}")
    said = code if code.isascii() and code.isalnum() and len(code) <= 64 else "no code that we know"
    return BadAnswer(f"the store answered with status {status} ({said})")


def _elsewhere(region: str) -> StoreError:
    """Not followed: the signature is for one region, and a store may not send us to any host it likes."""
    if _REGION.fullmatch(region):
        return BadCredential(f"the bucket is in region {region}: set the account's region to that")
    return BadCredential("the bucket is in another region, or has another endpoint, than the account says")


def _seconds(answer: Response) -> float | None:
    text = answer.header(b"retry-after") or ""
    return float(text) if text.isascii() and text.isdigit() else None
