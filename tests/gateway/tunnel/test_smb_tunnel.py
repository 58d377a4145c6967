"""SMB through a real tunnel: a hub, an agent's process, a Samba that only the agent may reach."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest

from connectors.conformance import Store
from connectors.conformance.kit import FullConnector, names, pieces, put, whole
from connectors.interface import (
    BadCredential,
    NetworkUnavailable,
    NotFound,
    Part,
    Span,
    TimedOut,
    Unavailable,
)
from connectors.smb import SmbConnector
from gateway.tunnel import NetworkDialer
from tests.gateway.tunnel.tunnels import NETWORK, Gateway, MakeAgent, until
from tests.servers.samba import Samba, samba
from tests.servers.sshd import free_port

MIB = 1024 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Samba]:
    with samba(tmp_path / "samba") as server:
        yield server


def through(gateway: Gateway, server: Samba, **changes: object) -> Store:
    known = {"host": "127.0.0.1", "port": server.port, "share": "share", "username": server.user}
    settings = {**known, "password": server.password, **changes}
    return Store(SmbConnector, settings, NetworkDialer(gateway.hub, NETWORK), idle_timeout=10.0)


async def test_verbs_through_a_tunnel(gateway: Gateway, make_agent: MakeAgent, server: Samba) -> None:
    await make_agent(f"127.0.0.1:{server.port}")
    await until(lambda: gateway.connected() == 1)
    content = os.urandom(20 * MIB)
    async with through(gateway, server).opened() as connector:
        full = cast("FullConnector", connector)
        folder = (await full.mkdir("", "Docs")).raw_id
        entry = await put(full, folder, "file", content)
        digest = hashlib.sha256()
        async for piece in (await full.read(entry.raw_id)).chunks:
            digest.update(piece)
        assert digest.digest() == hashlib.sha256(content).digest()
        assert await whole(full, entry.raw_id, Span(5 * MIB, 5 * MIB + 9)) == content[5 * MIB : 5 * MIB + 10]
        async with aclosing((await full.read(entry.raw_id)).chunks) as chunks:
            await anext(chunks)
        assert server.open_files() == []
        copied = await full.copy(entry.raw_id, folder, "copy")
        await full.move(copied.raw_id, "", "moved")
        upload = await full.begin_upload(folder, "parts", size=5, replace=False)
        tag = await full.write_part(upload.state, 1, pieces(b"bytes"), size=5)
        await full.complete_upload(upload.state, [Part(1, 5, tag)])
        assert await names(full, folder) == ["file", "parts"]
        await full.delete(folder, recursive=True)
        with pytest.raises(NotFound):
            await full.stat(folder)
        assert await names(full, "") == ["moved"]
    async with through(gateway, server, share="").opened() as connector:
        assert "share" in await names(connector, "")
    async with through(gateway, server, password="wrong").opened() as connector:
        with pytest.raises(BadCredential):
            await connector.stat("")


async def test_what_the_agent_may_not_reach(gateway: Gateway, make_agent: MakeAgent, server: Samba) -> None:
    async with through(gateway, server).opened() as connector:
        with pytest.raises(NetworkUnavailable):
            await connector.stat("")
    await make_agent(f"127.0.0.1:{free_port()}")
    await until(lambda: gateway.connected() == 1)
    async with through(gateway, server).opened() as connector:
        with pytest.raises(Unavailable) as told:
            await connector.stat("")
        assert "127.0.0.1" not in str(told.value)


async def test_an_agent_that_is_killed_in_a_transfer(
    gateway: Gateway, make_agent: MakeAgent, server: Samba
) -> None:
    agent = await make_agent(f"127.0.0.1:{server.port}")
    await until(lambda: gateway.connected() == 1)

    async def source() -> AsyncIterator[bytes]:
        yield b"a" * 2 * MIB
        await agent.kill()
        while True:
            yield b"a" * MIB
            await asyncio.sleep(0)

    async with through(gateway, server).opened() as connector, asyncio.timeout(30):
        # the session waits for an agent that comes back: broken or silent, either may be what we see
        with pytest.raises((Unavailable, TimedOut)):
            await connector.write("", "file", source(), size=None, replace=False)
    await until(lambda: os.listdir(server.data) == [])
