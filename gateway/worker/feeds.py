"""Events as they are written: whoever waits for one is woken, whoever crawls knows what is under way."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.access.reads import reading
from gateway.access.remembered import Remembered
from store.engine import Database
from store.errors import Duplicate
from store.queries import events, feeds
from store.queries.events import Happened

_log = logging.getLogger(__name__)
_LOOK_EVERY = 1.0
_REMEMBERED = 1.0
_MOST_REMEMBERED = 10_000
_SETTLED_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Collecting:
    """What looking for changes that others made may cost.

    Attributes:
        interval: seconds between the end of one crawl of an account and the next, at least.
        entries: that an account may have; beyond it crawls end with an error.
        at_once: accounts that are crawled at the same time.
        kept: seconds for which an event can be read.
    """

    interval: float
    entries: int
    at_once: int
    kept: float


@dataclass(slots=True)
class _Changing:
    """Operations on an account that may change it."""

    running: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Feeds:
    """The events of all accounts, in this worker. `run` sees those that other workers write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._enabled: Remembered[int, bool] = Remembered(_REMEMBERED, _MOST_REMEMBERED)
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._changing: dict[int, _Changing] = {}

    async def enabled(self, account_id: int) -> bool:
        """Whether the account's application wants events; as it was a second ago."""

        async def ask() -> bool:
            async with reading(self._database) as session:
                return await feeds.enabled(session, account_id)

        return bool(await self._enabled.find(account_id, ask))

    async def append(self, account_id: int, happened: Sequence[Happened]) -> None:
        """Writes events, in their order."""
        try:
            await self._append(account_id, happened)
        except Duplicate:  # two began the account's feed at once
            await self._append(account_id, happened)
        self.wake(account_id)

    async def _append(self, account_id: int, happened: Sequence[Happened]) -> None:
        async with self._database.session() as session:
            await events.append(session, account_id, happened)

    def wake(self, account_id: int) -> None:
        """The account may have events that nobody saw yet."""
        for waiting in self._waiting.get(account_id, ()):
            waiting.set()

    @contextmanager
    def watching(self, account_id: int) -> Iterator[asyncio.Event]:
        """While inside, the event is set whenever the account may have a new one."""
        woken = asyncio.Event()
        self._waiting.setdefault(account_id, set()).add(woken)
        try:
            yield woken
        finally:
            self._waiting[account_id].discard(woken)
            if not self._waiting[account_id]:
                del self._waiting[account_id]

    @contextmanager
    def changing(self, account_ids: Sequence[int]) -> Iterator[None]:
        """While inside, the accounts may be changed by an operation that did not tell of it yet."""
        held = Counter(account_ids)
        for account_id in held:
            self._changing.setdefault(account_id, _Changing()).running += 1
        try:
            yield
        finally:
            for account_id in held:
                one = self._changing[account_id]
                one.running -= 1
                if not one.running:
                    del self._changing[account_id]
                    one.ended.set()

    async def settled(self, account_id: int) -> None:
        """Returns when no operation changes the account, or after five seconds.

        Who has looked at the store before does not see a change whose event is still to be written; an upload
        that takes longer shows its file at its end.
        """
        one = self._changing.get(account_id)
        if one is None:
            return
        try:
            async with asyncio.timeout(_SETTLED_WITHIN):
                await one.ended.wait()
        except TimeoutError:
            _log.info("an account is changed all the time", extra={"account": account_id})

    async def run(self) -> None:
        """Until cancelled: one query a second for all who wait, if anybody does."""
        seen: dict[int, int] = {}
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if not self._waiting:
                seen.clear()
                continue
            try:
                async with reading(self._database) as session:
                    found = await events.heads(session, self._waiting)
            except Exception:  # noqa: BLE001  the task's root: who waits is woken by this worker's own events
                _log.exception("looking for events of other workers failed")
                continue
            for account_id, head in found.items():
                if seen.get(account_id) != head:
                    self.wake(account_id)
            seen = found
