"""The state's database behind a URL: engine, sessions, and SQLite's settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from store.errors import Duplicate

_ASYNC = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_SYNC = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}
_BUSY_MS = 15_000


class Database:
    """An open database. One per process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session in one transaction: committed at the end, rolled back on any error.

        Raises Duplicate when a unique value is taken.
        """
        try:
            async with self._sessions.begin() as session:
                yield session
        except IntegrityError as error:
            raise Duplicate("a unique value is taken") from error

    async def aclose(self) -> None:
        """Closes every connection."""
        await self.engine.dispose()


def open_database(url: str) -> Database:
    """The database of a plain URL such as `sqlite:///PATH` or `postgresql://USER@HOST/NAME`.

    Raises ValueError for a kind of database that is not supported.
    """
    engine = create_async_engine(async_url(url), pool_pre_ping=not url.startswith("sqlite"))
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


def _prepare_sqlite(connection: Any, record: object) -> None:
    """WAL lets readers and the writer go on side by side; foreign keys are off unless asked for."""
    connection.isolation_level = None  # transactions are begun below, not guessed by the driver
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", f"busy_timeout={_BUSY_MS}", "foreign_keys=ON", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    """Takes the write lock first: a read that later writes fails at once when another wrote between."""
    deferred = connection.get_execution_options().get("read_only")
    connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")
