"""The S3 connector through a real tunnel: hub, agent as a process, SeaweedFS that only the agent reaches."""

import hashlib
import os
from collections.abc import Iterator
from typing import cast

import pytest

from connectors.conformance import Store
from connectors.conformance.kit import FullConnector, names, pieces, put, whole
from connectors.interface import NotFound, Span, Unavailable
from connectors.s3 import S3CompatibleConnector
from gateway.tunnel import NetworkDialer
from tests.gateway.tunnel.tunnels import NETWORK, Gateway, MakeAgent, until
from tests.servers.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFS, make_bucket, seaweedfs

pytestmark = pytest.mark.server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with seaweedfs(tmp_path_factory.mktemp("weed")) as server:
        make_bucket(server, "plain")
        yield server


def account(server: SeaweedFS, gateway: Gateway) -> Store:
    settings = {
        "endpoint": server.endpoint,
        "bucket": "plain",
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
    }
    return Store(S3CompatibleConnector, settings, NetworkDialer(gateway.hub, NETWORK))


async def test_verbs_through_a_tunnel(weed: SeaweedFS, gateway: Gateway, make_agent: MakeAgent) -> None:
    await make_agent(f"127.0.0.1:{weed.port}")
    await until(lambda: gateway.connected() == 1)
    async with account(weed, gateway).opened() as opened:
        s3 = cast("FullConnector", opened)
        folder = (await s3.mkdir("", "tunnelled")).raw_id
        content = os.urandom(20 * MIB)
        for name, size in (("known", len(content)), ("unknown", None)):
            entry = await s3.write(folder, name, pieces(content), size=size, replace=False)
            read = hashlib.sha256(await whole(s3, entry.raw_id)).digest()
            assert read == hashlib.sha256(content).digest()
        assert await whole(s3, f"{folder}known", Span(5, 9)) == content[5:10]
        await s3.copy(f"{folder}known", folder, "copied")
        moved = await s3.move(folder, "", "moved")
        assert await names(s3, moved.raw_id) == ["copied", "known", "unknown"]
        await s3.delete(moved.raw_id, recursive=True)
        with pytest.raises(NotFound):
            await s3.stat(moved.raw_id)


async def test_a_store_that_the_agent_may_not_reach(
    weed: SeaweedFS, gateway: Gateway, make_agent: MakeAgent
) -> None:
    await make_agent(f"127.0.0.1:{weed.port + 1}")
    await until(lambda: gateway.connected() == 1)
    async with account(weed, gateway).opened() as connector:
        with pytest.raises(Unavailable, match="allow-list"):
            await put(connector, "", "file")
