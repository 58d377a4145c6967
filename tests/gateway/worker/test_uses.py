"""The audit log's rows about credentials that were used: none is lost, and none is in two places."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.worker.audit.uses import Use, Uses
from store import migrate
from store.engine import Database, open_database
from store.queries import audit
from store.tables import Audit


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    await asyncio.to_thread(migrate.upgrade, url)
    opened = open_database(url)
    yield opened
    await opened.aclose()


def use(number: int) -> Use:
    return Use(7, "application x", "GET", "files.example", f"/{number}")


async def paths(database: Database) -> list[str]:
    async with database.session() as session:
        await audit.verify(session)
        rows = await session.scalars(select(Audit).order_by(Audit.id))
        return [json.loads(row.detail)["path"] for row in rows]


async def test_all_are_written_in_order_by_a_stop(database: Database) -> None:
    uses = Uses(database)
    for number in range(450):
        await uses.note(use(number))
    assert await paths(database) == []
    await uses.flush()
    assert await paths(database) == [f"/{number}" for number in range(450)]
    await uses.flush()
    assert len(await paths(database)) == 450


async def test_past_the_bound_a_use_waits_for_the_log(database: Database) -> None:
    uses = Uses(database)
    for number in range(1001):
        await uses.note(use(number))
    assert len(await paths(database)) == 1000


async def test_flushes_at_the_same_time_write_each_once(database: Database) -> None:
    uses = Uses(database)
    for number in range(300):
        await uses.note(use(number))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(uses.flush())
    assert len(await paths(database)) == 300


class Slow(Database):
    """A real database whose commits are answered late."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.engine)
        self.committed, self.answer = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        async with super().session() as session:
            yield session
        self.committed.set()
        await self.answer.wait()


async def test_who_leaves_as_the_log_is_written_has_nothing_written_twice(database: Database) -> None:
    slow = Slow(database)
    uses = Uses(slow)
    await uses.note(use(1))
    async with asyncio.TaskGroup() as tasks:
        flushing = tasks.create_task(uses.flush())
        await slow.committed.wait()
        flushing.cancel()
    await uses.note(use(2))
    slow.answer.set()
    await uses.flush()
    assert await paths(database) == ["/1", "/2"]


async def test_what_the_log_does_not_take_goes_on_waiting(database: Database, tmp_path: Path) -> None:
    uses = Uses(open_database(f"sqlite:///{tmp_path / 'nothing.db'}"))
    await uses.note(use(1))
    with pytest.raises(Exception, match="no such table"):
        await uses.flush()
    await uses._database.aclose()
    uses._database = database
    await uses.flush()
    assert await paths(database) == ["/1"]
