"""The state's database behind a URL: engine, sessions, SQLite's settings, and drivers' errors as ours."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from store.away import BUSY, away
from store.errors import Away, Duplicate, Missing, StateError, Unfit

_log = logging.getLogger(__name__)
_ASYNC = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_BUSY_MS = 15_000
_TAKEN = {"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}
_NO_PARENT = {"23503", "SQLITE_CONSTRAINT_FOREIGNKEY"}
_DATA_EXCEPTION = "22"  # the class of SQLSTATEs for values that are wrong by themselves


class Database:
    """An open database. One per process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session in one transaction: committed at the end, rolled back on any error.

        A statement in it raises Duplicate when a unique value is taken, Missing when what the row belongs to
        is not there, Unfit when the database can't hold a value. Nothing but leaving works after that.

        Anything in it, its end too, raises Away when the database can't serve now.
        """
        try:
            async with self._sessions.begin() as session:
                yield session
        except NoConnectionFree as error:  # of the pool, which waits for half a minute
            raise _told(Away(BUSY), "no connection is free") from error

    async def aclose(self) -> None:
        """Closes every connection."""
        await self.engine.dispose()


def open_database(url: str) -> Database:
    """The database of a plain URL such as `sqlite:///PATH` or `postgresql://USER@HOST/NAME`.

    Raises ValueError for a kind of database that is not supported.
    """
    # hidden: a driver's error may be logged, and what was to be written is nobody's business there
    engine = create_async_engine(
        async_url(url), pool_pre_ping=not url.startswith("sqlite"), hide_parameters=True
    )
    event.listen(engine.sync_engine, "handle_error", _as_ours, retval=True)
    event.listen(engine.sync_engine, "do_connect", _connect)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return Database(engine)


def async_url(url: str) -> str:
    """The URL with the asyncio driver of its database."""
    parsed = make_url(url)
    driver = _ASYNC.get(parsed.get_backend_name())
    if driver is None:
        raise ValueError(f"{parsed.get_backend_name()} is not supported: use sqlite:// or postgresql://")
    return parsed.set(drivername=driver).render_as_string(hide_password=False)


def _as_ours(context: ExceptionContext) -> StateError | None:
    """Our error for a driver's, whatever the database; None leaves it as it is."""
    original = context.original_exception
    code = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorname", None) or ""
    if isinstance(context.sqlalchemy_exception, IntegrityError):
        if code in _TAKEN:
            return Duplicate("a unique value is taken")
        return Missing("what the row belongs to is not there") if code in _NO_PARENT else None
    if isinstance(original, OverflowError | UnicodeEncodeError) or code.startswith(_DATA_EXCEPTION):
        return Unfit("a value that the database can't hold")
    if not isinstance(original, Exception):  # whoever waits is cancelled, which takes the connection along
        return None
    return _told(away(original, broken=context.is_disconnect), type(original).__name__)


def _connect(dialect: Dialect, record: object, args: Any, options: Any) -> Any:
    """A new connection; what a driver raises here comes as it is, untouched by `handle_error`."""
    try:
        return dialect.connect(*args, **options)
    except Exception as error:
        ours = away(error, broken=isinstance(error, OSError))
        if ours is None:
            raise
        raise _told(ours, type(error).__name__) from error


def _told[E: Away | None](error: E, cause: str) -> E:
    """The error, once it is in the log: who can mend it is the gateway's operator, not whoever asked."""
    if error is not None:
        _log.error("the database can't serve: %s", error, extra={"cause": cause})
    return error


def _prepare_sqlite(connection: Any, record: object) -> None:
    """WAL lets readers and the writer go on side by side; foreign keys are off unless asked for."""
    connection.isolation_level = None  # transactions are begun below, not guessed by the driver
    connection.create_function("lower", 1, _lower, deterministic=True)
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _lower(value: object) -> object:
    """SQLite's own knows ASCII alone, and a search has to find `Ärger` by `ärger` as on PostgreSQL."""
    return value.lower() if isinstance(value, str) else value


def _begin_sqlite(connection: Any) -> None:
    """Takes the write lock first: a read that later writes fails at once when another wrote between."""
    deferred = connection.get_execution_options().get("read_only")
    connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")
