"""Open accounts: a credential is unsealed here, its connector opened once and shared by operations."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from connectors import registry
from connectors.interface import Connector, Context, Dialer, NotFound
from gateway.operations import AccountRef
from gateway.worker.ids import Ids
from gateway.worker.senders import Senders
from store import envelope
from store.engine import Database
from store.envelope import unseal
from store.errors import Stale
from store.queries import accounts, networks

_log = logging.getLogger(__name__)
_CLOSE_AFTER_IDLE = 300.0


@dataclass(slots=True)
class OpenAccount:
    """One account that is open in this worker: its connector, the ids bound to it, clients for raw requests.

    A request that wishes for more than others is given one of its own, which names the `shared` one.
    """

    id: int
    revision: int
    connector: Connector
    ids: Ids
    senders: Senders
    used: float = field(default_factory=time.monotonic)
    running: int = 0
    shows_raw: bool = False
    network: int | None = None
    shared: "OpenAccount | None" = None


class Accounts:
    """Finds or opens the connector of an account; closes those that nobody used for a while."""

    def __init__(
        self,
        database: Database,
        keys: envelope.SealingKey,
        private: list[unseal.UnsealingKey],
        ids_secret: bytes,
        dialer_of: Callable[[int | None], Dialer],
        idle_timeout: float,
    ) -> None:
        self._database = database
        self._sealing = keys
        self._private = private
        self._ids_secret = ids_secret
        self._dialer_of = dialer_of
        self._idle_timeout = idle_timeout
        self._open: dict[int, OpenAccount] = {}
        self._opening: dict[int, asyncio.Lock] = {}

    async def require(self, ref: AccountRef) -> OpenAccount:
        """The open account, opened anew when its credential changed.

        Raises NotFound when the account is gone, and what `Connector.open` raises.
        """
        found = self._open.get(ref.id)
        if found is not None and found.revision >= ref.revision:
            found.used = time.monotonic()
            return found
        async with self._opening.setdefault(ref.id, asyncio.Lock()):
            found = self._open.get(ref.id)
            if found is not None and found.revision >= ref.revision:
                return found
            if found is not None:
                await self.forget(ref.id)
            opened = await self._load(ref.id)
            self._open[ref.id] = opened
            return opened

    async def forget(self, account: int) -> None:
        """Closes the account's connector, if it is open here; what runs on it breaks."""
        if (gone := self._open.pop(account, None)) is not None:
            await gone.connector.aclose()
            await gone.senders.aclose()

    async def close_idle(self) -> None:
        """Runs until cancelled: closes accounts that were idle for five minutes."""
        while True:
            await asyncio.sleep(_CLOSE_AFTER_IDLE / 5)
            limit = time.monotonic() - _CLOSE_AFTER_IDLE
            for account in [a for a in self._open.values() if a.used < limit and not a.running]:
                await self.forget(account.id)

    async def aclose(self) -> None:
        """Closes every open account."""
        for account in list(self._open):
            await self.forget(account)

    async def _load(self, account_id: int) -> OpenAccount:
        async with self._database.session() as session:
            row = await accounts.fetch(session, account_id)
            authorities = await networks.authorities_of(session, row.network_id) if row else None
        if row is None or row.credential is None:
            raise NotFound("there is no such account")
        kind = registry.require(row.service)
        known = kind.settings.model_validate_json(self.unseal_credential(account_id, row.credential))
        settings = known.trusting(authorities)
        ids = Ids(self._ids_secret, account_id)
        dialer = self._dialer_of(row.network_id)
        senders = Senders(dialer, self._idle_timeout, settings.identity())
        opened = OpenAccount(account_id, row.revision, None, ids, senders, network=row.network_id)  # type: ignore[arg-type]  # set two lines below; `remember` needs the account first

        async def remember(changes: dict[str, str]) -> None:
            opened.revision = max(opened.revision, await self.amend(account_id, changes))

        context = Context(dialer, self._idle_timeout, remember)
        opened.connector = await kind.open(settings, context)
        return opened

    async def amend(self, account_id: int, changes: Mapping[str, Any]) -> int:
        """Merges the changes into the sealed settings; a concurrent change wins and is merged once more.

        The credential's new revision. Raises NotFound, pydantic's ValidationError, Stale.
        """
        for _ in range(5):
            async with self._database.session() as session:
                row = await accounts.fetch(session, account_id)
            if row is None or row.credential is None:
                raise NotFound("there is no such account")
            kind = registry.require(row.service)
            known = orjson.loads(self.unseal_credential(account_id, row.credential))
            merged = kind.settings.model_validate({**known, **changes})
            context = credential_context(account_id)
            sealed = envelope.seal(orjson.dumps(merged.revealed()), context, self._sealing)
            try:
                async with self._database.session() as session:
                    await accounts.set_credential(session, account_id, sealed, revision=row.revision)
            except Stale:
                continue
            return row.revision + 1
        raise Stale("the account's credential kept changing")

    def unseal_credential(self, account_id: int, sealed: bytes) -> bytes:
        """The account's settings as JSON, secrets included."""
        return unseal.unseal(sealed, credential_context(account_id), self._private)


def credential_context(account_id: int) -> envelope.Context:
    """What an account's sealed credential is bound to."""
    return envelope.Context("accounts", str(account_id), "credential")
