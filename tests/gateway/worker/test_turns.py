"""Turns on an upload: its parts side by side, one part by one writer, its end alone."""

import asyncio

import pytest

from connectors.interface import NotFound, PreconditionFailed
from gateway.worker.content.turns import Turns


class Writer:
    """Writes a part until it is let go."""

    def __init__(self, turns: Turns, number: int) -> None:
        self._turns, self._number = turns, number
        self.inside, self.let_go = asyncio.Event(), asyncio.Event()
        self.failed: Exception | None = None

    async def __call__(self) -> None:
        try:
            async with self._turns.part("upload", self._number):
                self.inside.set()
                await self.let_go.wait()
        except (NotFound, PreconditionFailed) as error:
            self.failed = error


async def test_one_part_is_written_by_one_writer_and_others_beside_it() -> None:
    turns = Turns()
    first, again, other = Writer(turns, 1), Writer(turns, 1), Writer(turns, 2)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for writer in (first, again, other):
            tasks.create_task(writer())
        await first.inside.wait()
        await other.inside.wait()
        assert not again.inside.is_set()
        first.let_go.set()
        await again.inside.wait()
        again.let_go.set()
        other.let_go.set()
    assert turns._held == {}


async def test_completing_waits_for_nobody_and_lets_nobody_in() -> None:
    turns = Turns()
    writer = Writer(turns, 1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(writer())
        await writer.inside.wait()
        with pytest.raises(PreconditionFailed):
            async with turns.end("upload", stop_writers=False):
                pass
        writer.let_go.set()
    async with turns.end("upload", stop_writers=False):
        late = Writer(turns, 1)
        await late()
        assert isinstance(late.failed, PreconditionFailed)
        with pytest.raises(PreconditionFailed):
            async with turns.end("upload", stop_writers=True):
                pass
        async with turns.part("another upload", 1):
            pass
    assert turns._held == {}


async def test_abandoning_stops_writers_and_those_that_wait() -> None:
    turns = Turns()
    first, waiting = Writer(turns, 1), Writer(turns, 1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(first())
        tasks.create_task(waiting())
        await first.inside.wait()
        async with turns.end("upload", stop_writers=True):
            assert isinstance(first.failed, NotFound)
            assert isinstance(waiting.failed, NotFound)
    assert turns._held == {}


async def test_a_writer_that_is_cancelled_or_times_out_itself_leaves_its_turn() -> None:
    turns = Turns()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), turns.part("upload", 1):
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError, match="the store's own"):
        async with turns.part("upload", 1):
            raise TimeoutError("the store's own")
    async with turns.end("upload", stop_writers=False):
        pass
    assert turns._held == {}
