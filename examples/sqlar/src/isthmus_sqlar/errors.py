"""The seam: the only place where errors of SQLite and of the disk become a connector's."""

import errno
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.interface import BadAnswer, NotPermitted, OutOfSpace, StoreError, TimedOut, Unavailable

_OF_SQLITE: dict[int, tuple[type[StoreError], str]] = {  # https://sqlite.org/rescode.html, primary codes
    sqlite3.SQLITE_BUSY: (TimedOut, "another program keeps the archive locked"),
    sqlite3.SQLITE_LOCKED: (TimedOut, "another program keeps the archive locked"),
    sqlite3.SQLITE_FULL: (OutOfSpace, "no room is left in the archive"),
    sqlite3.SQLITE_TOOBIG: (OutOfSpace, "the file is larger than an archive can hold"),
    sqlite3.SQLITE_READONLY: (NotPermitted, "the archive, or its folder, is read-only"),
    sqlite3.SQLITE_PERM: (NotPermitted, "the gateway's user may not do that"),
    sqlite3.SQLITE_CANTOPEN: (Unavailable, "there is no such archive, or it can't be opened"),
    sqlite3.SQLITE_NOTADB: (BadAnswer, "the file is no SQLite archive"),
    sqlite3.SQLITE_CORRUPT: (BadAnswer, "the archive is damaged"),
}
_OF_DISK: dict[int, tuple[type[StoreError], str]] = {
    errno.ENOSPC: (OutOfSpace, "no room is left on the disk"),
    errno.EDQUOT: (OutOfSpace, "the disk's quota is used up"),
    errno.EACCES: (NotPermitted, "the gateway's user may not write beside the archive"),
    errno.EROFS: (NotPermitted, "the archive's folder is read-only"),
}
_OTHERWISE = (Unavailable, "the archive can't be used just now")


@contextmanager
def store_errors() -> Iterator[None]:
    """Raises the connector's error for what the libraries raise; its words have no path in them."""
    try:
        yield
    except sqlite3.Error as error:
        leaf, message = _OF_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, _OTHERWISE)
        raise leaf(message) from error
    except zlib.error as error:
        raise BadAnswer("the file's compressed bytes are damaged") from error
    except OSError as error:
        leaf, message = _OF_DISK.get(error.errno or 0, _OTHERWISE)
        raise leaf(message) from error
