"""Every test with `database` or `database_url` runs on SQLite and on PostgreSQL, each time on a fresh one."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from store import envelope, migrate
from store.engine import Database, open_database
from store.envelope import keyfiles
from store.envelope.unseal import UnsealingKey
from tests.servers.postgres import OWNER, Postgres, postgres

KINDS = ("sqlite", "postgresql")
_TEMPLATE = "migrated"
_numbers = count()


@dataclass(frozen=True)
class Pair:
    """A key pair, both halves loaded."""

    paths: keyfiles.KeyPaths
    sealing: envelope.SealingKey
    unsealing: list[UnsealingKey]


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """One PostgreSQL for the whole run."""
    with postgres() as running:
        yield running


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that is copied for every test."""
    file = tmp_path_factory.mktemp("migrated") / "state.db"
    migrate.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_server(server: Postgres) -> Postgres:
    """The server, with a migrated database in it that every test's own is a copy of."""
    migrate.upgrade(create_database(server, _TEMPLATE))
    return server


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which database this test runs on."""
    return str(request.param)


@pytest.fixture
def database_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh, migrated database."""
    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "state.db")
        return f"sqlite:///{tmp_path}/state.db"
    running: Postgres = request.getfixturevalue("migrated_server")
    return create_database(running, f"test_{next(_numbers)}", template=_TEMPLATE)


@pytest.fixture
def empty_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh database without any table."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    running: Postgres = request.getfixturevalue("server")
    return create_database(running, f"test_{next(_numbers)}")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh, migrated database, open."""
    opened = open_database(database_url)
    yield opened
    await opened.aclose()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A key pair made the product's way."""
    paths = keyfiles.create_pair(tmp_path_factory.mktemp("keys"))
    return Pair(paths, envelope.SealingKey.load(paths.public), [UnsealingKey.load(paths.private)])


def create_database(running: Postgres, name: str, template: str = "template1") -> str:
    """The URL of a new database."""

    async def work() -> None:
        connection = await asyncpg.connect(host=str(running.socket), user=OWNER, database="postgres")
        try:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        finally:
            await connection.close()

    asyncio.run(work())
    return running.url(name)
