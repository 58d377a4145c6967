"""Tables are made by migrations alone: they match their declarations, go back, and take turns."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

import store
from store import migrate, version
from store.engine import open_database
from store.errors import Outdated
from store.tables import Base


def _looked(url: str, look: Any) -> Any:
    async def work() -> Any:
        database = open_database(url)
        try:
            async with database.engine.connect() as connection:
                return await connection.run_sync(look)
        finally:
            await database.aclose()

    return asyncio.run(work())


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, Base.metadata))


def _tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def test_migrations_make_what_is_declared(database_url: str) -> None:
    assert _looked(database_url, _differences) == []


def test_the_way_back_leaves_nothing_and_the_way_up_works_again(database_url: str) -> None:
    assert _looked(database_url, _tables) > {"accounts", "audit"}
    migrate.downgrade(database_url, "base")
    assert _looked(database_url, _tables) <= {"alembic_version"}
    assert migrate.current(database_url) is None
    migrate.upgrade(database_url)
    assert migrate.current(database_url) == version.head()


def test_the_last_file_is_what_alembic_goes_to() -> None:
    scripts = ScriptDirectory(str(Path(store.__file__).parent / "migrations"))
    assert scripts.get_current_head() == version.head()
    assert {script.revision for script in scripts.walk_revisions()} == version.known()


def test_two_that_upgrade_at_once_take_turns(empty_url: str) -> None:
    program = "import sys; from store import migrate; migrate.upgrade(sys.argv[1])"
    running = [subprocess.Popen([sys.executable, "-c", program, empty_url]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert migrate.current(empty_url) == version.head()


def _required(url: str) -> None:
    async def work() -> None:
        database = open_database(url)
        try:
            await version.require_current(database)
        finally:
            await database.aclose()

    asyncio.run(work())


def test_a_database_without_tables_says_what_to_run(empty_url: str) -> None:
    with pytest.raises(Outdated, match="isthmus init"):
        _required(empty_url)


def test_a_later_versions_database_is_left_alone(database_url: str) -> None:
    def from_the_future(connection: Connection) -> None:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.commit()

    _required(database_url)
    _looked(database_url, from_the_future)
    with pytest.raises(Outdated, match="9999"):
        _required(database_url)
