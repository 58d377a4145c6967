"""What crawls take for another version; what they do when a store is closed, breaks, or is too large."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from connectors.interface import Entry, Kind, Unavailable
from gateway.worker.events import collector
from gateway.worker.events.comparing import differs, knows_more, types_of, version_of
from gateway.worker.events.seen import Seen
from store import migrate
from store.errors import Away
from store.queries import events, feeds, tracked
from store.queries.feeds import Claim
from store.tables import now
from tests.gateway.worker.eventful import Node, World, world
from tests.servers.postgres import postgres

AT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
FILE = Entry("d/a", "a", Kind.FILE, "d", size=3, modified=AT, etag="v1")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("events") / "state.db"
    migrate.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
async def eventful(migrated: Path, tmp_path: Path) -> AsyncIterator[World]:
    shutil.copy(migrated, tmp_path / "state.db")
    async with world(tmp_path, f"sqlite:///{tmp_path}/state.db", events_entries=20) as made:
        yield made


@pytest.mark.parametrize(
    ("now_it_is", "another"),
    [
        ({}, False),
        ({"etag": "v2"}, True),
        ({"modified": AT + timedelta(days=1)}, False),
        ({"etag": None}, False),
        ({"etag": None, "size": 4}, True),
        ({"etag": None, "size": None}, False),
        ({"etag": None, "modified": AT.replace(microsecond=0)}, False),
        ({"etag": None, "modified": AT + timedelta(seconds=1)}, True),
        ({"etag": None, "modified": None}, False),
        ({"name": "b"}, True),
        ({"parent": "e"}, True),
    ],
)
def test_what_is_another_version(now_it_is: dict[str, Any], another: bool) -> None:
    assert differs(FILE, replace(FILE, **now_it_is)) == another


def test_folders_change_with_their_content_and_are_the_same() -> None:
    folder = replace(FILE, kind=Kind.FOLDER, size=None, etag=None)
    assert not differs(folder, replace(folder, modified=AT + timedelta(days=1)))
    assert not knows_more(folder, replace(folder, modified=AT + timedelta(days=1)))
    assert version_of(folder) is None


def test_a_listing_may_know_more_than_an_uploads_answer() -> None:
    answer = replace(FILE, modified=None)
    assert not differs(answer, FILE)
    assert knows_more(answer, FILE)
    assert not knows_more(FILE, answer)


def test_only_what_tells_a_file_from_others_is_a_version() -> None:
    assert version_of(FILE) == version_of(replace(FILE, raw_id="x", name="x", parent=""))
    others = [{"size": 4}, {"etag": "v2"}, {"etag": None}, {"modified": AT + timedelta(microseconds=1)}]
    assert len({version_of(FILE), *(version_of(replace(FILE, **other)) for other in others)}) == 5  # type: ignore[arg-type]
    assert version_of(replace(FILE, size=0)) is None
    assert version_of(replace(FILE, modified=None)) is None


def test_a_move_may_be_a_rename_and_an_update_too() -> None:
    view = {"type": "file", "name": "a", "parent": {"id": "d"}, "etag": "v1", "size": 3, "modified": "m"}
    assert types_of(view, {**view, "name": "b"}) == ["rename"]
    assert types_of(view, {**view, "name": "b", "parent": {"id": "e"}}) == ["move"]
    assert types_of(view, {**view, "name": "b", "etag": "v2"}) == ["rename", "update"]
    assert types_of(view, {**view, "etag": "v2"}) == ["update"]


def test_a_bit_for_each() -> None:
    seen = Seen()
    for number in (1, 8, 9, 1_000_000):
        seen.add(number)
    assert list(seen.missing([1, 7, 8, 9, 10, 999_999, 1_000_000, 1_000_001])) == [7, 10, 999_999, 1_000_001]
    assert len(seen._bits) == 125_001


async def test_a_folder_that_may_not_be_listed_keeps_its_entries(eventful: World) -> None:
    eventful.store.nodes |= {"d": Node(None), "d/a": Node(1), "b": Node(2)}
    assert await eventful.crawl() is None
    assert {e.type for e in await eventful.read()} == {"add"}
    eventful.store.closed.add("d")
    eventful.store.remove("b")
    assert await eventful.crawl() is None
    assert [e.type for e in await eventful.read()] == ["delete"]
    eventful.store.closed.clear()
    assert await eventful.crawl() is None
    assert await eventful.read() == []


async def test_a_listing_that_breaks_halfway_tells_nothing(eventful: World) -> None:
    eventful.store.nodes |= {f"f{number}": Node(number + 1) for number in range(9)}
    assert await eventful.crawl() is None
    await eventful.read()
    eventful.store.remove("f1")
    eventful.store.put("f9")
    pages = 0

    async def broken() -> None:
        nonlocal pages
        pages += 1
        if pages == 2:
            raise Unavailable("the connection broke")

    eventful.store.after_page = broken
    assert await eventful.crawl() == "the connection broke"
    assert await eventful.read() == []
    eventful.store.after_page = None
    assert await eventful.crawl() is None
    assert sorted(e.type for e in await eventful.read()) == ["add", "delete"]


async def test_a_lease_that_cant_be_made_longer_once_ends_no_crawl(
    eventful: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, failed, held = feeds.hold, asyncio.Event(), asyncio.Event()

    async def failing(session: AsyncSession, turn: Claim, **fields: object) -> None:
        if "leased" in fields and "due" not in fields:  # a renewal
            if not failed.is_set():
                failed.set()
                raise Away("the database is busy")
            held.set()
        await hold(session, turn, **fields)

    async def waits() -> None:
        async with asyncio.timeout(10):
            await held.wait()

    monkeypatch.setattr(collector, "_RENEW_EVERY", 0.01)
    monkeypatch.setattr(feeds, "hold", failing)
    eventful.store.nodes |= {"a": Node(1)}
    eventful.store.after_page = waits
    assert await eventful.crawl() is None
    assert failed.is_set()
    assert [e.type for e in await eventful.read()] == ["add"]


async def test_what_fails_is_tried_later_and_later(eventful: World) -> None:
    async def away() -> None:
        raise Unavailable("away")

    eventful.store.after_page = away
    pauses = []
    for _ in range(7):
        assert await eventful.crawl() == "away"
        async with eventful.desk.database.session() as session:
            feed = await events.feed(session, eventful.account.id)
        assert feed is not None
        assert feed.due is not None
        pauses.append(round((feed.due - now()).total_seconds() / 300))
    assert pauses == [2, 4, 8, 12, 12, 12, 12]


async def test_no_more_entries_than_are_followed(eventful: World) -> None:
    eventful.store.nodes |= {f"f{number}": Node(number + 1) for number in range(21)}
    why = await eventful.crawl()
    assert why is not None
    assert "more than 20 entries" in why
    await eventful.ours("/write", "ours")
    assert [e.type for e in await eventful.read()] == ["add"]
    eventful.store.remove("f1")
    eventful.store.remove("f2")
    assert await eventful.crawl() is None
    await eventful.read()
    assert eventful.reader.tree == eventful.truth()


async def test_a_worker_that_lost_its_turn_writes_nothing(eventful: World) -> None:
    eventful.store.put("a")

    async def another_takes_over() -> None:
        async with eventful.desk.database.session() as session:
            feed = await events.feed(session, eventful.account.id)
            assert feed is not None
            feed.generation += 1

    eventful.store.after_page = another_takes_over
    await eventful.crawl()
    assert await eventful.read() == []
    async with eventful.desk.database.session() as session:
        assert list(await tracked.numbers(session, eventful.account.id, 0, 10)) == []


async def test_a_folder_that_the_gateway_moves_takes_along_what_is_known_of_it(eventful: World) -> None:
    eventful.store.nodes |= {
        "d": Node(None),
        "d/e": Node(None),
        "d/e/a": Node(1),
        "d/b": Node(2),
        "x": Node(None),
    }
    assert await eventful.crawl() is None
    await eventful.read()
    await eventful.ours("/move", "d", "x/y")
    assert await eventful.crawl() is None
    assert [e.type for e in await eventful.read()] == ["move"]
    assert eventful.reader.tree == eventful.truth()
    await eventful.ours("/delete", "x")
    for _ in range(2):
        await eventful.crawl()
    assert [e.type for e in await eventful.read()] == ["delete"]
    async with eventful.desk.database.session() as session:
        assert list(await tracked.numbers(session, eventful.account.id, 0, 10)) == []


async def test_a_change_that_no_event_was_written_for_yet_is_waited_for(eventful: World) -> None:
    """A crawl that saw an upload's file before the upload's own event does not tell of it as another's."""
    feeds_ = eventful.desk.feeds
    append = feeds_.append
    on_its_way = asyncio.Event()

    async def late(account_id: int, happened: Sequence[events.Happened]) -> None:
        on_its_way.set()
        await asyncio.sleep(0.3)
        await append(account_id, happened)

    feeds_.append = late  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:
        group.create_task(eventful.ours("/write", "a"))
        await on_its_way.wait()
        assert await eventful.crawl() is None
    assert [(e.type, e.ours) for e in await eventful.read()] == [("add", True)]
    await eventful.crawl()
    assert await eventful.read() == []


