"""Tasks whose end meets a fault: the database is away, somebody cancels in that moment, or twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.worker.tasks import Progress
from store.engine import Database
from tests.gateway.worker.test_tasks import State, state, url

__all__ = ["state", "url"]


class Faulty(Database):
    """A real database that can be away, and whose next commit can be held up."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.engine)
        self.away = asyncio.Event()
        self.refused = asyncio.Semaphore(0)
        self.commits: asyncio.Event | None = None
        self.committing = asyncio.Event()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        if self.away.is_set():
            self.refused.release()
            raise OperationalError("UPDATE tasks", {}, Exception("the connection is closed"))
        async with super().session() as session:
            yield session
            if self.commits is not None:
                self.committing.set()
                await self.commits.wait()


@pytest.fixture
def faulty(state: State) -> Faulty:
    made = state.database = Faulty(state.database)
    return made


async def test_a_database_that_is_away_at_a_tasks_end_costs_nobody_a_result(
    state: State, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.worker.tasks._WRITE_AGAIN", 0.02)
    monkeypatch.setattr("gateway.worker.tasks._PURGE_EVERY", 0.02)
    monkeypatch.setattr("gateway.worker.tasks._REPORT_EVERY", 0.02)
    go, stay = asyncio.Event(), asyncio.Event()

    async def quick(progress: Progress) -> Any:
        await go.wait()
        return {"made": "it"}

    async def slow(progress: Progress) -> Any:
        await faulty.refused.acquire()
        progress.passed = 5  # a report that can't be written
        await stay.wait()
        return {}

    async with state.running() as made:
        ended, other = [await made.start(state.account, "copy", work) for work in (quick, slow)]
        await state.until(other, "STARTED")
        await state.until(ended, "STARTED")
        faulty.away.set()
        go.set()
        for _ in range(6):  # some rounds of everything that writes
            await faulty.refused.acquire()
        faulty.away.clear()
        stay.set()
        for task in (ended, other):
            await state.until(task, "SUCCESS")


async def test_who_cancels_a_task_as_it_ends_does_not_lose_its_end(state: State, faulty: Faulty) -> None:
    go = asyncio.Event()

    async def work(progress: Progress) -> Any:
        await go.wait()
        faulty.commits = asyncio.Event()
        return {"made": "it"}

    async with state.running() as made:
        begun = await made.start(state.account, "copy", work)
        go.set()
        await faulty.committing.wait()
        async with asyncio.TaskGroup() as group:
            cancelled = group.create_task(made.cancel(state.account, begun))
            await asyncio.sleep(0.01)
            assert faulty.commits is not None
            faulty.commits.set()
        assert not cancelled.result()
        await state.until(begun, "SUCCESS")


async def test_a_worker_that_stops_as_a_task_ends_keeps_its_end(state: State, faulty: Faulty) -> None:
    async def work(progress: Progress) -> Any:
        faulty.commits = asyncio.Event()
        return {"made": "it"}

    async with state.running() as made:
        begun = await made.start(state.account, "copy", work)
        await faulty.committing.wait()
        asyncio.get_running_loop().call_later(0.05, faulty.commits.set)  # type: ignore[union-attr]  # it is there
    await state.until(begun, "SUCCESS")


async def test_who_cancels_twice_does_not_break_off_the_letting_go(state: State) -> None:
    entered, letting_go, released = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(progress: Progress) -> Any:
        try:
            entered.set()
            await asyncio.Event().wait()
        finally:
            letting_go.set()
            await asyncio.sleep(0.1)  # the store is told to drop a half file
            released.set()

    async with state.running() as made:
        begun = await made.start(state.account, "copy", work)
        await entered.wait()
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(made.cancel(state.account, begun))
                await letting_go.wait()
        assert released.is_set()
