"""What a refusal means: its reason, else its status, as one of our errors.

https://cloud.google.com/storage/docs/json_api/v1/status-codes is the list. The store's own words are not
passed on: they name buckets, objects and the account's identity.
"""

import json
from contextlib import suppress

from connectors.http1 import Response
from connectors.interface import (
    BadAnswer,
    BadCredential,
    BadSpan,
    InvalidName,
    NotFound,
    NotPermitted,
    OutOfSpace,
    PreconditionFailed,
    StoreError,
    Throttled,
    Unavailable,
    Unsupported,
)

type Meaning = tuple[type[StoreError], str]

_LARGEST = 64 * 1024
_FORBIDDEN = (NotPermitted, "the store does not permit that to this account")
_HELD = (NotPermitted, "the file is under a hold or a retention policy")
_SLOWER = (Throttled, "the store asks for fewer requests")
_PAYER = (NotPermitted, "the bucket's requesters pay: a header x-goog-user-project has to name who does")
_OTHER_KEY = (NotPermitted, "the file is encrypted with a key of its owner's own")

_REASONS: dict[str, Meaning] = {
    "rateLimitExceeded": _SLOWER,
    "userRateLimitExceeded": _SLOWER,
    "usageLimits.rateLimitExceeded": _SLOWER,
    "quotaExceeded": _SLOWER,
    "retentionPolicyNotMet": _HELD,
    "objectUnderActiveHold": _HELD,
    "accountDisabled": (NotPermitted, "the project's account or billing is disabled"),
    "userProjectAccountProblem": (NotPermitted, "the project's account or billing is disabled"),
    "userProjectMissing": _PAYER,
    "resourceIsEncryptedWithCustomerEncryptionKey": _OTHER_KEY,
    "customerEncryptionKeyIsIncorrect": _OTHER_KEY,
    "orgPolicyConstraintFailed": (NotPermitted, "a policy of the store's organisation forbids that"),
    "sslRequired": (Unsupported, "the store wants https: is the endpoint right?"),
}
_STATUSES: dict[int, Meaning] = {
    400: (InvalidName, "the store does not take this name or value"),
    401: (BadCredential, "the store does not accept the account's credentials"),
    403: _FORBIDDEN,
    404: (NotFound, "there is no such file or folder"),
    405: (Unsupported, "the store does not do that here"),
    408: (Unavailable, "the store waited too long for content"),
    409: (PreconditionFailed, "the file is being changed by somebody else"),
    410: (Unavailable, "the upload's session is gone"),
    412: (PreconditionFailed, "the file is another version now"),
    413: (OutOfSpace, "the file is larger than the store takes"),
    416: (BadSpan, "the span starts at or after the file's end"),
    429: _SLOWER,
    501: (Unsupported, "the store does not do that"),
    507: (OutOfSpace, "no room is left on the store"),
}


async def refusal(answer: Response) -> StoreError:
    """What the answer means; its body is read to its end, or given up."""
    reason = ""
    with suppress(BadAnswer, ValueError):  # a proxy's page in front of the store: its status says it
        reason = _reason(json.loads(await answer.read(_LARGEST)))
    return meaning(answer.status, reason, retry_after=_seconds(answer))


def meaning(status: int, reason: str = "", *, retry_after: float | None = None) -> StoreError:
    """The error for a reason, or for a status where the reason is none that says more."""
    known = _REASONS.get(reason) or _STATUSES.get(status)
    if known is not None:
        kind, message = known
        return kind(message, retry_after=retry_after)
    if status >= 500 and retry_after is not None:
        return Throttled("the store is overloaded or under maintenance", retry_after=retry_after)
    if status >= 500:
        return Unavailable(f"the store failed with status {status}")
    return BadAnswer(f"the store answered with status {status}")


def _reason(told: object) -> str:
    """`error.errors[0].reason`, empty where there is none."""
    match told:
        case {"error": {"errors": [{"reason": str(reason)}, *_]}}:
            # some are written with a capital in one place and without in another
            return reason[:1].lower() + reason[1:]
    return ""


def _seconds(answer: Response) -> float | None:
    text = answer.header(b"retry-after") or ""
    return float(text) if text.isascii() and text.isdigit() else None
