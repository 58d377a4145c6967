"""Migrations: bring a database to this version's tables, or back."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, make_url, select

from store import version
from store.engine import open_database

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 0x6D69677261746500  # "migrate" and a zero: PostgreSQL's advisory locks are numbers


def upgrade(url: str, revision: str = "head") -> None:
    """Brings the database up to a revision; nothing happens when it is there.

    A file of SQLite's is closed to other users than its owner and group, in whatever folder it lies.
    """
    _close_to_others(url)
    from alembic import command  # not at the top: every command line would pay for it

    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Brings the database back to a revision; `base` removes every table."""
    from alembic import command

    _run(url, lambda config: command.downgrade(config, revision))


def current(url: str) -> str | None:
    """The database's revision; None for an empty one."""

    async def work() -> str | None:
        database = open_database(url)
        try:
            return await version.of(database)
        finally:
            await database.aclose()

    return asyncio.run(work())


def _close_to_others(url: str) -> None:
    """Of a new file SQLite gives the mode on to those beside it; where they are there already we do."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return
    file = Path(str(parsed.database))
    file.touch(mode=0o660)  # less the umask
    for one in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))):
        if one.exists() and (mode := one.stat().st_mode) & 0o007:
            one.chmod(mode & 0o770)


def _run(url: str, act: "Callable[[Config], None]") -> None:
    from alembic.config import Config

    async def work() -> None:
        database = open_database(url)
        try:
            async with database.engine.begin() as connection:
                await connection.run_sync(with_connection)
        finally:
            await database.aclose()

    def with_connection(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":  # two at once take turns, as SQLite's writers do anyway
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        config = Config()
        config.set_main_option("script_location", str(_SCRIPTS))
        config.attributes["connection"] = connection
        act(config)

    asyncio.run(work())
