"""The Azure connector against a real Azurite, by the kit that third parties use."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from connectors.azure import AzureConnector
from connectors.conformance import Conformance, Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector
from connectors.interface import Unsupported
from tests.gateway.tunnel.tunnels import certified
from tests.servers.azurite_blob import ACCOUNT, CONTAINER, KEY, Azurite, account_sas, azurite

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    folder = tmp_path_factory.mktemp("azurite-tls")
    made = certified(folder, "localhost")
    ca = made.ca_file.read_text()
    with azurite(folder / "data", certificate=Path(folder / "server.pem"), ca=ca) as running:
        yield running


def settings(server: Azurite) -> dict[str, str | None]:
    return {"url": server.url, "account_name": ACCOUNT, "container": CONTAINER, "ca": server.ca}


class TestAzure(Conformance):
    unsupported_names = frozenset({"back\\slash.txt"})  # Azure itself makes a slash of it

    @pytest.fixture
    def store(self, server: Azurite) -> Store:
        return Store(AzureConnector, {**settings(server), "account_key": KEY}, Direct())


class TestAzureByTokenBelowAPrefixOverTls(Conformance):
    unsupported_names = frozenset({"back\\slash.txt"})

    @pytest.fixture
    def store(self, tls_server: Azurite) -> Store:
        more = {"sas_token": account_sas(), "prefix": "team files/ä+b"}
        return Store(AzureConnector, {**settings(tls_server), **more}, Direct())

    async def test_a_presigned_upload(self, store: Store, full: FullConnector, folder: str) -> None:
        """A token can't sign: said, instead of what the kit asks of accounts with a key."""
        with pytest.raises(Unsupported):
            await full.upload_url(folder, "x", expires=60)

    async def test_a_presigned_download(self, store: Store, full: FullConnector, folder: str) -> None:
        """As for uploads."""
        entry = await full.write(folder, "x", _nothing(), size=0, replace=False)
        with pytest.raises(Unsupported):
            await full.download_url(entry.raw_id, expires=60)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
