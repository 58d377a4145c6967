"""The audit log's rows about credentials that were used: written behind, many in one transaction.

A row an authorisation, or a transfer, costs a transaction of milliseconds if it is waited for, and a proxied
request has two to spare. So rows wait in memory, for at most a second and to a bound: beyond it the next use
waits until they are written. A clean stop writes them; a worker that is killed loses its last second's.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from store.engine import Database
from store.queries import audit
from store.queries.audit import Act

_log = logging.getLogger(__name__)
_EVERY = 1.0
_MOST_WAITING = 1000
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Use:
    """A credential was put on a request: whose, for whom, and for which (its path without the query)."""

    account: int
    actor: str
    method: str
    host: str
    path: str


class Uses:
    """Keeps uses until they are written, in their order."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[Act] = deque()
        self._writing: asyncio.Future[None] | None = None

    async def note(self, use: Use) -> None:
        """Takes the use in, before its authorisation is given. Raises StateError when the log takes none."""
        await self.room()
        about = {"method": use.method, "host": use.host, "path": use.path}
        self.take(Act(use.actor, "credential.use", str(use.account), about))

    async def room(self) -> None:
        """Returns when another row may wait. Raises StateError when the log takes none."""
        if len(self._waiting) >= _MOST_WAITING:
            await self.flush()

    def take(self, act: Act) -> None:
        """Takes a row in; whoever is to be held up by a log that is full waits for `room` first."""
        self._waiting.append(act)

    async def run(self) -> None:
        """Writes every second, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.flush()
            except Exception:  # noqa: BLE001  the task's root
                # they are kept, and tried again; past the bound no use is allowed without
                _log.exception("uses of credentials can't be written to the audit log")

    async def flush(self) -> None:
        """Writes what waits. What can't be written goes on waiting.

        Whoever waits for it may be cancelled: the writing goes on, since a transaction that is left as it
        commits may be there all the same, and its rows would be written twice.
        """
        while self._waiting:
            if self._writing is None or self._writing.done():
                self._writing = asyncio.ensure_future(self._write())
            await asyncio.shield(self._writing)

    async def _write(self) -> None:
        while self._waiting:
            batch = [self._waiting[at] for at in range(min(_AT_ONCE, len(self._waiting)))]
            async with self._database.session() as session:
                await audit.append_all(session, batch)
            for _ in batch:
                self._waiting.popleft()
