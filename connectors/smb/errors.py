"""The only place where SMB's statuses and the library's errors become connector errors.

The numbers are those of [MS-ERREF] 2.3.1; not all of them are in smbprotocol's own list.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from smbprotocol.exceptions import (
    SMBAuthenticationError,
    SMBConnectionClosed,
    SMBException,
    SMBResponseException,
)

from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    BadCredential,
    InvalidName,
    NotAFolder,
    NotEmpty,
    NotFound,
    NotPermitted,
    OutOfSpace,
    StoreError,
    Throttled,
    Unavailable,
    Unsupported,
)

SUCCESS = 0x00000000
PENDING = 0x00000103
BUFFER_OVERFLOW = 0x80000005
NO_MORE_FILES = 0x80000006
NO_SUCH_FILE = 0xC000000F
END_OF_FILE = 0xC0000011
ACCESS_DENIED = 0xC0000022
SHARING_VIOLATION = 0xC0000043

_ABSENT = (NotFound, "there is no such file or folder")
_TAKEN = (AlreadyExists, "the name is taken")
_REFUSED = (NotPermitted, "the store does not permit that to this account")
_IN_USE = (NotPermitted, "another program has the file open or locked: try again when it is closed")
_FULL = (OutOfSpace, "no room is left on the store")
_NAMELESS = (InvalidName, "the store can't hold this name")
_LACKING = (Unsupported, "the store's SMB server lacks this")
_BROKE = (Unavailable, "the connection to the store broke")
_ENDED = (Unavailable, "the store ended the account's session")
_BUSY = (Throttled, "the store has too much to do at the moment")
_DFS = (
    Unsupported,
    "this leads into a DFS namespace, which is not supported: name the server and share that it leads to",
)

_TABLE: dict[int, tuple[type[StoreError], str]] = {
    # what is there
    NO_SUCH_FILE: _ABSENT,
    0xC0000034: _ABSENT,  # OBJECT_NAME_NOT_FOUND
    0xC000003A: _ABSENT,  # OBJECT_PATH_NOT_FOUND
    0xC0000056: _ABSENT,  # DELETE_PENDING: it goes when the last program closes it
    0xC0000225: _ABSENT,  # NOT_FOUND
    0x8000002D: (NotFound, "this leads through a link, which is not followed"),  # STOPPED_ON_SYMLINK
    0xC00000CC: (NotFound, "the server has no share of this name"),  # BAD_NETWORK_NAME
    0xC0000035: _TAKEN,  # OBJECT_NAME_COLLISION
    0xC0000103: (NotAFolder, "this is a file, not a folder"),  # NOT_A_DIRECTORY
    0xC00000BA: (NotAFolder, "this is a folder, not a file"),  # FILE_IS_A_DIRECTORY
    0xC0000101: (NotEmpty, "the folder is not empty"),  # DIRECTORY_NOT_EMPTY
    # names
    0xC0000033: _NAMELESS,  # OBJECT_NAME_INVALID
    0xC0000039: _NAMELESS,  # OBJECT_PATH_INVALID
    0xC000003B: _NAMELESS,  # OBJECT_PATH_SYNTAX_BAD
    0xC0000106: _NAMELESS,  # NAME_TOO_LONG
    # who may
    ACCESS_DENIED: _REFUSED,
    0xC0000061: _REFUSED,  # PRIVILEGE_NOT_HELD
    0xC00000CA: _REFUSED,  # NETWORK_ACCESS_DENIED
    0xC0000121: (NotPermitted, "the file is read-only"),  # CANNOT_DELETE
    0xC00000A2: (NotPermitted, "the store is read-only"),  # MEDIA_WRITE_PROTECTED
    SHARING_VIOLATION: _IN_USE,
    0xC0000054: _IN_USE,  # FILE_LOCK_CONFLICT
    # who is asking
    0xC000006A: (BadCredential, "the store does not accept the user name or password"),  # WRONG_PASSWORD
    0xC000006D: (BadCredential, "the store does not accept the user name or password"),  # LOGON_FAILURE
    0xC0000064: (BadCredential, "the store does not accept the user name or password"),  # NO_SUCH_USER
    0xC000006E: (BadCredential, "the store's rules keep this user out"),  # ACCOUNT_RESTRICTION
    0xC000006F: (BadCredential, "the store lets this user in at other hours only"),  # INVALID_LOGON_HOURS
    0xC0000070: (
        BadCredential,
        "the store lets this user in from other machines only",
    ),  # INVALID_WORKSTATION
    0xC0000071: (BadCredential, "the user's password has expired"),  # PASSWORD_EXPIRED
    0xC0000224: (BadCredential, "the user's password has to be changed first"),  # PASSWORD_MUST_CHANGE
    0xC0000072: (BadCredential, "the user is disabled"),  # ACCOUNT_DISABLED
    0xC0000193: (BadCredential, "the user has expired"),  # ACCOUNT_EXPIRED
    0xC0000234: (BadCredential, "the user is locked out"),  # ACCOUNT_LOCKED_OUT
    0xC000015B: (BadCredential, "the user may not log in over the network"),  # LOGON_TYPE_NOT_GRANTED
    # room
    0xC000007F: _FULL,  # DISK_FULL
    0xC0000044: (OutOfSpace, "the store's quota is used up"),  # QUOTA_EXCEEDED
    # what the server can do
    0xC00000BB: _LACKING,  # NOT_SUPPORTED
    0xC0000010: _LACKING,  # INVALID_DEVICE_REQUEST
    0xC0000003: _LACKING,  # INVALID_INFO_CLASS
    0xC0000002: _LACKING,  # NOT_IMPLEMENTED
    0xC000000D: _LACKING,  # INVALID_PARAMETER: it does not take the request in this form
    0xC0000257: _DFS,  # PATH_NOT_COVERED
    0xC000026D: _DFS,  # DFS_UNAVAILABLE
    # how the server is
    0xC000009A: _BUSY,  # INSUFFICIENT_RESOURCES
    0xC00000D0: _BUSY,  # REQUEST_NOT_ACCEPTED
    0xC0000205: _BUSY,  # INSUFF_SERVER_RESOURCES
    0xC000005E: (Unavailable, "the store's own domain controller can't be reached"),  # NO_LOGON_SERVERS
    0xC00000B5: _BROKE,  # IO_TIMEOUT
    0xC00000C9: _ENDED,  # NETWORK_NAME_DELETED
    0xC0000203: _ENDED,  # USER_SESSION_DELETED
    0xC000035C: _ENDED,  # NETWORK_SESSION_EXPIRED
    0xC0000128: _ENDED,  # FILE_CLOSED: our handle is gone
    0xC0000466: _BROKE,  # SERVER_UNAVAILABLE
}

OVER = frozenset({0xC00000C9, 0xC0000203, 0xC000035C})
"""Statuses after which nothing more can be asked on this connection."""


def refusal(status: int) -> StoreError:
    """The error that a status of a server's answer stands for."""
    leaf, message = _TABLE.get(
        status, (BadAnswer, f"the store refused the request with status 0x{status:08X}")
    )
    return leaf(message)


def dfs() -> StoreError:
    """The error for what is part of a DFS namespace."""
    leaf, message = _DFS
    return leaf(message)


@contextmanager
def library_errors() -> Iterator[None]:
    """Maps what smbprotocol raises while it negotiates, logs in and connects to a share."""
    try:
        yield
    except SMBResponseException as error:
        raise refusal(error.status) from error
    except SMBAuthenticationError as error:
        raise BadCredential("the store and this account find no way to log in") from error
    except (SMBConnectionClosed, OSError) as error:
        raise Unavailable(_BROKE[1]) from error
    except SMBException as error:
        raise BadAnswer("the store's answer is not SMB, or not signed by it") from error
