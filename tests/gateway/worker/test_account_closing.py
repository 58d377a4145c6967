"""Accounts whose stores part badly: an error or a silence on closing is theirs alone, and nothing is kept."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest

from connectors.interface import Context, NotFound, Settings
from gateway.operations import AccountRef
from gateway.worker.accounts import one_work
from store.engine import open_database
from tests.gateway.api.whole import registered
from tests.gateway.worker.test_accounts import Watched, World, until_closed, url

__all__ = ["url"]


class Parting(Watched):
    """A folder that can part badly, and whose opening can be looked into."""

    ways: list[str]
    opening: list[World]

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        made = await super().open(settings, context)
        if cls.opening:
            cls.opening.pop().leave[-1]()
        return made

    async def aclose(self) -> None:
        way = self.ways.pop(0) if self.ways else "well"
        if way == "broken":
            raise ConnectionResetError("in the middle of goodbye")
        if way == "silent":
            await asyncio.Event().wait()
        await super().aclose()


@pytest.fixture
async def world(tmp_path: Path, url: str) -> AsyncIterator[World]:
    database = open_database(url)
    made = World(tmp_path, database)
    await made.connect()
    Parting.ways, Parting.opening = [], []
    with registered({Watched.name: Parting}):
        async with asyncio.TaskGroup() as tasks:
            closing = tasks.create_task(made.opened.close_unused())
            yield made
            closing.cancel()
        await made.opened.aclose()
    await database.aclose()


@pytest.mark.parametrize("way", ["broken", "silent"])
async def test_a_store_that_parts_badly_holds_up_no_other(
    world: World, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.worker.accounts._CLOSE_WITHIN", 0.2)
    Parting.ways = [way]
    with one_work():
        _, bad = await world.require()
        world.leave[0]()
        _, good = await world.require()
        world.leave[1]()
    await until_closed(good)
    assert not bad.closed
    with one_work():
        _, later = await world.require()
        world.leave[2]()
    await until_closed(later)


async def test_a_request_that_forgets_an_account_hears_nothing_of_its_store(world: World) -> None:
    Parting.ways = ["broken"]
    await world.require()
    await world.opened.forget(world.ref.id)


async def test_an_agent_that_leaves_while_an_account_is_opened(world: World) -> None:
    Parting.opening = [world]
    with one_work():
        _, former = await world.require()
        _, present = await world.require()
        assert present is not former
        assert not former.closed
    await until_closed(former)
    assert not present.closed


async def test_nothing_is_kept_of_accounts_that_are_closed(world: World) -> None:
    with one_work():
        account, connector = await world.require()
    for number in range(100, 150):
        with pytest.raises(NotFound):
            await world.opened.require(AccountRef(number, 0))
    world.leave[0]()
    await until_closed(connector)
    world.leave.clear()
    del account, connector
    gc.collect()
    assert not len(world.opened._opening)
    assert not len(world.opened._locks)


async def test_an_account_is_idle_from_the_end_of_what_ran_last(world: World) -> None:
    with one_work():
        account, _ = await world.require()
        account.used -= 1000  # a long transfer
    assert time.monotonic() - account.used < 100
