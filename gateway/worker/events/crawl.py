"""One crawl of an account: the whole tree, compared page by page with what is tracked.

What is new or changed is noted as it is seen; what was not seen is gone only when the walk was whole and the
store, asked for that very entry, says so too. Events are written at the end alone (`telling`). In memory are
one page and a bit for each entry. A crawl that breaks off, or whose worker is killed, leaves notes of which
none is wrong, and the next one begins at the top.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from connectors.interface import (
    Entry,
    InvalidName,
    Kind,
    NotAFolder,
    NotFound,
    NotPermitted,
    Unavailable,
    Unsupported,
)
from gateway.access.reads import reading
from gateway.worker.accounts import OpenAccount
from gateway.worker.content.walks import Walk
from gateway.worker.desk import Desk
from gateway.worker.events.comparing import differs, digest_of, entry_of, knows_more, row_of
from gateway.worker.events.following import Following, Touched
from gateway.worker.events.seen import Seen
from gateway.worker.events.telling import Telling, described
from store.queries import feeds, tracked
from store.queries.feeds import Claim
from store.queries.tracked import Row
from store.tables import CHANGED, KNOWN, NEW, Feed, Tracked

_NUMBERS_AT_ONCE = 10_000
_ROWS_AT_ONCE = 500
_MOST_FOLDERS = 500
_MOST_REST = 1.0
EMPTY = "the store looks empty, which it was not: it is looked at once more before that is told"
_IS_GONE = (NotFound, NotAFolder, InvalidName)


@dataclass(slots=True)
class Crawl:
    """One crawl.

    Attributes:
        baseline: false for the first whole one, which only notes what there is.
        doubts: whether a store without any entry is one that lost its disk, until it is seen a second time.
    """

    desk: Desk
    account: OpenAccount
    turn: Claim
    baseline: bool
    doubts: bool
    following: Following
    entries: int = 0
    seen: Seen = field(default_factory=Seen)

    @classmethod
    def of(cls, desk: Desk, account: OpenAccount, turn: Claim, feed: Feed) -> "Crawl":
        """The crawl that the feed's row tells to make."""
        following = Following(desk.database, account, turn, feed.applied)
        doubts = feed.entries > 0 and feed.error != EMPTY
        return cls(desk, account, turn, feed.baseline, doubts, following)

    async def run(self) -> int:
        """How many entries there are; everything that changed is told by then.

        Raises what the store raises, Unsupported beyond the bound on entries, Stale when the turn is over.
        """
        async with self.desk.database.session() as session:
            await feeds.hold(session, self.turn)
            await tracked.recall_gone(session, self.account.id)
        await self.following.catch_up()
        walk = Walk.below(self.account.connector, self.desk.walking, [""])
        began = time.monotonic()
        async with aclosing(walk.pages()) as pages:  # type: ignore[type-var]  # a generator
            async for page in pages:
                await self._page(page)
                await asyncio.sleep(min(time.monotonic() - began, _MOST_REST))  # users' requests come first
                began = time.monotonic()
        if self.doubts and not self.entries:
            raise Unavailable(EMPTY)
        await self._find_gone()
        await self.desk.feeds.settled(self.account.id)
        await self.following.catch_up()
        if self.baseline:
            await Telling(self.desk, self.account, self.turn).all()
        return self.entries

    async def _page(self, page: Sequence[Entry]) -> None:
        self.entries += len(page)
        if self.entries > (most := self.desk.collecting.entries):
            raise Unsupported(
                f"the store has more than {most} entries (events_entries): "
                "what others change in it is not looked for"
            )
        touched = await self.following.catch_up()
        by_digest = {digest_of(entry.kind, entry.raw_id): entry for entry in page}
        async with reading(self.desk.database) as session:
            rows = await tracked.of_entries(session, self.account.id, list(by_digest))
        for row in rows:
            self.seen.add(row.number)
        known = {row.entry: row for row in rows}
        certain = {d: e for d, e in by_digest.items() if not touched.covers(e.raw_id)}
        fresh = [self._new(entry) for digest, entry in certain.items() if digest not in known]
        changed = [
            self._changed(row, certain[digest])
            for digest, row in known.items()
            if digest in certain and _news(row, certain[digest])
        ]
        if fresh or changed:
            await self._note(fresh, changed)

    def _new(self, entry: Entry) -> Row:
        return row_of(entry) | {"state": NEW if self.baseline else KNOWN, "previous": None}

    def _changed(self, row: Tracked, entry: Entry) -> Row:
        """The row as it is seen now; what clients know of it is kept until they are told."""
        state, previous = row.state, row.previous
        if self.baseline and row.state == KNOWN and differs(entry_of(row), entry):
            state, previous = CHANGED, described(self.account, row)
        return row_of(entry) | {"number": row.number, "state": state, "previous": previous}

    async def _note(self, fresh: list[Row], changed: list[Row]) -> None:
        async with self.desk.database.session() as session:
            await feeds.hold(session, self.turn)
            await tracked.change(session, self.account.id, changed)
            added = await tracked.add(session, self.account.id, fresh)
        for number in added:
            self.seen.add(number)

    async def _find_gone(self) -> None:
        """Of what the walk did not see, what is really gone."""
        gone_folders = Touched()
        after = 0
        while True:
            async with reading(self.desk.database) as session:
                numbers = await tracked.numbers(session, self.account.id, after, _NUMBERS_AT_ONCE)
            if not numbers:
                return
            after = numbers[-1]
            missing = list(self.seen.missing(numbers))
            for first in range(0, len(missing), _ROWS_AT_ONCE):
                await self._check(missing[first : first + _ROWS_AT_ONCE], gone_folders)

    async def _check(self, numbers: Sequence[int], gone_folders: Touched) -> None:
        async with reading(self.desk.database) as session:
            rows = await tracked.of_numbers(session, self.account.id, numbers)
        gone = []
        for row in rows:
            entry = entry_of(row)
            if gone_folders.covers(entry.raw_id) or await self._is_gone(entry):
                gone.append(row.number)
                if entry.kind is Kind.FOLDER and len(gone_folders.folders) < _MOST_FOLDERS:
                    gone_folders.add(entry)  # what is below needs no question of its own
        if not gone:
            return
        async with self.desk.database.session() as session:
            await feeds.hold(session, self.turn)
            end = tracked.mark_gone if self.baseline else tracked.forget
            await end(session, self.account.id, gone)

    async def _is_gone(self, entry: Entry) -> bool:
        """Asked of the store: a listing may have passed it over, or a folder that it may not list."""
        try:
            found = await self.account.connector.stat(entry.raw_id)
        except _IS_GONE:
            return True
        except NotPermitted:
            return False
        return found.kind is not entry.kind


def _news(row: Tracked, entry: Entry) -> bool:
    before = entry_of(row)
    return differs(before, entry) or knows_more(before, entry)
