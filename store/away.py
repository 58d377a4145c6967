"""When a driver's error means that the database can't serve now: its own words stay out, they may name hosts.

SQLite's error codes are those of its result code page, PostgreSQL's the classes of its appendix A.
"""

from typing import Final

from store.errors import Away

_NOT_NOW: Final = "the gateway's database does not answer now: try again in a moment"
BUSY: Final = "the gateway's database is busy: try again in a moment"
_FULL: Final = "the disk of the gateway's database is full: its operator has to make room"
_BROKEN: Final = "the gateway's database can't be used: its operator has to look at its file and disk"

_SQLITE: Final = {
    "SQLITE_BUSY": BUSY,
    "SQLITE_LOCKED": BUSY,
    "SQLITE_FULL": _FULL,
    "SQLITE_IOERR": _BROKEN,
    "SQLITE_READONLY": _BROKEN,
    "SQLITE_CANTOPEN": _BROKEN,
    "SQLITE_CORRUPT": _BROKEN,
}
_POSTGRESQL: Final = {
    "08": _NOT_NOW,  # connection exception
    "40": BUSY,  # transaction rollback: a deadlock, a serialization failure
    "53100": _FULL,
    "53": BUSY,  # insufficient resources, too many connections among them
    "57P": _NOT_NOW,  # operator intervention: shut down, started just now, the connection ended
}


def away(error: BaseException | None, *, broken: bool = False) -> Away | None:
    """Ours, if the error says that; None for any other.

    Args:
        error: the driver's, or the system's while it connected.
        broken: whether the connection is known to be no more.
    """
    sqlite: str = getattr(error, "sqlite_errorname", None) or ""
    postgresql: str = getattr(error, "sqlstate", None) or ""
    for code, table in ((sqlite, _SQLITE), (postgresql, _POSTGRESQL)):
        for begin, why in table.items():
            if code.startswith(begin):
                return Away(why)
    return Away(_NOT_NOW) if broken else None
