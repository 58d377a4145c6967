"""Events: numbers without gaps whoever writes, pages and ages; turns; what crawls keep."""

import asyncio
from datetime import timedelta

import pytest

from store.engine import Database
from store.errors import Missing, Stale
from store.queries import accounts, applications, events, feeds, tracked
from store.queries.events import Happened
from store.queries.feeds import Claim
from store.tables import CHANGED, GONE, KNOWN, NEW, Feed, entry_digest, now
from tests.store.rows import account, tenant

LEASE = timedelta(seconds=15)


async def eventful(database: Database, name: str = "ann") -> int:
    """An account whose application wants events."""
    owner = await tenant(database, name)
    async with database.session() as session:
        found = await applications.fetch(session, owner.application)
        assert found is not None
        found.events_enabled = True
    return await account(database, owner.application)


def row(name: str, state: int = KNOWN, version: bytes | None = None, kind: str = "file") -> tracked.Row:
    raw = name.encode()
    return {
        "kind": kind,
        "entry": entry_digest(kind, raw),
        "raw_id": raw,
        "parent": b"",
        "folder": entry_digest("folder", b""),
        "name": raw,
        "size": 1,
        "modified": None,
        "etag": None,
        "version": version,
        "state": state,
        "previous": None,
    }


async def test_many_writers_leave_no_gap(database: Database) -> None:
    number = await eventful(database)

    async def write(writer: int) -> None:
        for _ in range(5):
            async with database.session() as session:
                await events.append(session, number, [Happened("add", "{}", actor=str(writer))] * 2)

    await write(0)
    async with asyncio.TaskGroup() as group:
        for writer in range(1, 5):
            group.create_task(write(writer))
    async with database.session() as session:
        found = await events.page(session, number, 0, 1000)
        assert [one.sequence for one in found] == list(range(1, 51))
        assert await events.heads(session, [number, number + 1]) == {number: 50}
        assert [one.sequence for one in await events.page(session, number, 48, 10)] == [49, 50]


