"""One worker at a time renews an account's access token; all of the same database share what comes of it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

import orjson

from connectors.interface import NotFound, Renewed, TimedOut, Unavailable
from connectors.interface.renewals import Exchange
from gateway.worker.groups import one_error
from gateway.worker.safe import Safe
from store.engine import Database
from store.envelope import Context
from store.errors import Stale
from store.queries import accounts, renewals
from store.queries.renewals import Turn
from store.tables import Renewal

LEASE: Final = timedelta(seconds=15)
"""How long others wait for a worker that was killed."""
_HOLD_EVERY: Final = LEASE.total_seconds() / 3
_LOOK_EVERY: Final = 0.2
_log = logging.getLogger(__name__)


class Fence:
    """Of one account that is open in this worker. Satisfies `connectors.interface.Renewals`.

    Args:
        confirmed: whether the account is open with this revision of its settings.
        patience: seconds to wait for other workers' turns.
    """

    def __init__(
        self,
        database: Database,
        account_id: int,
        safe: Safe,
        confirmed: Callable[[int], bool],
        patience: float,
    ) -> None:
        self._database = database
        self._account_id = account_id
        self._safe = safe
        self._confirmed = confirmed
        self._patience = patience
        self._context = Context("renewals", str(account_id), "sealed")
        self._unkept: tuple[Turn, bytes, int] | None = None

    async def renewed(self, consent: str, spent: str, exchange: Exchange) -> Renewed:
        """As the interface says. Raises NotFound too, when the account is gone."""
        await self._kept()  # in case that it failed the last time
        waiting_until = time.monotonic() + self._patience
        while True:
            found = await self._looked(consent, spent)
            if isinstance(found, Renewed):
                return found
            if found is not None:
                if (made := await self._exchanged(*found, consent, exchange)) is not None:
                    return made
            elif time.monotonic() > waiting_until:
                raise TimedOut("another worker has been renewing the account's token for too long")
            else:
                await asyncio.sleep(_LOOK_EVERY)

    async def _looked(self, consent: str, spent: str) -> Renewed | tuple[Turn, int, str] | None:
        """Another's token that serves; or our turn, settings' revision and refresh token; or None: wait."""
        async with self._database.session() as session:
            account = await accounts.fetch(session, self._account_id)
            if account is None:
                raise NotFound("there is no such account")
            if not self._confirmed(account.revision):
                raise Unavailable("the account's settings were changed meanwhile: try again")
            seen = await renewals.fetch(session, self._account_id)
            known = self._known(seen, consent)
            if known and seen and seen.revision == account.revision and known.serves(spent):
                return known
            turn = await renewals.take(session, self._account_id, seen, LEASE)
            refresh_token = known.refresh_token if known else consent
            return None if turn is None else (turn, account.revision, refresh_token)

    async def _exchanged(
        self, turn: Turn, revision: int, refresh_token: str, consent: str, exchange: Exchange
    ) -> Renewed | None:
        """What the token server gives, kept before it is used; None when a later turn's was kept meanwhile.

        Where it can't be kept the turn is not given back: this worker, which alone has it, may try once more.
        """
        try:
            async with self._held(turn):
                made = await exchange(refresh_token)
        except BaseException:
            await self._give_back(turn)
            raise
        plain = orjson.dumps({"consent": consent, **asdict(made)})
        self._unkept = turn, self._safe.seal(plain, self._context), revision
        return made if await self._kept() else None

    async def _kept(self) -> bool:
        """Keeps what came of the last turn, if that is still to be done; False when it came too late."""
        if self._unkept is None:
            return True
        turn, sealed, revision = self._unkept
        try:
            async with self._database.session() as session:
                await renewals.keep(session, turn, sealed, revision=revision)
        except Stale:
            _log.warning("a token came after another worker's", extra={"account": self._account_id})
            self._unkept = None
            return False
        self._unkept = None
        return True

    async def _give_back(self, turn: Turn) -> None:
        try:
            async with self._database.session() as session:
                await renewals.give_back(session, turn)
        except Exception:  # noqa: BLE001  the lease ends by itself, and why the exchange failed is to be told
            _log.exception("a turn can't be given back", extra={"account": self._account_id})

    @asynccontextmanager
    async def _held(self, turn: Turn) -> AsyncIterator[None]:
        """The lease is made longer as long as it goes on."""
        with one_error():
            async with asyncio.TaskGroup() as both:
                holding = both.create_task(self._hold(turn), name="lease")
                yield
                holding.cancel()

    async def _hold(self, turn: Turn) -> None:
        """Ends when it can't: an exchange that is under way is worth more than the lease."""
        try:
            while True:
                await asyncio.sleep(_HOLD_EVERY)
                async with self._database.session() as session:
                    await renewals.hold(session, turn, LEASE)
        except Exception:  # noqa: BLE001  the task's root
            _log.exception("a lease can't be made longer", extra={"account": self._account_id})

    def _known(self, seen: Renewal | None, consent: str) -> Renewed | None:
        """What came of the last turn; None where it is another consent's."""
        if seen is None or seen.sealed is None:
            return None
        told: dict[str, Any] = orjson.loads(self._safe.unseal(seen.sealed, self._context))
        return Renewed(**told) if told.pop("consent") == consent else None
