"""An api that is served for real, and what tests need around it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.access import tokens
from gateway.settings import Settings
from store import envelope
from store.engine import Database, open_database
from store.queries import accounts, applications, developers
from store.queries import tokens as access_tokens
from store.tables import Account
from tests.gateway.api.fake_worker import FakeWorker


@dataclass(frozen=True)
class Connected:
    """A developer's application with one connected account, and the keys of all three."""

    developer_id: int
    meta_token: str
    application_id: str
    api_key: str
    account_id: int
    token: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def key(self) -> dict[str, str]:
        return {"Authorization": f"APIKey {self.api_key}"}

    @property
    def meta(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.meta_token}"}


@dataclass
class Served:
    """A served api: uvicorn on a free port, a SQLite database."""

    settings: Settings
    port: int
    sealing: envelope.SealingKey

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def storage(self, account: Connected | str, path: str) -> str:
        number = account if isinstance(account, str) else account.account_id
        return f"{self.url}/v1/accounts/{number}/storage/{path}"

    def work[T](self, act: Callable[[Database], Awaitable[T]]) -> T:
        """Runs a coroutine function on a database handle of its own."""

        async def run() -> T:
            database = open_database(self.settings.database_url)
            try:
                return await act(database)
            finally:
                await database.aclose()

        return asyncio.run(run())

    def connect(self, *, service: str = "local") -> Connected:
        """A new developer, application, API key, account and token."""

        async def act(database: Database) -> Connected:
            key, meta, token = tokens.make(), tokens.make(), tokens.make()
            async with database.session() as session:
                developer = await developers.create(
                    session,
                    f"{tokens.make()}@example.com",
                    None,
                    key_digest=tokens.digest(meta),
                    key_sealed=self._seal("developer_keys", meta),
                )
                application = await applications.create(session, developer.id, "tests")
                await applications.add_key(
                    session, application.id, tokens.digest(key), self._seal("api_keys", key)
                )
            account_id, _ = await self._account(database, application.id, service, token)
            return Connected(developer.id, meta, application.id, key, account_id, token)

        return self.work(act)

    def another_account(self, owner: Connected, *, service: str = "local") -> Connected:
        """One more account of the same application."""

        async def act(database: Database) -> Connected:
            account_id, token = await self._account(database, owner.application_id, service, tokens.make())
            return Connected(
                owner.developer_id, owner.meta_token, owner.application_id, owner.api_key, account_id, token
            )

        return self.work(act)

    async def _account(
        self, database: Database, application: str, service: str, token: str
    ) -> tuple[int, str]:
        async with database.session() as session:
            account = await accounts.create(
                session,
                application_id=application,
                service=service,
                display_name="user@host",
                network_id=None,
                credential=b"sealed",
            )
            await access_tokens.create(
                session, account.id, tokens.digest(token), self._seal("access_tokens", token), "all", None
            )
        await self._prepare(database, account)
        return account.id, token

    async def _prepare(self, database: Database, account: Account) -> None:
        """Makes the account's store."""

    def _seal(self, table: str, secret: str) -> bytes:
        context = envelope.Context(table, tokens.digest(secret).hex(), "sealed")
        return envelope.seal(secret.encode(), context, self.sealing)


@dataclass
class Gateway(Served):
    """A served api with the double of the worker."""

    worker: FakeWorker

    async def _prepare(self, database: Database, account: Account) -> None:
        self.worker.root(account.id)


def wait_until(condition: Callable[[], bool], within: float = 10.0) -> None:
    """Returns when the condition holds; fails the test when it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
