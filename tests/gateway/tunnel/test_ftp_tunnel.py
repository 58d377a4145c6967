"""FTP through a real tunnel: control and data connections reach a server that only the agent may reach."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.conformance import Store
from connectors.conformance.kit import FullConnector, names, pieces, put, whole
from connectors.ftp import FtpConnector
from connectors.interface import Dialer, NetworkUnavailable, NotFound, Span, TimedOut, Unavailable
from gateway.tunnel import NetworkDialer
from tests.gateway.tunnel.tunnels import NETWORK, Gateway, MakeAgent, until
from tests.servers import proftpd as pro
from tests.servers import vsftpd as vs
from tests.servers.proftpd import Proftpd, proftpd
from tests.servers.vsftpd import PASSIVE_PORTS, Vsftpd, vsftpd

pytestmark = pytest.mark.server

MIB = 1024 * 1024


def store(server: Proftpd | Vsftpd, dialer: Dialer, idle_timeout: float = 10.0) -> Store:
    who = pro if isinstance(server, Proftpd) else vs
    known = {"host": "localhost", "port": server.port, "username": who.USER, "password": who.PASSWORD}
    tls = "none" if server.ca is None else "explicit"
    return Store(FtpConnector, {**known, "tls": tls, "ca": server.ca}, dialer, idle_timeout)


def through(gateway: Gateway, server: Proftpd | Vsftpd, idle_timeout: float = 10.0) -> Store:
    return store(server, NetworkDialer(gateway.hub, NETWORK), idle_timeout)


async def verbs(connector: Any) -> None:
    """A handful; what they do is the same as without a tunnel."""
    full, content = cast("FullConnector", connector), os.urandom(20 * MIB)
    folder = (await full.mkdir("", "Docs")).raw_id
    await full.write(folder, "file", pieces(content, 262_144), size=None, replace=False)
    digest = hashlib.sha256()
    async for piece in (await full.read(f"{folder}/file")).chunks:
        digest.update(piece)
    assert digest.digest() == hashlib.sha256(content).digest()
    assert await whole(full, f"{folder}/file", Span(5 * MIB, 5 * MIB + 9)) == content[5 * MIB : 5 * MIB + 10]
    async with aclosing(cast("Any", (await full.read(f"{folder}/file")).chunks)) as chunks:
        await anext(chunks)
    await put(full, folder, "file", b"replaced", replace=True)
    await full.move(f"{folder}/file", "", "moved")
    assert await names(full, "") == ["Docs", "moved"]
    await full.delete(folder, recursive=True)
    with pytest.raises(NotFound):
        await full.stat(folder)


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])  # the worker's: its TLS is for its own transports
@pytest.mark.parametrize("kind", ["vsftpd over TLS", "proftpd"])
async def test_verbs_through_a_tunnel(
    kind: str, gateway: Gateway, make_agent: MakeAgent, tmp_path: Path
) -> None:
    made = vsftpd(tmp_path / "server", tls=True) if "TLS" in kind else proftpd(tmp_path / "server")
    with made as server:
        await make_agent(f"127.0.0.1:{server.port}", f"127.0.0.1:{PASSIVE_PORTS}")
        await until(lambda: gateway.connected() == 1)
        async with through(gateway, server).opened() as connector:
            await verbs(connector)
        await until(lambda: gateway.hub.tunnels()[0]["streams"] == 0)


async def test_passive_ports_that_the_agent_may_not_reach(
    gateway: Gateway, make_agent: MakeAgent, tmp_path: Path
) -> None:
    with proftpd(tmp_path / "server") as server:
        async with through(gateway, server).opened() as connector:
            with pytest.raises(NetworkUnavailable):
                await connector.stat("")
        await make_agent(f"127.0.0.1:{server.port}")
        await until(lambda: gateway.connected() == 1)
        async with through(gateway, server).opened() as connector:
            await connector.stat("")
            with pytest.raises(Unavailable, match="passive port") as told:
                await connector.list("", None, 10)
            assert "127.0.0.1" not in str(told.value)


async def test_an_agent_that_is_killed_in_a_transfer(
    gateway: Gateway, make_agent: MakeAgent, tmp_path: Path
) -> None:
    with proftpd(tmp_path / "server") as server:
        agent = await make_agent(f"127.0.0.1:{server.port}", f"127.0.0.1:{PASSIVE_PORTS}")
        await until(lambda: gateway.connected() == 1)

        async def source() -> AsyncIterator[bytes]:
            yield b"a" * 2 * MIB
            await agent.kill()
            while True:
                yield b"a" * MIB
                await asyncio.sleep(0)

        async with through(gateway, server, 2.0).opened() as connector, asyncio.timeout(60):
            # the session waits for an agent that comes back: broken or silent, either may be what we see
            with pytest.raises((Unavailable, TimedOut)):
                await connector.write("", "file", source(), size=None, replace=False)
