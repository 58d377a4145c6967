import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import kloudless
import pytest
import requests
import uvloop

from gateway.api.main import build
from gateway.api.server import server
from gateway.settings import Settings
from store import envelope, migrate
from store.engine import open_database
from store.envelope import keyfiles
from store.envelope.unseal import UnsealingKey
from tests.gateway.api.fake_worker import FakeWorker
from tests.gateway.api.folder_doubles import DOUBLES
from tests.gateway.api.served import Connected, Gateway, wait_until
from tests.gateway.api.whole import Whole, registered, whole_gateway

if TYPE_CHECKING:
    import uvicorn


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    data = tmp_path_factory.mktemp("gateway")
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    settings = Settings(data=data, port=listening.getsockname()[1], idle_timeout=2.0, drain_timeout=1.0)
    paths = keyfiles.create_pair(settings.keys)
    (settings.keys / "hub.pub").write_bytes(bytes(range(32)))
    settings.hub_socket.parent.mkdir(parents=True)
    migrate.upgrade(settings.database_url)
    sealing = envelope.SealingKey.load(paths.public)
    worker = FakeWorker(UnsealingKey.load(paths.private))
    serving: list[uvicorn.Server] = []

    async def serve() -> None:
        database = open_database(settings.database_url)
        try:
            running = server(build(settings, database, worker, sealing), settings)
            serving.append(running)
            await running.serve(sockets=[listening])
        finally:
            await database.aclose()

    thread = threading.Thread(target=lambda: uvloop.run(serve()), name="api")
    thread.start()
    wait_until(lambda: bool(serving) and serving[0].started)
    yield Gateway(settings, settings.port, sealing, worker)
    serving[0].should_exit = True
    thread.join(timeout=20)
    listening.close()
    assert not thread.is_alive()


@pytest.fixture
def worker(gateway: Gateway) -> Iterator[FakeWorker]:
    yield gateway.worker
    gateway.worker.fails = gateway.worker.breaks_after = None
    gateway.worker.endless = gateway.worker.hides_size = False
    gateway.worker.is_ready = True


@pytest.fixture
def mine(gateway: Gateway) -> Connected:
    return gateway.connect()


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """A gateway with its real worker, and connectors of the tests' own."""
    with (
        registered(DOUBLES),
        whole_gateway(tmp_path_factory.mktemp("whole"), idle_timeout=5.0) as running,
    ):
        yield running


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def client(gateway: Gateway, mine: Connected, monkeypatch: pytest.MonkeyPatch) -> Iterator[kloudless.Account]:
    """The published client, unmodified, on the account's token."""
    monkeypatch.setitem(kloudless.configuration, "base_url", gateway.url)
    with kloudless.Account(token=mine.token) as account:
        yield account
