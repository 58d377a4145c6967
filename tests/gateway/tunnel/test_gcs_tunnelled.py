"""The Google Cloud Storage connector through a real tunnel: store and token server beyond an agent."""

import hashlib
import os
from collections.abc import Iterator
from typing import cast
from urllib.parse import urlsplit

import pytest

from connectors.conformance import Store
from connectors.conformance.kit import FullConnector, names, pieces, put, whole
from connectors.gcs import GcsConnector
from connectors.interface import NotFound, Span, Unavailable
from gateway.tunnel import NetworkDialer
from tests.gateway.tunnel.tunnels import NETWORK, Gateway, MakeAgent, until
from tests.servers.fake_gcs import FakeGcs, fake_gcs
from tests.servers.gcs_double import GcsDouble, gcs_double

pytestmark = pytest.mark.server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def emulator() -> Iterator[FakeGcs]:
    with fake_gcs("plain") as server:
        yield server


@pytest.fixture
def double() -> Iterator[GcsDouble]:
    with gcs_double() as made:
        made.endpoint = by_address(made.endpoint)
        yield made


def by_address(endpoint: str) -> str:
    """An agent allows its own machine by address only."""
    return endpoint.replace("localhost", "127.0.0.1")


def account(endpoint: str, double: GcsDouble, gateway: Gateway) -> Store:
    settings = {"endpoint": by_address(endpoint), "bucket": "plain", "credentials": double.credentials()}
    return Store(GcsConnector, settings, NetworkDialer(gateway.hub, NETWORK))


async def test_verbs_through_a_tunnel(
    emulator: FakeGcs, double: GcsDouble, gateway: Gateway, make_agent: MakeAgent
) -> None:
    """Content on fake-gcs-server, its tokens from the double: both are dialled by the agent."""
    await make_agent(f"127.0.0.1:{emulator.port}", f"127.0.0.1:{urlsplit(double.endpoint).port}")
    await until(lambda: gateway.connected() == 1)
    async with account(emulator.endpoint, double, gateway).opened() as opened:
        gcs = cast("FullConnector", opened)
        folder = (await gcs.mkdir("", "tunnelled")).raw_id
        content = os.urandom(20 * MIB)
        for name, size in (("known", len(content)), ("unknown", None)):
            entry = await gcs.write(folder, name, pieces(content), size=size, replace=False)
            read = hashlib.sha256(await whole(gcs, entry.raw_id)).digest()
            assert read == hashlib.sha256(content).digest()
        assert await whole(gcs, f"{folder}known", Span(5, 9)) == content[5:10]
        await gcs.copy(f"{folder}known", folder, "copied")
        moved = await gcs.move(folder, "", "moved")
        assert await names(gcs, moved.raw_id) == ["copied", "known", "unknown"]
        await gcs.delete(moved.raw_id, recursive=True)
        with pytest.raises(NotFound):
            await gcs.stat(moved.raw_id)
    assert len(double.issued) == 1


async def test_a_token_server_that_the_agent_may_not_reach(
    emulator: FakeGcs, double: GcsDouble, gateway: Gateway, make_agent: MakeAgent
) -> None:
    await make_agent(f"127.0.0.1:{emulator.port}")
    await until(lambda: gateway.connected() == 1)
    async with account(emulator.endpoint, double, gateway).opened() as connector:
        with pytest.raises(Unavailable, match="allow-list"):
            await put(connector, "", "file")
    assert double.seen == []