async def test_what_is_rolled_back_takes_no_number(database: Database) -> None:
    number = await eventful(database)

    async def broken() -> None:
        async with database.session() as session:
            await events.append(session, number, [Happened("add", "{}")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await broken()
    async with database.session() as session:
        assert await events.append(session, number, [Happened("add", "{}")]) == 1
    with pytest.raises(Missing):
        async with database.session() as session:
            await events.append(session, number + 1, [Happened("add", "{}")])


async def test_old_events_go_some_at_a_time_and_numbers_never_come_back(database: Database) -> None:
    number = await eventful(database)
    old = now() - timedelta(days=8)
    async with database.session() as session:
        await events.append(session, number, [Happened("add", "{}", at=old)] * 5)
        await events.append(session, number, [Happened("add", "{}")] * 2)
    week = now() - timedelta(days=7)
    gone = []
    for _ in range(3):
        async with database.session() as session:
            gone.append(await events.purge(session, number, week, 3))
    assert gone == [3, 2, 0]
    async with database.session() as session:
        assert [one.sequence for one in await events.page(session, number, 0, 10)] == [6, 7]
        assert await events.purge(session, number, now() + LEASE, 10) == 2
    async with database.session() as session:
        feed = await events.feed(session, number)
        assert feed is not None
        assert (feed.head, feed.purged) == (7, 7)
        assert await events.append(session, number, [Happened("add", "{}")]) == 8


async def test_events_of_a_time(database: Database) -> None:
    number = await eventful(database)
    first = now()
    async with database.session() as session:
        for hours in range(4):
            await events.append(session, number, [Happened("add", "{}", at=first + timedelta(hours=hours))])
    hour = timedelta(hours=1)
    async with database.session() as session:
        found = await events.page(session, number, 0, 10, since=first + hour, until=first + 3 * hour)
        assert [one.sequence for one in found] == [2, 3]


async def test_a_turn_is_one_holders_and_a_late_one_writes_nothing(database: Database) -> None:
    number = await eventful(database)
    async with database.session() as session:
        assert list(await feeds.unplanned(session, 10)) == [number]
        await feeds.plan(session, number)
    async with database.session() as session:
        assert list(await feeds.unplanned(session, 10)) == []
        assert list(await feeds.due(session, 10)) == [number]
        first = await feeds.claim(session, number, LEASE)
    assert first == Claim(number, 1)
    async with database.session() as session:
        assert await feeds.claim(session, number, LEASE) is None
        assert list(await feeds.due(session, 10)) == []
        await feeds.hold(session, first, leased=now() - LEASE)
    async with database.session() as session:
        second = await feeds.claim(session, number, LEASE)
    assert second == Claim(number, 2)
    with pytest.raises(Stale):
        async with database.session() as session:
            await feeds.hold(session, first)
    async with database.session() as session:
        await feeds.hold(session, second, leased=None, due=now() + LEASE)
    async with database.session() as session:
        assert list(await feeds.due(session, 10)) == []
        await feeds.hurry(session, number)
        assert list(await feeds.due(session, 10)) == [number]


async def test_only_what_is_wanted_is_planned(database: Database) -> None:
    number = await eventful(database)
    off = await account(database, (await tenant(database, "bob")).application)
    async with database.session() as session:
        assert list(await feeds.unplanned(session, 10)) == [number]
        assert [await feeds.enabled(session, one) for one in (number, off)] == [True, False]
        assert await feeds.wanted(session, number)
        await accounts.change(session, number, active=False)
    async with database.session() as session:
        assert list(await feeds.unplanned(session, 10)) == []
        assert not await feeds.wanted(session, number)
        await feeds.hurry(session, number)
        assert await events.feed(session, number) is None


async def test_a_version_that_went_and_came_once_was_moved(database: Database) -> None:
    number = await eventful(database)
    async with database.session() as session:
        session.add(Feed(account_id=number))
        await session.flush()
        given = await tracked.add(
            session,
            number,
            [
                row("was", GONE, b"moved"),
                row("is", NEW, b"moved"),
                row("gone twice 1", GONE, b"twice"),
                row("gone twice 2", GONE, b"twice"),
                row("came twice", NEW, b"twice"),
                row("copied", KNOWN, b"copied"),
                row("copy", NEW, b"copied"),
                row("gone copy", GONE, b"copied"),
                row("only gone", GONE, b"gone"),
            ],
        )
        assert list(given) == list(range(1, 10))
    async with database.session() as session:
        versions = [b"moved", b"twice", b"copied", b"gone"]
        assert await tracked.moved_once(session, number, versions) == {b"moved": 2}


async def test_what_was_never_told_of_is_forgotten_and_the_rest_is_recalled(database: Database) -> None:
    number = await eventful(database)
    async with database.session() as session:
        session.add(Feed(account_id=number))
        await session.flush()
        rows = [row("known"), row("new", NEW), {**row("changed", CHANGED), "previous": "{}"}, row("stays")]
        await tracked.add(session, number, rows)
    async with database.session() as session:
        await tracked.mark_gone(session, number, [1, 2, 3])
    async with database.session() as session:
        left = await tracked.of_numbers(session, number, [1, 2, 3, 4])
        assert [(one.raw_id, one.state) for one in left] == [
            (b"known", GONE),
            (b"changed", GONE),
            (b"stays", KNOWN),
        ]
    async with database.session() as session:
        await tracked.recall_gone(session, number)
    async with database.session() as session:
        left = await tracked.of_numbers(session, number, [1, 2, 3, 4])
        assert [one.state for one in left] == [KNOWN, CHANGED, KNOWN]
        await tracked.settle(session, number, [3])
    async with database.session() as session:
        assert await tracked.in_state(session, number, CHANGED, 10) == []
        assert list(await tracked.numbers(session, number, 1, 10)) == [3, 4]


async def test_entries_are_found_by_what_they_are_and_by_their_folder(database: Database) -> None:
    number = await eventful(database)
    async with database.session() as session:
        session.add(Feed(account_id=number))
        await session.flush()
        await tracked.add(session, number, [row("a"), row("b"), row("f", kind="folder")])
        await tracked.add(session, number, [row("c")])
    top = entry_digest("folder", b"")
    async with database.session() as session:
        named = await tracked.of_entries(
            session, number, [entry_digest("file", b"b"), entry_digest("file", b"f")]
        )
        assert [(one.number, one.raw_id) for one in named] == [(2, b"b")]
        assert [one.raw_id for one in await tracked.below(session, number, top, "folder", 9)] == [b"f"]
        assert len(await tracked.below(session, number, top, "file", 2)) == 2
        await tracked.change(session, number, [{"number": 1, "size": 7}, {"number": 4, "size": None}])
        await tracked.change(session, number, [])
        await tracked.forget_entries(session, number, [entry_digest("file", b"b")])
        await tracked.forget(session, number, [3])
    async with database.session() as session:
        left = await tracked.of_numbers(session, number, [1, 2, 3, 4])
        assert [(one.raw_id, one.size) for one in left] == [(b"a", 7), (b"c", None)]


async def test_all_of_it_goes_with_the_account(database: Database) -> None:
    number = await eventful(database)
    async with database.session() as session:
        await events.append(session, number, [Happened("add", "{}")])
        await tracked.add(session, number, [row("a")])
    async with database.session() as session:
        assert await accounts.remove(session, number)
    async with database.session() as session:
        assert await events.feed(session, number) is None
        assert list(await events.page(session, number, 0, 10)) == []
        assert list(await tracked.numbers(session, number, 0, 10)) == []
