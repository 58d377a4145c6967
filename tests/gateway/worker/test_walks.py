"""Walks: every entry once, within bounds, and on from where they stopped."""

import dataclasses
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from connectors.interface import (
    Connector,
    Content,
    Entry,
    InvalidName,
    Kind,
    NotFound,
    NotPermitted,
    Page,
    Span,
    Unsupported,
)
from connectors.local import LocalConnector
from connectors.local.settings import LocalSettings
from gateway.worker.content.walks import Bounds, Walk

WIDE = Bounds(entries=1_000_000, seconds=60.0)


class Fake(Connector):
    """A double of a store whose listings are made up as they are asked for; it counts them."""

    name = "fake"

    def __init__(self, files: int = 0, folders: int = 0, depth: int = 0) -> None:
        self.files, self.folders, self.depth = files, folders, depth
        self.closed_to_us: set[str] = set()
        self.listed: list[str] = []

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        self.listed.append(folder)
        if folder in self.closed_to_us:
            raise NotPermitted("no")
        level = 0 if not folder else folder.count("/") + 1
        names = [f"f{n}" for n in range(self.files)]
        if level < self.depth:
            names += [f"d{n}" for n in range(self.folders)]
        first = int(cursor or 0)
        entries = [self.made(folder, name) for name in names[first : first + limit]]
        return Page(entries, str(first + limit) if first + limit < len(names) else None)

    def made(self, folder: str, name: str) -> Entry:
        raw_id = f"{folder}/{name}" if folder else name
        return Entry(raw_id, name, Kind.FOLDER if name.startswith("d") else Kind.FILE, folder)

    @classmethod
    async def open(cls, settings: Any, context: Any) -> "Fake":
        raise NotImplementedError

    async def aclose(self) -> None: ...

    async def stat(self, raw_id: str) -> Entry:
        raise NotFound("no")

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        raise NotFound("no")

    async def write(self, parent: str, name: str, chunks: AsyncIterator[bytes], **more: Any) -> Entry:
        raise NotFound("no")

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        raise NotFound("no")


class Tree(Fake):
    """A double that lists whole trees at once, files alone; `able` says whether it does today."""

    able = True

    async def tree(self, folder: str, cursor: str | None, limit: int) -> Page:
        if not self.able:
            raise Unsupported("not here")
        self.listed.append(f"tree {cursor}")
        first = int(cursor or 0)
        entries = [self.made(folder, f"f{n}") for n in range(first, min(first + limit, self.files))]
        return Page(entries, str(first + limit) if first + limit < self.files else None)


async def some(walk: Walk, most: int | None = None) -> list[str]:
    async with aclosing(walk.entries()) as entries:  # type: ignore[type-var]  # a generator
        return [entry.raw_id async for entry in _first(entries, most)]


async def _first(entries: AsyncIterator[Entry], most: int | None) -> AsyncIterator[Entry]:
    if most == 0:
        return
    seen = 0
    async for entry in entries:
        yield entry
        seen += 1
        if seen == most:
            return


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[LocalConnector]:
    for path in ("a/b/c/1.txt", "a/2.txt", "d/3.txt", "empty/", "4.txt"):
        if path.endswith("/"):
            (tmp_path / path).mkdir()
        else:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text("x")
    connector = LocalConnector(LocalSettings(root=str(tmp_path)), 10.0)
    yield connector
    await connector.aclose()


ALL = ["4.txt", "a", "d", "empty", "a/2.txt", "a/b", "a/b/c", "a/b/c/1.txt", "d/3.txt"]


async def test_a_walk_sees_every_entry_once(folder: LocalConnector) -> None:
    walk = Walk.below(folder, WIDE, [""])
    assert await some(walk) == ALL
    assert (walk.stopped, walk.cursor()) == (None, None)


async def test_a_walk_of_some_folders_sees_what_is_below_them(folder: LocalConnector) -> None:
    assert await some(Walk.below(folder, WIDE, ["a/b", "d"])) == ["a/b/c", "a/b/c/1.txt", "d/3.txt"]


@pytest.mark.parametrize("step", range(1, 10))
async def test_a_walk_goes_on_at_the_cursor_wherever_it_was_left(folder: LocalConnector, step: int) -> None:
    walk, seen = Walk.below(folder, WIDE, [""]), []
    while True:
        seen += await some(walk, step)
        if (cursor := walk.cursor()) is None:
            break
        walk = Walk.resumed(folder, WIDE, cursor)
    assert seen == ALL


