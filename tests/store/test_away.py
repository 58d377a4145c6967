"""A database that can't serve now: one error that says what to do, and work goes on when it is back."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.access.reads import reading
from gateway.api import errors
from store import engine
from store.engine import Database, open_database
from store.errors import Away
from tests.servers.postgres import Postgres

on_sqlite = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("kind", ["postgresql"], indirect=True)


async def answers(database: Database) -> None:
    async with database.session() as session:
        assert await session.scalar(text("SELECT 1")) == 1


@on_postgresql
async def test_connections_that_are_ended_cost_what_ran_and_nothing_after(
    database: Database, database_url: str
) -> None:
    async def long(begun: asyncio.Semaphore) -> None:
        async with database.session() as session:
            await session.execute(text("SELECT 1"))
            begun.release()
            await session.execute(text("SELECT pg_sleep(20)"))

    async def work(begun: asyncio.Semaphore) -> None:
        with pytest.raises(Away, match="does not answer now"):
            await long(begun)

    other = open_database(database_url)
    begun = asyncio.Semaphore(0)
    async with asyncio.timeout(15), asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(work(begun))
        for _ in range(4):
            await begun.acquire()
        async with other.session() as session:
            await session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
    for _ in range(8):  # the pool's other connections are dead, too
        await answers(database)
    await other.aclose()


@on_postgresql
async def test_who_is_cancelled_is_told_nothing_else(database: Database) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with database.session() as session:
            await session.execute(text("SELECT 1"))
            begun.set()
            await session.execute(text("SELECT pg_sleep(20)"))

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        await begun.wait()
        await asyncio.sleep(0)
        working.cancel()
    assert working.cancelled()
    await answers(database)


@on_postgresql
async def test_two_that_wait_for_each_other(database: Database) -> None:
    both = asyncio.Barrier(2)

    async def lock(*numbers: int) -> None:
        async with database.session() as session:
            for number in numbers:
                await session.execute(text(f"SELECT pg_advisory_xact_lock({number})"))
                if number == numbers[0]:
                    await both.wait()

    async with asyncio.timeout(15):
        found = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)  # noqa: TID251  errors are wanted
    assert [str(one) for one in found if one is not None] == [
        "the gateway's database is busy: try again in a moment"
    ]


async def test_a_server_that_is_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = open_database(Postgres(tmp_path, tmp_path).url("state"))
    with pytest.raises(Away, match="does not answer now"):
        await answers(database)
    assert str(tmp_path) not in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    await database.aclose()


@on_sqlite
async def test_a_file_that_another_keeps_locked(
    kind: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_BUSY_MS", 50)
    database = open_database(database_url)
    other = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Away, match="is busy"):
        await answers(database)
    other.execute("ROLLBACK")
    other.close()
    await answers(database)
    await database.aclose()


@on_sqlite
async def test_a_disk_that_is_full(database: Database) -> None:
    async with database.session() as session:
        pages = await session.scalar(text("PRAGMA page_count"))
        await session.execute(text(f"PRAGMA max_page_count={pages}"))

    async def fill() -> None:
        async with database.session() as session:
            await session.execute(text("CREATE TABLE much (content BLOB)"))
            await session.execute(text("INSERT INTO much VALUES (zeroblob(1000000))"))

    with pytest.raises(Away, match="disk of the gateway's database is full"):
        await fill()
    await answers(database)


@on_sqlite
async def test_no_connection_is_free(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.05)
    async with AsyncExitStack() as stack:
        for _ in range(15):
            await stack.enter_async_context(reading(database))
        with pytest.raises(Away, match="is busy"):
            await answers(database)


def test_the_api_says_when_to_come_again() -> None:
    answer = errors.answer(Away("the gateway's database does not answer now: try again in a moment"))
    assert answer is not None
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_a_command_ends_with_one_line(tmp_path: Path) -> None:
    isthmus, environment = Path(sys.executable).with_name("isthmus"), {"PATH": "/usr/bin:/bin"}
    subprocess.run([isthmus, "init", "--data", tmp_path], env=environment, check=True, capture_output=True)
    told = subprocess.run(
        [isthmus, "network", "list", "--data", tmp_path],
        env={**environment, "ISTHMUS_DATABASE": Postgres(tmp_path, tmp_path).url("state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].startswith("isthmus: the gateway's database does not answer")
    assert "Traceback" not in told.stderr
