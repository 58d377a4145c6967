"""An API and the token server of its account, both reached through a real tunnel and by nothing else."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from connectors.conformance import Store
from connectors.conformance.kit import whole
from connectors.http import HttpConnector
from connectors.interface import Unavailable
from gateway.tunnel import NetworkDialer
from tests.gateway.tunnel.tunnels import NETWORK, Gateway, MakeAgent, until
from tests.servers.guarded import guarded
from tests.servers.token_double import token_double


@pytest.mark.server
@pytest.mark.parametrize("both", [True, False])
async def test_the_token_server_is_reached_through_the_network(
    gateway: Gateway, make_agent: MakeAgent, tmp_path: Path, both: bool
) -> None:
    with guarded(tmp_path / "api", "bearer") as api, token_double(api.token) as double:
        api.put("a.txt", b"bytes")
        hosts = [f"127.0.0.1:{api.apache.port}", urlsplit(double.url).netloc]
        await make_agent(*hosts[: 2 if both else 1])
        await until(lambda: gateway.connected() == 1)
        settings = double.settings(url=api.url)
        store = Store(HttpConnector, settings, NetworkDialer(gateway.hub, NETWORK))
        async with store.opened() as connector:
            if both:
                assert await whole(connector, "a.txt") == b"bytes"
                return
            with pytest.raises(Unavailable, match="allow"):
                await connector.stat("a.txt")
        assert double.asked == []