async def test_a_walk_stops_after_so_many_entries_and_says_so() -> None:
    store = Fake(files=2500, folders=3, depth=2)
    walk, seen = Walk.below(store, dataclasses.replace(WIDE, entries=1000), [""]), []
    stops = 0
    while True:
        seen += await some(walk)
        if (cursor := walk.cursor()) is None:
            break
        assert walk.stopped == "after 1000 entries"
        stops += 1
        walk = Walk.resumed(store, dataclasses.replace(WIDE, entries=1000), cursor)
    assert len(seen) == len(set(seen)) == 2500 * 13 + 12
    assert stops == len(seen) // 1000


async def test_a_walk_stops_after_so_many_seconds_but_never_without_having_looked() -> None:
    ticks = itertools.count(step=10.0)
    bounds = Bounds(entries=1000, seconds=5.0, clock=lambda: next(ticks))
    store = Fake(files=1, folders=1, depth=5)
    walk, seen = Walk.below(store, bounds, [""]), []
    while True:
        found = await some(walk)
        seen += found
        if (cursor := walk.cursor()) is None:
            break
        assert found
        assert walk.stopped == "after 5 seconds"
        walk = Walk.resumed(store, bounds, cursor)
    assert len(seen) == len(set(seen)) == 11


async def test_a_wide_and_deep_tree_needs_a_small_cursor() -> None:
    store = Fake(files=3, folders=900, depth=60)
    walk = Walk.below(store, WIDE, [""])
    await some(walk, 60_000)
    cursor = walk.cursor()
    assert cursor is not None
    assert len(cursor) < 2000
    assert len(walk._path) <= 100
    assert await some(Walk.resumed(store, WIDE, cursor), 5)


async def test_a_folder_that_came_or_went_meanwhile_makes_no_other_one_missing(tmp_path: Path) -> None:
    for name in "bdfh":
        (tmp_path / name / "inside").mkdir(parents=True)
    connector = LocalConnector(LocalSettings(root=str(tmp_path)), 10.0)
    walk = Walk.below(connector, WIDE, [""])
    seen = await some(walk, 6)  # the four, b/inside, d/inside
    cursor = walk.cursor()
    assert cursor is not None
    (tmp_path / "b" / "inside").rmdir()
    (tmp_path / "b").rmdir()
    (tmp_path / "a").mkdir()
    seen += await some(Walk.resumed(connector, WIDE, cursor))
    assert seen == ["b", "d", "f", "h", "b/inside", "d/inside", "f/inside", "h/inside"]
    await connector.aclose()


async def test_folders_that_are_closed_to_us_are_counted_and_passed_over() -> None:
    store = Fake(files=1, folders=3, depth=1)
    store.closed_to_us = {"d1"}
    walk = Walk.below(store, WIDE, [""])
    assert await some(walk) == ["f0", "d0", "d1", "d2", "d0/f0", "d2/f0"]
    assert walk.passed_over == 1
    store.closed_to_us = {""}
    with pytest.raises(NotPermitted):
        await some(Walk.below(store, WIDE, [""]))


async def test_a_tree_is_asked_for_at_once_where_the_store_can() -> None:
    store = Tree(files=2500)
    walk = Walk.below(store, WIDE, [""])
    seen = await some(walk, 1500)
    cursor = walk.cursor()
    assert cursor is not None
    seen += await some(Walk.resumed(store, WIDE, cursor))
    assert seen == [f"f{n}" for n in range(2500)]
    assert store.listed == ["tree None", "tree 1000", "tree 1000", "tree 2000"]


async def test_a_store_that_can_list_no_trees_today_is_listed_folder_by_folder() -> None:
    store = Tree(files=1, folders=1, depth=1)
    store.able = False
    assert await some(Walk.below(store, WIDE, [""])) == ["f0", "d0", "d0/f0"]


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "eJw", "eJyrVkrOz0lVslJQKs5ITUnMUdJRSiwqSgTK1gIAZVgHbA", "a" * 7000, "ä", "e" * 5000],
)
async def test_a_made_up_cursor_is_named(cursor: str) -> None:
    with pytest.raises(InvalidName, match="page"):
        Walk.resumed(Fake(), WIDE, cursor)


async def test_pages_are_what_the_store_listed_and_nothing_is_listed_ahead() -> None:
    store = Fake(files=1500, folders=2, depth=1)
    pages = Walk.below(store, dataclasses.replace(WIDE, entries=1), [""]).pages()
    first = await anext(pages)
    assert (len(first), store.listed) == (1000, [""])
    sizes = [len(page) async for page in pages]
    assert sizes == [502, 1000, 500, 1000, 500]
