"""Sums that outlive the processes that counted them; those are doubles that tell what they are told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy.counting import collector, reports
from gateway.proxy.counting.collector import Collector
from gateway.proxy.counting.metrics import Metrics
from gateway.proxy.counting.reports import Report


class Process:
    """A double of a proxy process."""

    def __init__(self, folder: Path, number: int, started: float) -> None:
        self._place = folder / f"proxy-{number}.sock"
        self._about = {"process": number, "started": started, "clients": 3}
        self.metrics, self.asked = Metrics(), asyncio.Event()

    def answers(self, times: int) -> None:
        for _ in range(times):
            self.metrics.of(7, "a:443").answer(200, 0.01, 0.02)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async def report() -> Report:
            self.asked.set()
            return {**self._about, "rows": self.metrics.to_json()}

        async with reports.told(self._place, report):
            yield


async def shown(folder: Path) -> dict[int, Any]:
    """What the collector tells, by number: clients, answers, connections."""
    told = await asyncio.to_thread(reports.gathered, folder)
    return {
        one["process"]: (one["clients"], row["answered"].get("2xx"), row["connections"])
        for one in told
        for row in one["rows"]
    }


@asynccontextmanager
async def collecting(folder: Path) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(Collector(folder).run())
        async with asyncio.timeout(10):
            while not (folder / reports.COLLECTED).exists():
                await asyncio.sleep(0.01)
        yield
        running.cancel()


async def test_a_successor_goes_on(tmp_path: Path) -> None:
    total = 0
    async with collecting(tmp_path):
        for started, answers in ((1.0, 2), (2.0, 3), (3.0, 0)):
            process = Process(tmp_path, 1, started)
            counts = process.metrics.of(7, "a:443")
            async with process.running():
                assert await shown(tmp_path) == {1: (3, total or None, 0)}
                process.answers(answers)
                counts.connections = 1
                total += answers
                assert await shown(tmp_path) == {1: (3, total, 1)}
            assert await shown(tmp_path) == {1: (0, total, 0)}, "of one that ended nothing is open"


async def test_what_nobody_asked_for_is_remembered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "_LOOK_EVERY", 0.05)
    async with collecting(tmp_path):
        process = Process(tmp_path, 2, 1.0)
        process.answers(4)
        async with process.running(), asyncio.timeout(10):
            await process.asked.wait()
        assert await shown(tmp_path) == {2: (0, 4, 0)}


async def test_without_it_each_that_runs_is_asked(tmp_path: Path) -> None:
    one, other = Process(tmp_path, 1, 1.0), Process(tmp_path, 12, 1.0)
    one.answers(1)
    other.answers(2)
    async with one.running(), other.running():
        assert await shown(tmp_path) == {1: (3, 1, 0), 12: (3, 2, 0)}
    assert await shown(tmp_path) == {}


async def test_what_has_been_killed_halfway_tells_nothing(tmp_path: Path) -> None:
    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"process": 1, "star')
        writer.close()

    server = await asyncio.start_unix_server(half, tmp_path / "proxy-1.sock")
    async with server, collecting(tmp_path):
        assert await shown(tmp_path) == {}
