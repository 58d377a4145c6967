"""A gateway whose api and worker are both the real ones, with a real socket between them."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import uvicorn
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors import registry
from connectors.interface import Connector
from gateway.api.main import build
from gateway.api.server import server
from gateway.operations import Operations
from gateway.settings import Settings
from gateway.tunnel import DirectDialer, Hub
from gateway.worker import main as worker
from gateway.worker.accounts import Accounts, credential_context
from gateway.worker.app import Worker
from gateway.worker.calls import Calls
from gateway.worker.desk import Desk
from store import envelope, migrate
from store.engine import Database, open_database
from store.envelope import keyfiles
from store.envelope.unseal import UnsealingKey
from store.queries import accounts
from store.tables import Account
from tests.gateway.api.served import Connected, Served, wait_until


@dataclass
class Whole(Served):
    """The gateway. `inside` runs a coroutine function on the worker's desk, in the gateway's own loop."""

    root: Path
    desk: Desk
    loop: asyncio.AbstractEventLoop

    def folder(self, account: Connected) -> Path:
        """The folder that is the account's store."""
        return self.root / str(account.account_id)

    def inside[T](self, act: Callable[[Desk], Awaitable[T]]) -> T:
        async def run() -> T:
            return await act(self.desk)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(20)

    def connect_to(self, service: str, settings: dict[str, Any]) -> Connected:
        """A new developer, application, key and account, on a store with these settings."""
        connected = self.connect(service=service)
        sealed = envelope.seal(orjson.dumps(settings), credential_context(connected.account_id), self.sealing)

        async def set_up(database: Database) -> None:
            async with database.session() as session:
                row = await accounts.fetch(session, connected.account_id)
                assert row is not None
                await accounts.set_credential(session, row.id, sealed, revision=row.revision)

        self.work(set_up)
        return connected

    async def _prepare(self, database: Database, account: Account) -> None:
        folder = self.root / str(account.id)
        folder.mkdir()
        given = orjson.dumps({"root": str(folder)})
        sealed = envelope.seal(given, credential_context(account.id), self.sealing)
        async with database.session() as session:
            await accounts.set_credential(session, account.id, sealed, revision=account.revision)


@contextmanager
def registered(connectors: dict[str, type[Connector]]) -> Iterator[None]:
    """The registry knows these beside the installed ones."""
    usable, _ = registry._found()
    usable.update(connectors)
    try:
        yield
    finally:
        for name in connectors:
            del usable[name]


@contextmanager
def whole_gateway(data: Path, **options: Any) -> Iterator[Whole]:
    """A served gateway with a folder for each account."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    settings = Settings(data=data, port=listening.getsockname()[1], drain_timeout=1.0, **options)
    paths = keyfiles.create_pair(settings.keys)
    migrate.upgrade(settings.database_url)
    (data / "stores").mkdir()
    sealing = envelope.SealingKey.load(paths.public)
    serving: list[uvicorn.Server] = []
    made: list[Whole] = []

    async def serve() -> None:
        async with _desk(settings, sealing, UnsealingKey.load(paths.private)) as desk:
            operations = Operations(settings.worker_socket, settings.calls_socket)
            api = server(build(settings, desk.database, operations, sealing), settings)
            behind = uvicorn.Server(
                uvicorn.Config(
                    cast("Any", Worker(desk)),
                    http=worker.LargeBuffers,
                    ws="none",
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    timeout_graceful_shutdown=1,
                )
            )
            serving.extend((api, behind))
            loop = asyncio.get_running_loop()
            made.append(Whole(settings, settings.port, sealing, data / "stores", desk, loop))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(behind.serve(sockets=[worker._listen(settings.worker_socket)]))
                calls = tasks.create_task(Calls(desk).serve(worker._listen(settings.calls_socket)))
                await api.serve(sockets=[listening])
                await operations.aclose()
                calls.cancel()
                behind.should_exit = True

    thread = threading.Thread(target=lambda: uvloop.run(serve()), name="gateway")
    thread.start()
    wait_until(lambda: len(serving) == 2 and all(one.started for one in serving))
    yield made[0]
    serving[0].should_exit = True
    thread.join(timeout=20)
    listening.close()
    assert not thread.is_alive()


@asynccontextmanager
async def _desk(
    settings: Settings, sealing: envelope.SealingKey, private: UnsealingKey
) -> AsyncIterator[Desk]:
    async def nobody(_: int) -> None:
        return None

    database = open_database(settings.database_url)
    hub = Hub(Ed25519PrivateKey.generate(), find_agent=nobody, network_of=nobody)
    opened = Accounts(
        database, sealing, [private], os.urandom(32), lambda *_: DirectDialer(), settings.idle_timeout
    )
    try:
        yield Desk.furnished(settings, database=database, accounts=opened, hub=hub, private=[private])
    finally:
        await opened.aclose()
        await hub.aclose()
        await database.aclose()
