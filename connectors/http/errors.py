"""What an API's refusals mean, whatever the API: statuses of RFC 9110 and RFC 6585."""

from connectors.http1 import Response
from connectors.interface import (
    BadAnswer,
    BadCredential,
    BadSpan,
    NotFound,
    NotPermitted,
    PreconditionFailed,
    StoreError,
    Throttled,
    Unavailable,
    Unsupported,
)

_MEANING: dict[int, tuple[type[StoreError], str]] = {
    401: (BadCredential, "the API does not accept the account's credential"),
    403: (NotPermitted, "the API does not permit that to this account"),
    404: (NotFound, "there is no such file"),
    405: (Unsupported, "the API does not let this be read"),
    410: (NotFound, "there is no such file"),
    412: (PreconditionFailed, "the file is another version now"),
    416: (BadSpan, "the span starts at or after the file's end"),
    429: (Throttled, "the API asks for fewer requests"),
    501: (Unsupported, "the API does not let this be read"),
    503: (Throttled, "the API is overloaded or under maintenance"),
}


async def refusal(answer: Response) -> StoreError:
    """What an answer's status means as an error; the body is not read, and none of its words passed on."""
    await answer.aclose()
    status, after = answer.status, answer.header(b"retry-after") or ""
    if (known := _MEANING.get(status)) is not None:
        kind, message = known
        return kind(message, retry_after=float(after) if after.isascii() and after.isdigit() else None)
    if 300 <= status < 400:
        return Unsupported("the API answers with a redirect, which is not followed: connect where it leads")
    if status >= 500:
        return Unavailable(f"the API failed with status {status}")
    return BadAnswer(f"the API answered with status {status}")
