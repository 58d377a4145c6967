"""Migrations: bring a database to this version's tables, or back."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from store.engine import open_database


def upgrade(url: str, revision: str = "head") -> None:
    """Brings the database up to a revision; nothing happens when it is there."""
    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Brings the database back to a revision; `base` removes every table."""
    _run(url, lambda config: command.downgrade(config, revision))


def current(url: str) -> str | None:
    """The database's revision; None for an empty one."""

    def look(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async def work() -> str | None:
        database = open_database(url)
        try:
            async with database.engine.connect() as connection:
                return await connection.run_sync(look)
        finally:
            await database.aclose()

    return asyncio.run(work())


def _run(url: str, act: Callable[[Config], None]) -> None:
    async def work() -> None:
        database = open_database(url)
        try:
            async with database.engine.begin() as connection:
                await connection.run_sync(with_connection)
        finally:
            await database.aclose()

    def with_connection(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        act(config)

    asyncio.run(work())
