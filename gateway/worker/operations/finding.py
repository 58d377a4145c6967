"""Operations that look through whole trees: search, recent files, recursive listings."""

import heapq
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Any

from connectors.interface import CanSearch, Entry, Kind, NotFound, Unsupported
from gateway.worker.accounts import OpenAccount
from gateway.worker.content.walks import Walk
from gateway.worker.desk import Arguments, Desk, Long, busy, view
from gateway.worker.tasks import Progress

_BY_STORE, _BY_WALK = "s.", "w."


async def search(desk: Desk, arguments: Arguments, progress: Progress) -> Any:
    """Entries by name: by the store where it can and all of it is meant, else by a walk."""
    account = await desk.account(arguments)
    cursor: str | None = arguments["cursor"]
    folders = list(_own(account, arguments["parents"]))
    if arguments["parents"] and not folders:
        raise NotFound("there is no such folder")
    connector = account.connector
    started_by_walk = cursor is not None and cursor.startswith(_BY_WALK)
    if isinstance(connector, CanSearch) and not folders and not started_by_walk:
        try:
            return await _searched(account, connector, arguments["query"], cursor, arguments["limit"])
        except Unsupported:  # this store can't, other than its connector
            if cursor is not None:
                raise
    sought = folded(arguments["query"])
    walk = _walk(desk, account, folders or [""], cursor)
    return await _walked(account, walk, arguments["limit"], progress, lambda e: sought in folded(e.name))


async def tree(desk: Desk, arguments: Arguments, progress: Progress) -> Any:
    """Everything below a folder."""
    account = await desk.account(arguments)
    folder, _ = account.ids.read(arguments["id"], Kind.FOLDER)
    walk = _walk(desk, account, [folder], arguments["cursor"])
    return await _walked(account, walk, arguments["limit"], progress, lambda _: True)


async def recent(desk: Desk, arguments: Arguments, progress: Progress) -> Any:
    """The files that were changed last, newest first; as many as are asked for are kept in memory."""
    account = await desk.account(arguments)
    newest: int = arguments["newest"]
    after = datetime.fromisoformat(arguments["after"]) if arguments["after"] else None
    walk = Walk.below(account.connector, desk.walking, [""])
    kept: list[tuple[datetime, int, Entry]] = []
    total = 0
    with busy(account):
        async with aclosing(walk.entries()) as entries:  # type: ignore[type-var]  # a generator
            async for entry in entries:
                progress.entries += 1
                if entry.kind is not Kind.FILE or entry.modified is None:
                    continue
                if after is not None and entry.modified < after:
                    continue
                total += 1
                # of two of one moment the one that was met first is the newer
                heapq.heappush(kept, (entry.modified, -total, entry))
                if len(kept) > newest:
                    heapq.heappop(kept)
    shown = [view(account, entry).to_json() for _, _, entry in sorted(kept, reverse=True, key=_moment)]
    return {"entries": shown, "total": total, "stopped": walk.stopped, "passed_over": walk.passed_over}


def _moment(kept: tuple[datetime, int, Entry]) -> tuple[datetime, int]:
    return kept[:2]


def folded(name: str) -> str:
    """A name as search compares it: whatever its case, and however its accents are composed."""
    return unicodedata.normalize("NFC", name).casefold()


async def _searched(
    account: OpenAccount, connector: CanSearch, query: str, cursor: str | None, limit: int
) -> Any:
    own = None if cursor is None else cursor.removeprefix(_BY_STORE)
    page = await connector.search(query, own, limit)
    return {
        "entries": [view(account, entry).to_json() for entry in page.entries],
        "next_cursor": None if page.next_cursor is None else _BY_STORE + page.next_cursor,
        "stopped": None,
        "passed_over": 0,
    }


def _own(account: OpenAccount, parents: list[str]) -> Iterator[str]:
    """Those of the folders that are in this account: a search of several accounts names some of each."""
    for parent in parents:
        with suppress(NotFound):
            yield account.ids.read(parent, Kind.FOLDER)[0]


def _walk(desk: Desk, account: OpenAccount, folders: list[str], cursor: str | None) -> Walk:
    if cursor is None:
        return Walk.below(account.connector, desk.walking, folders)
    return Walk.resumed(account.connector, desk.walking, cursor.removeprefix(_BY_WALK))


async def _walked(
    account: OpenAccount, walk: Walk, limit: int, progress: Progress, wanted: Callable[[Entry], bool]
) -> Any:
    """At most `limit` entries that are wanted, and where the walk then stands."""
    found: list[dict[str, Any]] = []
    with busy(account):
        async with aclosing(walk.entries()) as entries:  # type: ignore[type-var]  # a generator
            async for entry in entries:
                progress.entries += 1
                if wanted(entry):
                    found.append(view(account, entry).to_json())
                if len(found) == limit:
                    break
    stopped = walk.stopped
    try:
        cursor = walk.cursor()
    except Unsupported as error:
        cursor, stopped = None, error.message
    return {
        "entries": found,
        "next_cursor": None if cursor is None else _BY_WALK + cursor,
        "stopped": stopped,
        "passed_over": walk.passed_over,
    }


LONG: dict[str, Long] = {"/search": search, "/tree": tree, "/recent": recent}
