"""The Azure connector through a tunnel: an agent reaches Azurite, the connector only the hub."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.azure import AzureConnector
from connectors.conformance import Store
from connectors.conformance.kit import names, pieces, put, whole
from connectors.interface import NetworkUnavailable, Span, Unavailable
from gateway.tunnel import NetworkDialer
from tests.gateway.tunnel.tunnels import NETWORK, Gateway, MakeAgent, certified, until
from tests.servers.azurite_blob import ACCOUNT, CONTAINER, KEY, Azurite, azurite

pytestmark = pytest.mark.server


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Azurite]:
    made = certified(tmp_path, "localhost")
    ca = made.ca_file.read_text()
    with azurite(tmp_path / "data", certificate=tmp_path / "server.pem", ca=ca) as running:
        yield running


def through(gateway: Gateway, server: Azurite) -> Store:
    settings = {
        "url": server.url,
        "account_name": ACCOUNT,
        "account_key": KEY,
        "container": CONTAINER,
        "ca": server.ca,
    }
    return Store(AzureConnector, settings, NetworkDialer(gateway.hub, NETWORK))


async def test_verbs_through_a_tunnel_with_tls_to_the_store(
    gateway: Gateway, make_agent: MakeAgent, behind: Azurite
) -> None:
    await make_agent(f"127.0.0.1:{behind.port}")
    await until(lambda: gateway.connected() == 1)
    content = secrets.token_bytes(9 * 1024 * 1024)
    async with through(gateway, behind).opened() as azure:
        entry = await azure.write("", "file", pieces(content), size=None, replace=False)
        assert await whole(azure, entry.raw_id) == content
        assert await whole(azure, entry.raw_id, Span(5_000_000, 5_000_999)) == content[5_000_000:5_001_000]
        await put(azure, "", "small", b"bytes")
        assert await names(azure, "") == ["file", "small"]
        await azure.delete("file")
        assert await names(azure, "") == ["small"]
    await until(lambda: gateway.hub.tunnels()[0]["streams"] == 0)


async def test_what_the_agent_does_not_allow(
    gateway: Gateway, make_agent: MakeAgent, behind: Azurite
) -> None:
    await make_agent("elsewhere.example:443")
    await until(lambda: gateway.connected() == 1)
    async with through(gateway, behind).opened() as azure:
        with pytest.raises(Unavailable, match="allow-list"):
            await azure.stat("")


async def test_a_network_without_an_agent(gateway: Gateway, behind: Azurite) -> None:
    async with through(gateway, behind).opened() as azure:
        with pytest.raises(NetworkUnavailable):
            await azure.stat("")
