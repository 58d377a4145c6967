"""What is tracked follows the events of the gateway's own changes, so that no crawl tells them again.

Only the crawl of an account writes what is tracked of it: an operation writes its event and is done, and the
crawl catches up before it compares a page. What it had listed before such an event came is then in doubt
(`Touched`), and is left to the next crawl.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from connectors.interface import Entry, Kind
from gateway.access.reads import reading
from gateway.worker.accounts import OpenAccount
from gateway.worker.desk import readable
from gateway.worker.events.comparing import digest_of, row_of
from store.engine import Database
from store.queries import events, feeds, tracked
from store.queries.feeds import Claim
from store.tables import KNOWN, Event, Tracked, raw_bytes

_EVENTS_AT_ONCE = 200
_ROWS_AT_ONCE = 500


@dataclass(slots=True)
class Touched:
    """Entries that the gateway changed a moment ago, and folders with all that is below them."""

    entries: set[str] = field(default_factory=set)
    folders: tuple[str, ...] = ()

    def add(self, entry: Entry) -> None:
        """The entry is in doubt."""
        self.entries.add(entry.raw_id)
        if entry.kind is Kind.FOLDER:
            self.folders = (*self.folders, f"{entry.raw_id.rstrip('/')}/")

    def covers(self, raw_id: str) -> bool:
        """Whether an entry is in doubt."""
        return raw_id in self.entries or raw_id.startswith(self.folders)


class Following:
    """Catches up with the account's own events, from number `applied` on."""

    def __init__(self, database: Database, account: OpenAccount, turn: Claim, applied: int) -> None:
        self._database, self._account, self._turn = database, account, turn
        self._applied = applied

    async def catch_up(self) -> Touched:
        """What was changed since the last time. Raises Stale when the turn is over.

        A worker that is killed here leaves an event half applied, and applying it again ends the same.
        """
        touched = Touched()
        while True:
            async with reading(self._database) as session:
                account_id = self._account.id
                found = await events.ours_after(session, account_id, self._applied, _EVENTS_AT_ONCE)
            for event in found:
                await self._apply(event, touched)
                self._applied = event.sequence
            if not found:
                return touched

    async def _apply(self, event: Event, touched: Touched) -> None:
        entry = self._entry(orjson.loads(event.entry))
        touched.add(entry)
        removed = [entry]
        if event.type == "delete":
            await self._empty(entry)
        elif event.type in ("move", "rename") and event.previous is not None:
            before = self._entry(orjson.loads(event.previous))
            touched.add(before)
            removed.append(before)
            await self._relocate(before, entry)
        async with self._database.session() as session:
            await feeds.hold(session, self._turn, applied=event.sequence)
            digests = [digest_of(one.kind, one.raw_id) for one in removed]
            await tracked.forget_entries(session, self._account.id, digests)
            if event.type != "delete":
                told = row_of(entry) | {"state": KNOWN, "previous": None}
                await tracked.add(session, self._account.id, [told])

    async def _empty(self, folder: Entry) -> None:
        """Forgets what is below a folder, the deepest first: what is left is found again from the top."""
        if folder.kind is not Kind.FOLDER:
            return
        path = [digest_of(Kind.FOLDER, folder.raw_id)]
        while path:
            if (inner := await self._folder_in(path[-1])) is not None:
                path.append(inner.entry)
                continue
            while files := await self._files_in(path[-1]):
                await self._forget(files)
            gone = path.pop()
            if path:
                async with self._database.session() as session:
                    await feeds.hold(session, self._turn)
                    await tracked.forget_entries(session, self._account.id, [gone])

    async def _relocate(self, before: Entry, after: Entry) -> None:
        """What was below a folder is below it at its new place, if its path is in its content's ids."""
        if before.kind is not Kind.FOLDER or before.raw_id == after.raw_id:
            return
        old, new = (raw_bytes(one.raw_id).rstrip(b"/") + b"/" for one in (before, after))
        path = [digest_of(Kind.FOLDER, before.raw_id)]
        above: list[Tracked] = []
        while path:
            if (inner := await self._folder_in(path[-1])) is not None:
                path.append(inner.entry)
                above.append(inner)
                continue
            while files := await self._files_in(path[-1]):
                await self._place(files, old, new)
            path.pop()
            if above:
                await self._place([above.pop()], old, new)

    async def _folder_in(self, folder: bytes) -> Tracked | None:
        async with reading(self._database) as session:
            found = await tracked.below(session, self._account.id, folder, Kind.FOLDER, 1)
        return found[0] if found else None

    async def _files_in(self, folder: bytes) -> list[Tracked]:
        async with reading(self._database) as session:
            return list(await tracked.below(session, self._account.id, folder, Kind.FILE, _ROWS_AT_ONCE))

    async def _forget(self, rows: list[Tracked]) -> None:
        async with self._database.session() as session:
            await feeds.hold(session, self._turn)
            await tracked.forget(session, self._account.id, [row.number for row in rows])

    async def _place(self, rows: list[Tracked], old: bytes, new: bytes) -> None:
        """Writes the new ids; whatever a crawl tracked under them is the same entry, seen early."""
        placed: list[tracked.Row] = []
        taken: list[bytes] = []
        for row in rows:
            raw, parent = (_moved(given, old, new) for given in (row.raw_id, row.parent or b""))
            text, above = (given.decode("utf-8", "surrogateescape") for given in (raw, parent))
            taken.append(digest_of(row.kind, text))
            placed.append(
                {
                    "number": row.number,
                    "raw_id": raw,
                    "entry": taken[-1],
                    "parent": parent,
                    "folder": digest_of(Kind.FOLDER, above),
                }
            )
        async with self._database.session() as session:
            await feeds.hold(session, self._turn)
            await tracked.forget_entries(session, self._account.id, taken)
            await tracked.change(session, self._account.id, placed)

    def _entry(self, view: dict[str, Any]) -> Entry:
        """The entry that an event tells of. Its ids are exact; its name is, as far as it is text."""
        raw_id, kind = self._account.ids.read(view["id"])
        parent = None if view["parent"] is None else self._account.ids.read(view["parent"]["id"])[0]
        last = raw_id.rstrip("/").rpartition("/")[2]
        return Entry(
            raw_id=raw_id,
            name=last if readable(last) == view["name"] else view["name"],
            kind=kind,
            parent=parent,
            size=view["size"],
            modified=_moment(view["modified"]),
            etag=view["etag"],
        )


def _moved(raw: bytes, old: bytes, new: bytes) -> bytes:
    """The id below the new place; `old` and `new` end with a slash, a folder's own id need not."""
    if raw.startswith(old):
        return new + raw[len(old) :]
    return new.rstrip(b"/") if raw == old.rstrip(b"/") else raw


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
