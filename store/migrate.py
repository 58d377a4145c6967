"""Migrations: bring a database to this version's tables, or back."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select

from store.engine import Database, open_database
from store.errors import Outdated

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 0x6D69677261746500  # "migrate" and a zero: PostgreSQL's advisory locks are numbers


def upgrade(url: str, revision: str = "head") -> None:
    """Brings the database up to a revision; nothing happens when it is there."""
    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Brings the database back to a revision; `base` removes every table."""
    _run(url, lambda config: command.downgrade(config, revision))


def current(url: str) -> str | None:
    """The database's revision; None for an empty one."""

    async def work() -> str | None:
        database = open_database(url)
        try:
            return await _revision(database)
        finally:
            await database.aclose()

    return asyncio.run(work())


def head() -> str | None:
    """The revision that this version works with."""
    return ScriptDirectory(str(_SCRIPTS)).get_current_head()


async def require_current(database: Database) -> None:
    """For whoever opens the database to work with it. Raises Outdated, which says what to do."""
    found, needed = await _revision(database), head()
    if found == needed:
        return
    if found is None:
        raise Outdated("the database has no tables yet: run 'isthmus init'")
    if found in {script.revision for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions()}:
        raise Outdated(f"the database is at {found}, this version needs {needed}: run 'isthmus db upgrade'")
    raise Outdated(f"the database is at {found}, which this version does not know: run the one that made it")


async def _revision(database: Database) -> str | None:
    def look(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with database.engine.connect() as connection:
        await connection.execution_options(read_only=True)
        return await connection.run_sync(look)


def _run(url: str, act: Callable[[Config], None]) -> None:
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
