"""Tasks: a bounded number, each with an end that is written down."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.interface import NotFound, Throttled
from gateway.worker.tasks import Progress, Tasks
from store import migrate
from store.engine import Database, open_database
from store.queries import accounts, applications, developers, tasks
from store.tables import Task, now


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = f"sqlite:///{tmp_path_factory.mktemp('tasks') / 'state.db'}"
    migrate.upgrade(made)
    return made


class State:
    def __init__(self, database: Database, account: int) -> None:
        self.database, self.account = database, account

    async def row(self, task_id: str) -> Task | None:
        async with self.database.session() as session:
            return await tasks.fetch(session, self.account, task_id)

    async def until(self, task_id: str, state: str) -> Task:
        async with asyncio.timeout(10):
            while True:
                row = await self.row(task_id)
                assert row is not None
                if row.state == state:
                    return row
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self, most_running: int = 2, most_waiting: int = 2) -> AsyncIterator[Tasks]:
        made = Tasks(self.database, most_running=most_running, most_waiting=most_waiting, kept=3600.0)
        async with asyncio.TaskGroup() as group:
            run = group.create_task(made.run())
            while made._group is None:
                await asyncio.sleep(0)
            yield made
            run.cancel()


@pytest.fixture
async def state(url: str) -> AsyncIterator[State]:
    database = open_database(url)
    async with database.session() as session:
        who = f"{now().timestamp()}@example.com"
        developer = await developers.create(session, who, None, key_digest=who.encode(), key_sealed=b"")
        application = await applications.create(session, developer.id, "a")
        account = await accounts.create(
            session,
            application_id=application.id,
            service="local",
            display_name="x",
            network_id=None,
            credential=b"",
        )
    yield State(database, account.id)
    await database.aclose()


async def test_a_task_that_ends_well(state: State) -> None:
    async def work(progress: Progress) -> Any:
        progress.passed, progress.entries = 5, 1
        return {"made": "it"}

    async with state.running() as made:
        row = await state.until(await made.start(state.account, "copy", work), "SUCCESS")
    assert (json.loads(row.result), row.operation) == ({"made": "it"}, "copy")
    assert json.loads(row.progress) == {"bytes": 5, "total": None, "entries": 1}
    assert row.finished is not None


async def test_a_task_that_fails_says_why_and_a_bug_tells_nothing(state: State) -> None:
    async def missing(progress: Progress) -> Any:
        raise NotFound("no such file")

    async def bug(progress: Progress) -> Any:
        raise KeyError("inner detail")

    async with state.running() as made:
        row = await state.until(await made.start(state.account, "copy", missing), "FAILURE")
        assert json.loads(row.error or "")["error"] == "NotFound"
        row = await state.until(await made.start(state.account, "copy", bug), "FAILURE")
    assert "inner detail" not in (row.error or "")
    assert json.loads(row.error or "")["error"] == "TaskLost"


async def test_only_so_many_run_and_so_many_wait(state: State) -> None:
    go, now_running, most = asyncio.Event(), 0, 0

    async def work(progress: Progress) -> Any:
        nonlocal now_running, most
        now_running += 1
        most = max(most, now_running)
        await go.wait()
        now_running -= 1
        return {}

    async with state.running(most_running=2, most_waiting=2) as made:
        begun = [await made.start(state.account, "copy", work) for _ in range(4)]
        with pytest.raises(Throttled):
            await made.start(state.account, "copy", work)
        await state.until(begun[1], "STARTED")
        row = await state.row(begun[3])
        assert row is not None
        assert row.state == "PENDING"
        go.set()
        for one in begun:
            await state.until(one, "SUCCESS")
    assert most == 2


async def test_a_task_is_cancelled_and_has_let_go_by_then(state: State) -> None:
    entered, released = asyncio.Event(), False

    async def work(progress: Progress) -> Any:
        nonlocal released
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            released = True

    async with state.running(most_running=1) as made:
        first = await made.start(state.account, "copy", work)
        waiting = await made.start(state.account, "copy", work)
        just_begun = await made.start(state.account, "copy", work)
        await entered.wait()
        assert await made.cancel(state.account, just_begun)
        assert await made.cancel(state.account, waiting)
        assert not await made.cancel(state.account + 1, first)
        assert await made.cancel(state.account, first)
        assert released
        for one in (first, waiting, just_begun):
            row = await state.row(one)
            assert row is not None
            assert (row.state, json.loads(row.error or "")["error"]) == ("FAILURE", "TaskCancelled")
        assert not await made.cancel(state.account, first)


async def test_a_worker_that_stops_ends_its_tasks(state: State) -> None:
    async def work(progress: Progress) -> Any:
        await asyncio.Event().wait()

    async with state.running() as made:
        begun = await made.start(state.account, "copy", work)
        await state.until(begun, "STARTED")
    row = await state.row(begun)
    assert row is not None
    assert (row.state, json.loads(row.error or "")["error"]) == ("FAILURE", "TaskLost")


async def test_what_a_dead_worker_left_has_failed(state: State) -> None:
    async with state.database.session() as session:
        await tasks.create(session, f"left {state.account}", state.account, "copy", "a-request")
        await tasks.change(session, f"left {state.account}", state="STARTED")
    await Tasks(state.database, most_running=1, most_waiting=1, kept=1.0).fail_lost()
    row = await state.row(f"left {state.account}")
    assert row is not None
    assert (row.state, row.request_id) == ("FAILURE", "a-request")
    assert "restarted" in json.loads(row.error or "")["message"]


async def test_progress_is_written_while_it_moves(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.tasks._REPORT_EVERY", 0.05)
    seen = asyncio.Event()

    async def work(progress: Progress) -> Any:
        progress.total, progress.passed = 10, 4
        await seen.wait()
        return {}

    async with state.running() as made:
        begun = await made.start(state.account, "copy", work)
        async with asyncio.timeout(10):
            while (row := await state.row(begun)) is None or '"bytes":4' not in row.progress:
                await asyncio.sleep(0.02)
        seen.set()
        await state.until(begun, "SUCCESS")


async def test_old_ones_are_purged_and_running_ones_never(state: State) -> None:
    old = datetime.now(UTC) - timedelta(days=8)
    names = [f"{name} {state.account}" for name in ("old", "new", "running")]
    async with state.database.session() as session:
        for name, finished in zip(names, (old, datetime.now(UTC), None), strict=True):
            await tasks.create(session, name, state.account, "copy", None)
            await tasks.change(session, name, finished=finished)
    made = Tasks(state.database, most_running=1, most_waiting=1, kept=7 * 86400.0)
    await made._purge()
    assert [await state.row(name) is None for name in names] == [True, False, False]
