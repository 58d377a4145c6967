"""Sessions that only read: on SQLite they go on beside the one writer instead of waiting for it."""

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from store.engine import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncSession


@asynccontextmanager
async def reading(database: Database) -> "AsyncIterator[AsyncSession]":
    """A session for queries alone; a write in it may fail where another writer was faster."""
    async with database.session() as session:
        await session.connection(execution_options={"read_only": True})
        yield session
