"""Open accounts whose agent leaves: what runs keeps its connector, what comes is given another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import ClassVar, Self

import orjson
import pytest

from connectors.interface import Context, NotFound, Settings
from connectors.local import LocalConnector
from gateway.operations import AccountRef
from gateway.tunnel import DirectDialer
from gateway.worker.accounts import Accounts, OpenAccount, credential_context, one_work
from store import envelope, migrate
from store.engine import Database, open_database
from store.envelope import keyfiles, unseal
from store.queries import accounts, applications, developers
from tests.gateway.api.whole import registered


class Watched(LocalConnector):
    """A folder; shows what it was lent, and whether it is closed."""

    name: ClassVar[str] = "watched_double"
    context: Context
    closed = False

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        opened = await super().open(settings, context)
        opened.context = context
        return opened

    async def aclose(self) -> None:
        self.closed = True
        await super().aclose()


class World:
    """One account; `leave` is what the hub calls for each time that it was opened."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder, self.database = folder, database
        self.leave: list[Callable[[], None]] = []
        paths = keyfiles.create_pair(folder / "keys")
        self.sealing = envelope.SealingKey.load(paths.public)
        private = [unseal.UnsealingKey.load(paths.private)]

        def dialer_of(network: int | None, on_leave: Callable[[], None]) -> DirectDialer:
            self.leave.append(on_leave)
            return DirectDialer()

        self.opened = Accounts(database, self.sealing, private, b"ids", dialer_of, 5.0)

    async def connect(self) -> None:
        async with self.database.session() as session:
            ann = await developers.create(session, "ann@example.com", None, key_digest=b"k", key_sealed=b"s")
            application = await applications.create(session, ann.id, "tests")
            row = await accounts.create(
                session,
                application_id=application.id,
                service=Watched.name,
                display_name="files",
                network_id=None,
                credential=b"",
            )
            given = orjson.dumps({"root": str(self.folder)})
            sealed = envelope.seal(given, credential_context(row.id), self.sealing)
            await accounts.set_credential(session, row.id, sealed, revision=row.revision)
        self.ref = AccountRef(row.id, 0)

    async def require(self) -> tuple[OpenAccount, Watched]:
        account = await self.opened.require(self.ref)
        assert isinstance(account.connector, Watched)
        return account, account.connector


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = f"sqlite:///{tmp_path / 'state.db'}"
    migrate.upgrade(made)
    return made


@pytest.fixture
async def world(tmp_path: Path, url: str) -> AsyncIterator[World]:
    database = open_database(url)
    made = World(tmp_path, database)
    await made.connect()
    with registered({Watched.name: Watched}):
        async with asyncio.TaskGroup() as tasks:
            closing = tasks.create_task(made.opened.close_unused())
            yield made
            closing.cancel()
        await made.opened.aclose()
    await database.aclose()


async def until_closed(connector: Watched) -> None:
    async with asyncio.timeout(5):
        while not connector.closed:
            await asyncio.sleep(0.01)


async def test_an_idle_account_is_closed_when_its_agent_leaves(world: World) -> None:
    with one_work():
        _, former = await world.require()
    world.leave[0]()
    await until_closed(former)
    _, present = await world.require()
    assert present is not former
    world.leave[0]()  # of a connector that is gone
    assert (await world.require())[1] is present


async def test_a_work_keeps_its_connector_beside_a_new_one(world: World) -> None:
    with one_work():
        _, former = await world.require()
        world.leave[0]()
        with one_work():
            _, present = await world.require()
        assert present is not former
        assert (await former.stat("")).raw_id == ""
        assert not former.closed
    await until_closed(former)
    assert not present.closed


async def test_former_and_new_connector_share_their_locks(world: World) -> None:
    with one_work():
        _, former = await world.require()
        world.leave[0]()
        _, present = await world.require()
        async with former.context.locks.setdefault("name", asyncio.Lock()):
            assert present.context.locks["name"].locked()


async def test_an_account_that_is_forgotten_is_closed_under_what_runs(world: World) -> None:
    with one_work():
        _, former = await world.require()
        world.leave[0]()
        _, present = await world.require()
        await world.opened.forget(world.ref.id)
        assert former.closed
        assert present.closed


async def test_an_account_that_is_gone_is_not_opened_anew(world: World) -> None:
    await world.require()
    world.leave[0]()
    async with world.database.session() as session:
        await accounts.remove(session, world.ref.id)
    with pytest.raises(NotFound):
        await world.require()
