"""What a refusal of the store means: its code as one of our errors.

Microsoft's pages "Common REST API error codes" and "Blob Storage error codes". The store's own words are not
passed on: they name hosts, blobs, and what was signed.
"""

from connectors.azure import documents
from connectors.http1 import Response
from connectors.interface import (
    AlreadyExists,
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
    TimedOut,
    Unavailable,
    Unsupported,
)

type Meaning = tuple[type[StoreError], str]

_LARGEST = 64 * 1024
_NO_ENTRY = (NotFound, "there is no such file or folder")
_NO_CONTAINER = (NotFound, "there is no such container")
_CREDENTIAL = (
    BadCredential,
    "the store does not accept the key or token: is it right, not expired, and the gateway's clock right?",
)
_FORBIDDEN = (NotPermitted, "the store does not permit that to this account")
_LEASED = (NotPermitted, "the file is leased (locked) on the store")
_HELD = (NotPermitted, "the file is held by a policy of the store")
_ARCHIVED = (NotPermitted, "the file is archived: it has to be rehydrated on the store first")
_CHANGED = (PreconditionFailed, "the file is another version now")
_TAKEN = (AlreadyExists, "the name is taken")
_NAME = (InvalidName, "the store can't hold this name")
_TAGS = (InvalidName, "the store can't hold these properties")
_BUSY = (Throttled, "the store asks for fewer requests")
_SLOW = (TimedOut, "the store took too long")
_LARGE = (OutOfSpace, "the file is larger than the store takes")
_LACKS = (Unsupported, "the store does not do that")
_SPAN = (BadSpan, "the span starts at or after the file's end")

_CODES: dict[str, Meaning] = {
    "AuthenticationFailed": _CREDENTIAL,
    "InvalidAuthenticationInfo": _CREDENTIAL,
    "NoAuthenticationInformation": _CREDENTIAL,
    "KeyBasedAuthenticationNotPermitted": (
        BadCredential,
        "the storage account takes no keys: only sign-in with Entra ID is allowed there",
    ),
    "AuthorizationFailure": _FORBIDDEN,
    "AuthorizationPermissionMismatch": (NotPermitted, "the token or key does not permit that"),
    "AuthorizationProtocolMismatch": (NotPermitted, "the token is not good for http: use an https URL"),
    "AuthorizationResourceTypeMismatch": (NotPermitted, "the token is not good for this kind of thing"),
    "AuthorizationServiceMismatch": (NotPermitted, "the token is not good for blobs"),
    "AuthorizationSourceIPMismatch": (NotPermitted, "the token is not good for the gateway's address"),
    "InsufficientAccountPermissions": _FORBIDDEN,
    "UnauthorizedBlobOverwrite": (NotPermitted, "the token does not permit to replace files"),
    "AccountIsDisabled": (NotPermitted, "the storage account is disabled"),
    "BlobNotFound": _NO_ENTRY,
    "ResourceNotFound": _NO_ENTRY,
    "CannotVerifyCopySource": (NotFound, "the store can't read what it should copy"),
    "ContainerNotFound": _NO_CONTAINER,
    "ContainerBeingDeleted": _NO_CONTAINER,
    "ContainerDisabled": (NotPermitted, "the container is disabled"),
    "BlobAlreadyExists": _TAKEN,
    "ConditionNotMet": _CHANGED,
    "TargetConditionNotMet": _CHANGED,
    "SourceConditionNotMet": (PreconditionFailed, "the file changed while it was copied"),
    "InvalidBlockList": (
        PreconditionFailed,
        "another upload of this name came first: this one's content is dropped",
    ),
    "InvalidBlobOrBlock": (
        Unavailable,
        "another program's unfinished upload of this name is in the way: it ends within a week",
    ),
    "InvalidBlobType": (Unsupported, "the file is a page or append blob, which can't be written like that"),
    "SnapshotsPresent": (NotPermitted, "the file has snapshots: they go only when it is purged"),
    "LeaseIdMissing": _LEASED,
    "LeaseIdMismatchWithBlobOperation": _LEASED,
    "LeaseNotPresentWithBlobOperation": _LEASED,
    "LeaseLost": _LEASED,
    "BlobImmutableDueToPolicy": _HELD,
    "BlobArchived": _ARCHIVED,
    "BlobBeingRehydrated": _ARCHIVED,
    "PendingCopyOperation": (Unavailable, "the store is still copying to this name"),
    "InvalidRange": _SPAN,
    "InvalidResourceName": _NAME,
    "InvalidUri": _NAME,
    "OutOfRangeInput": _NAME,
    "InvalidInput": _NAME,
    "RequestUrlFailedToParse": _NAME,
    "InvalidTag": _TAGS,
    "InvalidTags": _TAGS,
    "TagsTooLarge": _TAGS,
    "EmptyTagName": _TAGS,
    "RequestBodyTooLarge": _LARGE,
    "BlockCountExceedsLimit": _LARGE,
    "BlockListTooLong": _LARGE,
    "ServerBusy": _BUSY,
    "OperationTimedOut": _SLOW,
    "InternalError": (Unavailable, "the store failed"),
    "UnsupportedHttpVerb": _LACKS,
    "UnsupportedHeader": (Unsupported, "the store does not take one of the request's headers"),
    "FeatureVersionMismatch": _LACKS,
    "BlobTypeNotSupported": _LACKS,
    "BlobTagsNotSupportedForAccountType": (Unsupported, "this storage account keeps no tags with its files"),
    "FeatureNotYetSupportedForHierarchicalNamespaceAccounts": (
        Unsupported,
        "a storage account with a hierarchical namespace does not do that",
    ),
}
_STATUSES: dict[int, Meaning] = {  # for a code that is not above, and for what stands in front of the store
    401: _CREDENTIAL,
    403: _FORBIDDEN,
    404: _NO_ENTRY,
    405: _LACKS,
    409: _CHANGED,
    411: (Unsupported, "the store wants the content's length"),
    412: _CHANGED,
    413: _LARGE,
    414: _NAME,
    416: _SPAN,
    429: _BUSY,
    501: _LACKS,
    503: _BUSY,
    507: (OutOfSpace, "no room is left on the store"),
}


async def refusal(answer: Response) -> StoreError:
    """What the answer means; its body is read to its end, or given up."""
    code = answer.header(b"x-ms-error-code") or ""
    try:
        code = code or documents.error_code(await answer.read(_LARGEST))
    except StoreError:
        pass  # a page of a proxy in front of the store, or cut: its status says it
    finally:
        await answer.aclose()
    if code == "AuthorizationFailure" and (answer.header(b"server") or "").startswith("Azurite"):
        code = "AuthenticationFailed"  # what Azure says of a wrong signature
    return meaning(answer.status, code, retry_after=_seconds(answer))


def meaning(status: int, code: str, *, retry_after: float | None = None) -> StoreError:
    """The error for a code, or for a status where the code is none that we know."""
    if (known := _CODES.get(code) or _STATUSES.get(status)) is not None:
        kind, message = known
        return kind(message, retry_after=retry_after)
    if status >= 500:
        return Unavailable(f"the store failed with status {status}")
    said = code if code.isascii() and code.isalnum() and len(code) <= 64 else "no code that we know"
    return BadAnswer(f"the store answered with status {status} ({said})")


def _seconds(answer: Response) -> float | None:
    text = answer.header(b"retry-after") or ""
    return float(text) if text.isascii() and text.isdigit() else None
