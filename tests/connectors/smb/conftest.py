import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.samba import Samba, samba


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    with samba(tmp_path_factory.mktemp("samba")) as server:
        yield server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Samba]:
    """A server of the test's own, to do harm to."""
    with samba(tmp_path / "samba") as server:
        yield server


@pytest.fixture
def folder(server: Samba) -> str:
    name = f"test-{secrets.token_hex(6)}"
    (server.data / name).mkdir()
    return name
