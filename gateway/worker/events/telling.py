"""The end of a crawl: what it found becomes events, in an order in which they can be followed.

Folders come before what is in them, what was moved before its old folder goes, and deletes last. Each step is
one transaction that writes events and notes that they are written: when a worker is killed between two, the
rest is told after the next crawl, and nothing twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from connectors.interface import Kind
from gateway.access.reads import reading
from gateway.worker.accounts import OpenAccount
from gateway.worker.desk import Desk, view
from gateway.worker.events.comparing import entry_of, types_of
from store.queries import events, feeds, tracked
from store.queries.events import Happened
from store.queries.feeds import Claim
from store.tables import CHANGED, GONE, NEW, Tracked

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Telling:
    """Tells what is pending of one account."""

    desk: Desk
    account: OpenAccount
    turn: Claim

    async def all(self) -> None:
        """Everything that is pending. Raises Stale when the turn is over."""
        await self._pair()
        for state, kind in ((NEW, Kind.FOLDER), (CHANGED, None), (NEW, Kind.FILE)):
            await self._tell(state, kind)
        await self._tell(GONE, None, last_first=True)

    async def _pair(self) -> None:
        """A file that is gone, and whose version turned up once elsewhere, was moved there."""
        number = 0
        while True:
            async with reading(self.desk.database) as session:
                gone = await tracked.in_state(session, self.account.id, GONE, _AT_ONCE, after=number)
                versions = [row.version for row in gone if row.version is not None]
                found = await tracked.moved_once(session, self.account.id, versions) if versions else {}
            if not gone:
                return
            number = gone[-1].number
            pairs = [(row, found[row.version]) for row in gone if row.version in found]
            if not pairs:
                continue
            moved = [
                {"number": to, "state": CHANGED, "previous": row.previous or self.described(row)}
                for row, to in pairs
            ]
            async with self.desk.database.session() as session:
                await feeds.hold(session, self.turn)
                await tracked.forget(session, self.account.id, [row.number for row, _ in pairs])
                await tracked.change(session, self.account.id, moved)

    async def _tell(self, state: int, kind: Kind | None, *, last_first: bool = False) -> None:
        while True:
            async with reading(self.desk.database) as session:
                rows = await tracked.in_state(
                    session, self.account.id, state, _AT_ONCE, kind=kind, last_first=last_first
                )
            if not rows:
                return
            happened = [one for row in rows for one in self._happened(row)]
            numbers = [row.number for row in rows]
            async with self.desk.database.session() as session:
                await feeds.hold(session, self.turn)
                await events.append(session, self.account.id, happened)
                end = tracked.forget if state == GONE else tracked.settle
                await end(session, self.account.id, numbers)
            self.desk.feeds.wake(self.account.id)

    def _happened(self, row: Tracked) -> Sequence[Happened]:
        if row.state == GONE:  # known to clients as it was told of last
            return [Happened("delete", row.previous or self.described(row))]
        described = self.described(row)
        if row.state == NEW or row.previous is None:
            return [Happened("add", described)]
        types = types_of(orjson.loads(row.previous), orjson.loads(described))
        return [Happened(one, described, row.previous) for one in types]

    def described(self, row: Tracked) -> str:
        """The entry as events have it."""
        return described(self.account, row)


def described(account: OpenAccount, row: Tracked) -> str:
    """The tracked entry as JSON, with public ids."""
    plain = replace(account, shows_raw=False)
    return orjson.dumps(view(plain, entry_of(row)).to_json()).decode()
