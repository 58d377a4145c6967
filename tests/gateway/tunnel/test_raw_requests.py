"""Requests in a store's own API through a real tunnel, as the worker sends them."""

import hashlib
import os
from pathlib import Path
from typing import cast

from connectors.conformance import Store
from connectors.conformance.kit import FullConnector, pieces
from connectors.interface import Payload, Request
from connectors.webdav import WebdavConnector
from gateway.tunnel import NetworkDialer
from gateway.worker.senders import Senders
from tests.gateway.tunnel.tunnels import NETWORK, Gateway, MakeAgent, until
from tests.servers.apache import PASSWORD, USER, apache

MIB = 1024 * 1024


async def test_a_file_goes_there_and_back(gateway: Gateway, make_agent: MakeAgent, tmp_path: Path) -> None:
    content = os.urandom(16 * MIB)
    with apache(tmp_path / "apache", tls=True) as server:
        settings = {"url": server.url, "username": USER, "password": PASSWORD, "ca": server.ca}
        await make_agent(f"127.0.0.1:{server.port}")
        await until(lambda: gateway.connected() == 1)
        dialer = NetworkDialer(gateway.hub, NETWORK)
        senders = Senders(dialer, 20.0)
        async with Store(WebdavConnector, settings, dialer).opened() as opened:
            connector = cast("FullConnector", opened)
            origin = connector.origins()[0]
            client = await senders.to(origin)
            assert await senders.to(origin) is client

            put = await connector.authorise(Request("PUT", origin, "/large"))
            headers = [(name.encode(), value.encode()) for name, value in put.fields if name != "host"]
            answer = await client.request(
                "PUT", put.target, headers, body=pieces(content, 262_144), length=len(content)
            )
            await answer.aclose()
            assert answer.status == 201

            get = await connector.authorise(Request("GET", origin, "/large", payload=Payload.NONE))
            headers = [(name.encode(), value.encode()) for name, value in get.fields if name != "host"]
            digest = hashlib.sha256()
            async for piece in (await client.request("GET", get.target, headers)).chunks():
                digest.update(piece)
        await senders.aclose()
    assert digest.digest() == hashlib.sha256(content).digest()
