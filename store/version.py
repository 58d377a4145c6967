"""Which version of the tables a database has, and whether this program can work with it.

Alembic is not imported for that: it takes a quarter of a second, which every process and command would pay.
"""

from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table

from store.engine import Database
from store.errors import Outdated

_VERSIONS = Path(__file__).parent / "migrations" / "versions"
_APPLIED = table("alembic_version", column("version_num"))


def head() -> str:
    """The revision that this program works with: the last one there is a migration to."""
    return max(known())


async def of(database: Database) -> str | None:
    """The database's revision; None for one without tables."""

    def look(connection: Connection) -> str | None:
        if not inspect(connection).has_table(_APPLIED.name):
            return None
        return connection.execute(select(_APPLIED.c.version_num)).scalar()

    async with database.engine.connect() as connection:
        await connection.execution_options(read_only=True)
        return await connection.run_sync(look)


async def require_current(database: Database) -> None:
    """For whoever opens the database to work with it. Raises Outdated, which says what to do."""
    found, needed = await of(database), head()
    if found == needed:
        return
    if found is None:
        raise Outdated("the database has no tables yet: run 'isthmus init'")
    if found in known():
        raise Outdated(f"the database is at {found}, this version needs {needed}: run 'isthmus db upgrade'")
    raise Outdated(f"the database is at {found}, which this version does not know: run the one that made it")


def known() -> set[str]:
    """The revisions that there are migrations to: `0004` is made by `m0004_proxy_tokens.py`."""
    return {file.stem[1:5] for file in _VERSIONS.glob("m[0-9]*.py")}
