"""Whose turn it is to renew a token: one at a time, leases that run out, and what comes too late."""

import asyncio
from datetime import timedelta

import pytest

from store.engine import Database
from store.errors import Stale
from store.queries import accounts, renewals
from store.queries.renewals import Turn
from tests.store.rows import account, tenant

LONG, OVER = timedelta(minutes=5), timedelta(seconds=-1)


@pytest.fixture
async def number(database: Database) -> int:
    return await account(database, (await tenant(database)).application)


async def taken(database: Database, number: int, lease: timedelta = LONG) -> Turn | None:
    """A worker looks, and takes the turn if it is free."""
    async with database.session() as session:
        return await renewals.take(session, number, await renewals.fetch(session, number), lease)


async def kept(database: Database, number: int) -> tuple[bytes | None, int, int]:
    async with database.session() as session:
        row = await renewals.fetch(session, number)
    assert row is not None
    return row.sealed, row.kept, row.revision


async def test_one_at_a_time(database: Database, number: int) -> None:
    for generation in (1, 2):
        async with asyncio.TaskGroup() as tasks:
            every = [tasks.create_task(taken(database, number)) for _ in range(8)]
        turns = [turn for task in every if (turn := task.result()) is not None]
        assert turns == [Turn(number, generation)]
        async with database.session() as session:
            await renewals.keep(session, turns[0], b"token", revision=7)
        assert await kept(database, number) == (b"token", generation, 7)


async def test_who_saw_the_last_turn_takes_no_later_one(database: Database, number: int) -> None:
    """What it saw may be the token that was renewed meanwhile."""
    async with database.session() as session:
        never = await renewals.fetch(session, number)
    first = await taken(database, number)
    assert first is not None
    async with database.session() as session:
        await renewals.give_back(session, first)
    async with database.session() as session:
        assert await renewals.take(session, number, never, LONG) is None
    async with database.session() as session:
        seen = await renewals.fetch(session, number)
    assert await taken(database, number, OVER) == Turn(number, 2)
    async with database.session() as session:
        assert await renewals.take(session, number, seen, LONG) is None


async def test_a_lease_that_ran_out_is_the_next_ones(database: Database, number: int) -> None:
    killed = await taken(database, number, OVER)
    following = await taken(database, number)
    assert (killed, following) == (Turn(number, 1), Turn(number, 2))
    assert await taken(database, number) is None
    async with database.session() as session:
        with pytest.raises(Stale):
            await renewals.hold(session, Turn(number, 1), LONG)
        await renewals.give_back(session, Turn(number, 1))
    assert await taken(database, number) is None


async def test_a_lease_is_made_longer_by_its_holder(database: Database, number: int) -> None:
    turn = await taken(database, number, OVER)
    assert turn is not None
    async with database.session() as session:
        await renewals.hold(session, turn, LONG)
    assert await taken(database, number) is None


async def test_what_comes_late_counts_until_something_later_is_kept(database: Database, number: int) -> None:
    late = await taken(database, number, OVER)
    later = await taken(database, number)
    assert late is not None
    assert later is not None
    async with database.session() as session:
        await renewals.keep(session, late, b"late", revision=0)
    assert await taken(database, number) is None  # the later turn goes on
    async with database.session() as session:
        await renewals.keep(session, later, b"later", revision=1)
    with pytest.raises(Stale):
        async with database.session() as session:
            await renewals.keep(session, late, b"late", revision=0)
    assert await kept(database, number) == (b"later", 2, 1)


async def test_a_removed_account_takes_its_turns_along(database: Database, number: int) -> None:
    turn = await taken(database, number)
    assert turn is not None
    async with database.session() as session:
        await accounts.remove(session, number)
    with pytest.raises(Stale):
        async with database.session() as session:
            await renewals.keep(session, turn, b"token", revision=0)
