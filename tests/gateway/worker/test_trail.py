"""The audit trail of operations: a row a transfer, looks counted, no names; it waits rather than forget."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connectors.interface import NotFound
from gateway.worker.audit import uses as waiting
from gateway.worker.audit.trail import Trace, Trail, digest
from gateway.worker.audit.uses import Uses
from store import migrate
from store.engine import Database, open_database
from store.errors import StateError
from store.queries import audit
from store.tables import Audit

ASKED = {"account": {"id": 7, "revision": 1}, "actor": "access token 12"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = f"sqlite:///{tmp_path_factory.mktemp('trail') / 'state.db'}"
    migrate.upgrade(made)
    return made


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = open_database(url)
    async with opened.session() as session:
        for row in await audit.latest(session, 10_000):
            await session.delete(row)
    yield opened
    await opened.aclose()


@asynccontextmanager
async def following(database: Database) -> AsyncIterator[Trail]:
    """A trail as the worker runs it, and stops it."""
    uses = Uses(database)
    trail = Trail(uses)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(uses.run()), group.create_task(trail.run())]
        yield trail
        for one in running:
            one.cancel()
    trail.sum_looks()
    await uses.flush()


async def rows(database: Database) -> list[Audit]:
    """The oldest first; the chain holds."""
    async with database.session() as session:
        found = await audit.latest(session, 10_000)
        assert await audit.verify(session) == len(found)
        return list(reversed(found))


def used(trail: Trail, path: str, result: Any = None, passed: int = 0, **arguments: Any) -> None:
    with Trace(trail, path, {**ASKED, **arguments}) as trace:
        trace.result, trace.passed = result, passed


async def test_a_transfer_is_a_row_without_a_name(database: Database) -> None:
    entry = {"id": "made-id", "raw_id": "/secret plan.txt", "name": "secret plan.txt", "size": 5}
    async with following(database) as trail:
        used(trail, "/read", passed=17, id="file-id")
        used(
            trail, "/write", {"entry": entry, "created": True}, parent_id="folder-id", name="secret plan.txt"
        )
        used(trail, "/replace", entry, id="file-id")
    read, written, replaced = await rows(database)
    assert (read.actor, read.action, read.subject) == ("access token 12", "storage.read", "7")
    assert json.loads(read.detail) == {"outcome": "ok", "entry": digest("file-id"), "bytes": 17}
    assert json.loads(written.detail) == {
        "outcome": "ok",
        "parent": digest("folder-id"),
        "made": digest("made-id"),
        "bytes": 5,
    }
    assert json.loads(replaced.detail)["made"] == digest("made-id")
    for row in (read, written, replaced):
        assert "secret" not in row.detail
        assert "-id" not in row.detail


async def test_what_failed_is_told_too(database: Database) -> None:
    async with following(database) as trail:
        with pytest.raises(NotFound), Trace(trail, "/delete", {**ASKED, "id": "gone"}):
            raise NotFound("there is no such file")
    (row,) = await rows(database)
    assert json.loads(row.detail) == {"outcome": "NotFound", "entry": digest("gone")}


async def test_a_task_is_told_by_what_it_does(database: Database) -> None:
    given = {"id": "file-id", "parent_id": "root", "target": {"id": 8, "revision": 1}}
    async with following(database) as trail:
        used(trail, "/start_task", {"id": "task-7"}, operation="move_across", arguments=given)
    (row,) = await rows(database)
    assert row.action == "storage.move_across"
    assert json.loads(row.detail) == {
        "outcome": "started",
        "entry": digest("file-id"),
        "parent": digest("root"),
        "target": 8,
        "task": "task-7",
    }


async def test_looks_are_counted(database: Database) -> None:
    async with following(database) as trail:
        for _ in range(1000):
            used(trail, "/stat", id="x")
        used(trail, "/list", id="root")
        with Trace(trail, "/stat", {**ASKED, "actor": None}):
            pass
        with Trace(trail, "/ready", {}):
            pass
    told = {row.actor: json.loads(row.detail) for row in await rows(database)}
    assert told == {"access token 12": {"stat": 1000, "list": 1}, "gateway": {"stat": 1}}


async def test_rows_come_within_seconds_while_it_runs(database: Database) -> None:
    async with following(database) as trail:
        for number in range(2500):
            used(trail, "/read", id=str(number))
        async with asyncio.timeout(20):
            while len(await rows(database)) < 2500:
                await asyncio.sleep(0.05)
    assert [json.loads(row.detail)["entry"] for row in await rows(database)] == [
        digest(str(number)) for number in range(2500)
    ]


async def test_no_transfer_goes_on_unseen_while_the_log_can_not_be_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_MOST_WAITING", 3)
    append_all, broken = audit.append_all, True

    async def sometimes(session: Any, acts: Any) -> None:
        if broken:
            raise StateError("no database")
        await append_all(session, acts)

    monkeypatch.setattr(audit, "append_all", sometimes)
    async with following(database) as trail:
        for number in range(3):
            await trail.room("/read")
            used(trail, "/read", id=str(number))
        await trail.room("/stat")
        with pytest.raises(StateError):
            await trail.room("/read")
        broken = False
        await trail.room("/read")
        assert len(await rows(database)) == 3
