"""Tasks: what a dead worker left has failed, and what is old goes."""

from datetime import timedelta

import pytest

from store.engine import Database
from store.errors import Missing
from store.queries import accounts, tasks
from store.tables import now
from tests.store.rows import account, tenant


async def test_what_was_left_unfinished_fails_and_nothing_else(database: Database) -> None:
    number = await account(database, (await tenant(database)).application)
    async with database.session() as session:
        for name, state in (("waits", "PENDING"), ("runs", "STARTED"), ("done", "SUCCESS")):
            await tasks.create(session, name, number, "copy", None)
            await tasks.change(session, name, state=state)
    async with database.session() as session:
        assert await tasks.fail_unfinished(session, '{"error": "TaskLost"}') == 2
    async with database.session() as session:
        states = [
            (row.state, row.error)
            for name in ("waits", "done")
            if (row := await tasks.fetch(session, number, name))
        ]
    assert states == [("FAILURE", '{"error": "TaskLost"}'), ("SUCCESS", None)]


async def test_finished_ones_go_when_they_are_old(database: Database) -> None:
    number = await account(database, (await tenant(database)).application)
    async with database.session() as session:
        for name, finished in (("old", now() - timedelta(days=8)), ("new", now()), ("runs", None)):
            await tasks.create(session, name, number, "copy", None)
            await tasks.change(session, name, finished=finished)
    async with database.session() as session:
        assert await tasks.purge(session, now() - timedelta(days=7)) == 1
    async with database.session() as session:
        left = [name for name in ("old", "new", "runs") if await tasks.fetch(session, number, name)]
        assert left == ["new", "runs"]
        assert await tasks.fetch(session, number + 1, "new") is None


async def test_a_task_goes_with_its_account_and_none_begins_without(database: Database) -> None:
    number = await account(database, (await tenant(database)).application)
    async with database.session() as session:
        await tasks.create(session, "one", number, "copy", None)
    async with database.session() as session:
        assert await accounts.remove(session, number)
    async with database.session() as session:
        assert await tasks.fetch(session, number, "one") is None
    with pytest.raises(Missing):
        async with database.session() as session:
            await tasks.create(session, "two", number, "copy", None)