@pytest.mark.parametrize(
    ("operation", "path", "types"),
    [("/delete", "d/a", ["delete"]), ("/move", "d/a", ["rename"]), ("/delete", "d", ["delete"])],
)
async def test_what_was_listed_before_the_gateway_changed_it_is_not_told_as_new(
    eventful: World, operation: str, path: str, types: list[str]
) -> None:
    eventful.store.nodes |= {"d": Node(None), "d/a": Node(1), "d/b": Node(2)}
    assert await eventful.crawl() is None
    await eventful.read()
    pages = 0

    async def meanwhile() -> None:
        nonlocal pages
        pages += 1
        if pages == 2:  # the folder's own page is on its way
            await eventful.ours(operation, path, "d/x")

    eventful.store.after_page = meanwhile
    await eventful.crawl()
    eventful.store.after_page = None
    for _ in range(2):
        await eventful.crawl()
    assert [e.type for e in await eventful.read()] == types
    assert eventful.reader.tree == eventful.truth()


async def test_only_so_many_accounts_at_once_and_again_when_they_are_done(eventful: World) -> None:
    async with eventful.desk.database.session() as session:
        await feeds.hurry(session, eventful.account.id)
    assert await collector.turns(eventful.desk, 0) == []
    (turn,) = await collector.turns(eventful.desk, 2)
    assert turn == Claim(eventful.account.id, turn.generation)
    assert await collector.turns(eventful.desk, 2) == []


