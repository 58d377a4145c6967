"""Copies from store to store: whole, or nothing is left of them."""

import asyncio
import dataclasses
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.interface import BadAnswer, Content, Entry, NotPermitted, Span, Unavailable
from connectors.local import LocalConnector
from connectors.local.settings import LocalSettings
from gateway.worker.content.copying import Copying
from gateway.worker.tasks import Progress

MIB = 1024 * 1024


class Here(LocalConnector):
    """A double on a real folder: what a test sets is done before the connector's own."""

    before_read: Callable[[str], None] = staticmethod(lambda raw_id: None)
    lies_about_size = False
    endless: asyncio.Event | None = None
    writing = 0

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        self.before_read(raw_id)
        return await super().read(raw_id, span, etag=etag)

    async def write(self, parent: str, name: str, chunks: AsyncIterator[bytes], **more: Any) -> Entry:
        self.writing += 1
        try:
            if self.endless is not None:
                await self.endless.wait()
            made = await super().write(parent, name, chunks, **more)
        finally:
            self.writing -= 1
        return dataclasses.replace(made, size=(made.size or 0) + 1) if self.lies_about_size else made


class Pair:
    def __init__(self, folder: Path) -> None:
        (folder / "from").mkdir()
        (folder / "to").mkdir()
        self.here, self.there = folder / "from", folder / "to"
        self.source = Here(LocalSettings(root=str(self.here)), 10.0)
        self.target = Here(LocalSettings(root=str(self.there)), 10.0)
        self.progress = Progress()
        self.copying = Copying(self.source, self.target, self.progress, 4, 1.0)

    async def copy(self, raw_id: str) -> Entry:
        entry = await self.source.stat(raw_id)
        return await self.copying.entry(entry, "", entry.name)

    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.there)) for path in self.there.rglob("*"))


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    made = Pair(tmp_path)
    yield made
    await made.source.aclose()
    await made.target.aclose()


def fill(folder: Path) -> list[str]:
    for path in ("t/a/b/1", "t/a/2", "t/empty/", "t/3", "t/c/4", "t/c/5"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(os.urandom(100_000))
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def test_a_folder_is_copied_with_all_that_is_below_it(pair: Pair) -> None:
    expected = fill(pair.here)
    made = await pair.copy("t")
    assert made.name == "t"
    assert pair.left() == expected
    for path in expected:
        if (pair.here / path).is_file():
            assert (pair.here / path).read_bytes() == (pair.there / path).read_bytes()
    assert pair.progress.to_json() == {"bytes": 500_000, "total": None, "entries": 10}
    assert await pair.copying.unchanged(await pair.source.stat("t"))


async def test_many_small_files_go_several_at_once(pair: Pair) -> None:
    (pair.here / "t").mkdir()
    for number in range(1500):
        (pair.here / "t" / f"{number}").write_bytes(b"x")
    pair.target.endless = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        copying = group.create_task(pair.copy("t"))
        async with asyncio.timeout(10):
            while pair.target.writing < 4:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert pair.target.writing == 4
        pair.target.endless.set()
    assert copying.result().name == "t"
    assert len(pair.left()) == 1501


async def test_a_failure_in_the_middle_leaves_nothing_at_the_target(pair: Pair) -> None:
    fill(pair.here)

    def refuse(raw_id: str) -> None:
        if raw_id == "t/c/5":
            raise NotPermitted("not this one")

    pair.source.before_read = refuse
    with pytest.raises(NotPermitted):
        await pair.copy("t")
    assert pair.left() == []


@pytest.mark.parametrize("what", ["t", "t/3"])
async def test_a_copy_that_is_cancelled_leaves_nothing_at_the_target(pair: Pair, what: str) -> None:
    fill(pair.here)
    pair.target.endless = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        copying = group.create_task(pair.copy(what))
        async with asyncio.timeout(10):
            while not pair.target.writing:
                await asyncio.sleep(0.01)
        copying.cancel()
    assert pair.left() == []
    assert pair.target.writing == 0


async def test_a_target_that_keeps_another_size_is_found_out(pair: Pair) -> None:
    (pair.here / "f").write_bytes(b"hello")
    pair.target.lies_about_size = True
    with pytest.raises(BadAnswer):
        await pair.copy("f")
    assert pair.left() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda here: (here / "t/new").write_bytes(b"1"),
        lambda here: (here / "t/a/2").write_bytes(b"2"),
        lambda here: (here / "t/a/b/1").unlink(),
        lambda here: (here / "t/c/4").rename(here / "t/c/6"),
    ],
)
async def test_a_change_meanwhile_is_seen(pair: Pair, change: Callable[[Path], None]) -> None:
    fill(pair.here)
    await pair.copy("t")
    change(pair.here)
    assert not await pair.copying.unchanged(await pair.source.stat("t"))


async def test_a_read_that_breaks_is_gone_on_with(pair: Pair) -> None:
    (pair.here / "f").write_bytes(b"hello")
    broken = iter([True])

    def once(raw_id: str) -> None:
        if next(broken, False):
            raise Unavailable("the connection broke")

    pair.source.before_read = once
    with pytest.raises(Unavailable):  # it broke before anything was opened: that is not resumed
        await pair.copy("f")
    assert (await pair.copy("f")).size == 5


async def test_memory_does_not_grow_with_the_file(pair: Pair) -> None:
    with (pair.here / "large").open("wb") as file:
        file.truncate(256 * MIB)
    tracemalloc.start()
    try:
        made = await pair.copy("large")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.size == 256 * MIB
    assert peak < 8 * MIB
