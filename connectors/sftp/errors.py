"""The only place where asyncssh's errors become connector errors; none has an address or a secret."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncssh

from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    BadCredential,
    InvalidName,
    NotFound,
    NotPermitted,
    OutOfSpace,
    StoreError,
    TimedOut,
    Unavailable,
    Unsupported,
    UntrustedHost,
)

_TABLE: dict[type[Exception], tuple[type[StoreError], str]] = {
    asyncssh.SFTPNoSuchFile: (NotFound, "there is no such file or folder"),
    asyncssh.SFTPNoSuchPath: (NotFound, "there is no such file or folder"),
    asyncssh.SFTPNotADirectory: (NotFound, "there is no such file or folder"),
    asyncssh.SFTPPermissionDenied: (NotPermitted, "the store does not permit that to this account"),
    asyncssh.SFTPWriteProtect: (NotPermitted, "the store is read-only"),
    asyncssh.SFTPFileAlreadyExists: (AlreadyExists, "the name is taken"),
    asyncssh.SFTPNoSpaceOnFilesystem: (OutOfSpace, "no room is left on the store"),
    asyncssh.SFTPQuotaExceeded: (OutOfSpace, "the store's quota is used up"),
    asyncssh.SFTPInvalidFilename: (InvalidName, "the store can't hold this name"),
    asyncssh.SFTPOpUnsupported: (Unsupported, "the store's SFTP server lacks this"),
    asyncssh.SFTPConnectionLost: (Unavailable, "the connection to the store broke"),
    asyncssh.SFTPNoConnection: (Unavailable, "the connection to the store broke"),
    asyncssh.SFTPBadMessage: (BadAnswer, "the store's answer is not SFTP"),
    asyncssh.SFTPError: (BadAnswer, "the store refused the request without a reason"),
    asyncssh.PermissionDenied: (BadCredential, "the store does not accept the user name, password or key"),
    asyncssh.HostKeyNotVerifiable: (UntrustedHost, "the store's host key is not the one that is trusted"),
    asyncssh.DisconnectError: (Unavailable, "the connection to the store broke"),
    asyncssh.ChannelOpenError: (Unavailable, "the store offers no SFTP to this user"),
    ConnectionError: (Unavailable, "the connection to the store broke"),
    OSError: (Unavailable, "the connection to the store broke"),
}


@contextmanager
def sftp_errors() -> Iterator[None]:
    """Maps what asyncssh raises."""
    try:
        yield
    except StoreError:
        raise
    except TimeoutError as error:
        raise TimedOut("the store did not answer in time") from error
    except (asyncssh.Error, asyncssh.SFTPError, OSError) as error:
        leaf, message = next(_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE)
        raise leaf(message) from error
