"""What can go wrong with a store; each leaf is a decision of the caller.

StoreError
├── NotFound            no such entry, or the account may not know of it
├── AlreadyExists       the name is taken
├── PreconditionFailed  the entry is not the version that was asked for
├── NotPermitted        the store said no to this account
├── BadCredential       the store does not accept the account's credential
├── UntrustedHost       the store's host key or certificate is not the pinned one
├── InvalidName         the store can't hold this name
├── NotAFolder / NotEmpty / BadSpan
├── OutOfSpace          no room left on the store
├── Unsupported         the connector, or this store, lacks the capability
├── Throttled           the store asks to come back later (retry_after seconds)
├── Unavailable         no connection, or it broke; a read may be tried again
│   └── NetworkUnavailable   the private network has no agent connected
├── TimedOut            the store was silent for the idle deadline
└── BadAnswer           the store answered something that its protocol does not allow

Messages are for the API's caller: no secret, and no address inside a private network.
"""


class StoreError(Exception):
    """Root of every error that a connector raises on purpose."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class NotFound(StoreError):
    """No such entry, or the account may not know of it."""


class AlreadyExists(StoreError):
    """The name is taken."""


class PreconditionFailed(StoreError):
    """The entry is not the version that was asked for."""


class NotPermitted(StoreError):
    """The store said no to this account."""


class BadCredential(StoreError):
    """The store does not accept the account's credential."""


class UntrustedHost(StoreError):
    """The store's host key or certificate is not the one that is trusted."""


class InvalidName(StoreError):
    """The store can't hold this name."""


class NotAFolder(StoreError):
    """A folder was needed and this is a file, or the other way round."""


class NotEmpty(StoreError):
    """The folder still has entries."""


class BadSpan(StoreError):
    """The span begins at or after the end of the file."""


class OutOfSpace(StoreError):
    """No room left on the store."""


class Unsupported(StoreError):
    """The connector, or this store, lacks the capability."""


class Throttled(StoreError):
    """The store asks to come back later."""


class Unavailable(StoreError):
    """No connection to the store, or it broke; a read may be tried again."""


class NetworkUnavailable(Unavailable):
    """The private network has no agent connected."""


class TimedOut(StoreError):
    """The store was silent for longer than the idle deadline."""


class BadAnswer(StoreError):
    """The store answered something that its protocol does not allow."""
