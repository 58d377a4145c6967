"""Open accounts: a credential is unsealed here, its connector opened once and shared by operations."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import orjson

from connectors import registry
from connectors.interface import Connector, Context, Dialer, Locks, NotFound
from gateway.operations import AccountRef
from gateway.worker.ids import Ids
from gateway.worker.renewing import Fence
from gateway.worker.safe import Safe
from gateway.worker.senders import Senders
from store import envelope
from store.engine import Database
from store.envelope import unseal
from store.errors import Stale
from store.queries import accounts, networks

_log = logging.getLogger(__name__)
_CLOSE_AFTER_IDLE = 300.0
_CLOSE_WITHIN = 10.0
"""Seconds that a store has to say goodbye; then its account is let go all the same."""

type DialerOf = Callable[[int | None, Callable[[], None]], Dialer]
"""The dialer for a network (None: from here), which calls back when an agent that it went through leaves."""

_work: ContextVar[ExitStack | None] = ContextVar("work on accounts", default=None)


@dataclass(slots=True, eq=False)
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
    given_up: bool = False
    leaving: list[Callable[[], None]] = field(default_factory=list)
    """What gives up connections where there may be several, each when nothing runs on it."""
    unused: Callable[[], None] = lambda: None
    """Called when nothing runs any more on an account that was given up."""

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While inside, the account is closed only by `Accounts.forget`."""
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self.used = time.monotonic()  # idle from here on, not from when a long transfer began
            if self.given_up and not self.running:
                self.unused()


@contextmanager
def one_work() -> Iterator[None]:
    """What is done inside is one work: an account that it requires stays as it is until the work's end.

    Every request, task and crawl is one; `Accounts.require` needs to be inside of one.
    """
    with ExitStack() as stack:
        token = _work.set(stack)
        try:
            yield
        finally:
            _work.reset(token)


class Accounts:
    """Finds or opens the connector of an account; closes those that nobody used for a while.

    When an agent leaves, the accounts whose connections run through it are given up: the next request opens
    the account anew, and dials through another agent. What runs goes on; when nothing does, the former
    connector is closed with the connections that it kept for later, which would hold the agent's stop.
    """

    def __init__(
        self,
        database: Database,
        keys: envelope.SealingKey,
        private: list[unseal.UnsealingKey],
        ids_secret: bytes,
        dialer_of: DialerOf,
        idle_timeout: float,
    ) -> None:
        self._database = database
        self._safe = Safe(keys, private)
        self._ids_secret = ids_secret
        self._dialer_of = dialer_of
        self._idle_timeout = idle_timeout
        self._open: dict[int, OpenAccount] = {}
        self._given_up: list[OpenAccount] = []
        self._unused = asyncio.Event()
        # each as long as somebody opens the account, or a connector of it has them
        self._opening: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._locks: WeakValueDictionary[int, Locks] = WeakValueDictionary()

    async def require(self, ref: AccountRef) -> OpenAccount:
        """The open account, opened anew when its credential changed; in use until the end of `one_work`.

        Raises NotFound when the account is gone, and what `Connector.open` raises.
        """
        account = await self._opened(ref)
        if (work := _work.get()) is not None:
            work.enter_context(account.in_use())
        return account

    async def _opened(self, ref: AccountRef) -> OpenAccount:
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
            if opened.given_up:  # an agent left while it was being opened
                self._give_up(opened)
            return opened

    async def forget(self, account: int) -> None:
        """Closes the account's connectors, if it is open here; what runs on them breaks."""
        await self._close([one for one in self._all() if one.id == account])

    async def close_unused(self) -> None:
        """Runs until cancelled: closes what was idle for five minutes, and at once what was given up."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_AFTER_IDLE / 5):
                    await self._unused.wait()
            self._unused.clear()
            limit = time.monotonic() - _CLOSE_AFTER_IDLE
            await self._close(
                [one for one in self._all() if not one.running and (one.given_up or one.used < limit)]
            )

    async def aclose(self) -> None:
        """Closes every open account."""
        await self._close(self._all())

    def _all(self) -> list[OpenAccount]:
        return [*self._open.values(), *self._given_up]

    async def _close(self, closed: list[OpenAccount]) -> None:
        for account in closed:
            self._give_up(account)
            self._given_up.remove(account)
        async with asyncio.TaskGroup() as group:  # side by side: a store that hangs is in nobody's way
            for account in closed:
                group.create_task(_closed(account), name=f"close account {account.id}")

    def _left(self, account: OpenAccount) -> None:
        """An agent leaves that connections of the account run through."""
        for dial_anew in account.leaving:
            dial_anew()
        self._give_up(account)

    def _give_up(self, account: OpenAccount) -> None:
        """Nobody is given it any more; it is closed when nothing runs on it."""
        account.given_up = True
        if self._open.get(account.id) is account:
            del self._open[account.id]
            self._given_up.append(account)
            self._unused.set()

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
        dialer = self._dialer_of(row.network_id, lambda: self._left(opened))
        senders = Senders(dialer, self._idle_timeout, settings.identity())
        opened = OpenAccount(
            account_id,
            row.revision,
            None,  # type: ignore[arg-type]  # set below; `remember` needs the account first
            ids,
            senders,
            network=row.network_id,
            leaving=[senders.dial_anew],
            unused=self._unused.set,
        )

        async def remember(changes: dict[str, str]) -> None:
            opened.revision = max(opened.revision, await self.amend(account_id, changes))

        def confirmed(revision: int) -> bool:
            if opened.revision != revision:
                self._give_up(opened)
            return opened.revision == revision

        fence = Fence(self._database, account_id, self._safe, confirmed, self._idle_timeout)
        locks = self._locks.setdefault(account_id, WeakValueDictionary())
        context = Context(
            dialer, self._idle_timeout, remember, locks=locks, leaving=opened.leaving, renewals=fence
        )
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
            sealed = self._safe.seal(orjson.dumps(merged.revealed()), context)
            try:
                async with self._database.session() as session:
                    await accounts.set_credential(session, account_id, sealed, revision=row.revision)
            except Stale:
                continue
            return row.revision + 1
        raise Stale("the account's credential kept changing")

    def unseal_credential(self, account_id: int, sealed: bytes) -> bytes:
        """The account's settings as JSON, secrets included."""
        return self._safe.unseal(sealed, credential_context(account_id))


async def _closed(account: OpenAccount) -> None:
    """Closes what an account has open. Nothing is raised: it is over, whatever its store says to that."""
    for close in (account.connector.aclose, account.senders.aclose):
        try:
            async with asyncio.timeout(_CLOSE_WITHIN):
                await close()
        except Exception:  # noqa: BLE001  the task's root
            _log.exception("an account was not closed as it should be", extra={"account": account.id})


def credential_context(account_id: int) -> envelope.Context:
    """What an account's sealed credential is bound to."""
    return envelope.Context("accounts", str(account_id), "credential")