async def test_the_loop_looks_by_itself_and_ends(migrated: Path, tmp_path: Path) -> None:
    shutil.copy(migrated, tmp_path / "state.db")
    async with world(tmp_path, f"sqlite:///{tmp_path}/state.db", events_interval=0.05) as made:
        made.store.put("a")
        async with made.desk.database.session() as session:
            await feeds.hurry(session, made.account.id)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            running = group.create_task(collector.run(made.desk))
            with made.desk.feeds.watching(made.account.id) as woken:
                await woken.wait()
            running.cancel()
        assert [e.type for e in await made.read()] == ["add"]


async def test_events_of_another_worker_wake_those_who_wait_here(eventful: World) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(eventful.desk.feeds.run())
        with eventful.desk.feeds.watching(eventful.account.id) as woken:
            await woken.wait()  # whoever is new is woken once
            woken.clear()
            async with eventful.desk.database.session() as session:
                await events.append(session, eventful.account.id, [events.Happened("add", "{}")])
            await woken.wait()
        running.cancel()


async def test_old_events_are_purged(eventful: World) -> None:
    old = now() - timedelta(days=8)
    async with eventful.desk.database.session() as session:
        happened = [events.Happened("add", "{}", at=old)] * 3 + [events.Happened("add", "{}")]
        await events.append(session, eventful.account.id, happened)
    await collector.purge(eventful.desk)
    async with eventful.desk.database.session() as session:
        assert [e.sequence for e in await events.page(session, eventful.account.id, 0, 10)] == [4]


@pytest.mark.server
async def test_all_of_it_on_postgresql(tmp_path: Path) -> None:
    with postgres() as server:
        url = server.url("postgres")
        await asyncio.to_thread(migrate.upgrade, url)
        async with world(tmp_path, url) as made:
            made.store.nodes |= {"d": Node(None), "d/a": Node(1), "d/b": Node(2), "e": Node(None)}
            await made.crawl()
            made.store.rename("d/a", "d/c")
            made.store.remove("d/b")
            await made.ours("/write", "d/ours")
            await made.ours("/move", "d", "e/d")
            made.store.put("e/d/ours")
            assert await made.crawl() is None
            await made.read()
            assert made.reader.tree == made.truth()
            ours, found = made.reader.types[:6], made.reader.types[6:]
            assert ours == ["add"] * 4 + ["add", "move"]
            assert (sorted(found[:-1]), found[-1]) == (["rename", "update"], "delete")
