"""The worker's answers: one error as itself, and nothing goes on for an api that left."""

import asyncio
from typing import Any

import pytest

from connectors.interface import NotFound
from gateway.worker.answers import ClientGone, until_gone


class Api:
    """A double of the api's side of a request: it stays until it is told to leave."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}


async def test_what_the_work_returns_or_raises_comes_as_it_is() -> None:
    async def well() -> int:
        return 5

    async def badly() -> int:
        raise NotFound("no such file")

    assert await until_gone(Api().receive, well()) == 5
    with pytest.raises(NotFound, match="no such file"):
        await until_gone(Api().receive, badly())


async def test_work_is_cancelled_when_the_api_leaves() -> None:
    api, released = Api(), False

    async def endless() -> None:
        nonlocal released
        api.leaves.set()
        try:
            await asyncio.Event().wait()
        finally:
            released = True

    with pytest.raises(ClientGone):
        await until_gone(api.receive, endless())
    assert released


async def test_work_is_cancelled_when_the_worker_stops() -> None:
    entered, released = asyncio.Event(), False

    async def endless() -> None:
        nonlocal released
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            released = True

    async with asyncio.TaskGroup() as group:
        operation = group.create_task(until_gone(Api().receive, endless()))
        await entered.wait()
        operation.cancel()
    assert released
    assert operation.cancelled()
