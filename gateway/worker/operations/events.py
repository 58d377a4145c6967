"""The operation that reads an account's events, and waits for them. The store is not asked."""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson

from gateway.access.reads import reading
from gateway.worker.desk import Arguments, Desk, Long
from gateway.worker.tasks import Progress
from store.queries import events
from store.tables import Event, Feed


async def read(desk: Desk, arguments: Arguments, progress: Progress) -> Any:
    """A page of events behind a number, and where the sequence is.

    Without `after` it is the oldest ones. While there are none it waits, for at most `wait` seconds.
    """
    account_id: int = arguments["account"]["id"]
    deadline = asyncio.get_running_loop().time() + arguments["wait"]
    with desk.feeds.watching(account_id) as woken:
        while True:
            woken.clear()
            page = await _page(desk, account_id, arguments)
            # a number that is none of the feed's is an error that nobody waits for
            waits = page["after"] is not None and page["purged"] <= page["after"] <= page["head"]
            if page["events"] or not waits or asyncio.get_running_loop().time() >= deadline:
                return page
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await woken.wait()


async def _page(desk: Desk, account_id: int, arguments: Arguments) -> dict[str, Any]:
    since, until = (_moment(arguments[name]) for name in ("since", "until"))
    async with reading(desk.database) as session:
        feed = await events.feed(session, account_id) or Feed(head=0, purged=0, failures=0, entries=0)
        after = feed.purged if arguments["after"] is None else arguments["after"]
        limit: int = arguments["limit"]
        rows = await events.page(session, account_id, after, limit, since=since, until=until) if limit else ()
    return {
        "events": [_shown(row) for row in rows],
        "after": after,
        "head": feed.head,
        "purged": feed.purged,
        "crawled": feed.crawled,
        "error": feed.error,
    }


def _shown(row: Event) -> dict[str, Any]:
    return {
        "sequence": row.sequence,
        "type": row.type,
        "at": row.at,
        "actor": row.actor,
        "ip": row.ip,
        "entry": orjson.loads(row.entry),
        "previous": None if row.previous is None else orjson.loads(row.previous),
    }


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


LONG: dict[str, Long] = {"/events": read}
