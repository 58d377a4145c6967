"""The dialers: errors as the interface wants them, TLS inside the tunnel, sockets with back-pressure."""

import asyncio
import contextlib
import hashlib
import os
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from connectors.interface import BadAnswer, Dialer, StoreError, TimedOut, Unavailable, UntrustedHost
from gateway.tunnel import DirectDialer, NetworkDialer
from tests.gateway.tunnel.tunnels import NETWORK, Collect, Gateway, MakeAgent, certified, echo, send, until

MIB = 1024 * 1024


@pytest.fixture(params=["direct", "network"])
async def dialer(
    request: pytest.FixtureRequest, gateway: Gateway, make_agent: MakeAgent
) -> AsyncIterator[Dialer]:
    """Both dialers in turn: a connector can't tell them apart."""
    if request.param == "direct":
        yield DirectDialer()
        return
    await make_agent("127.0.0.0/8:*", "*.invalid:22")
    await until(lambda: gateway.connected() == 1)
    yield NetworkDialer(gateway.hub, NETWORK)


async def test_a_plain_connection(dialer: Dialer, store: int) -> None:
    transport, protocol = await dialer.connect(Collect, "127.0.0.1", store)
    sent = await send(transport, protocol, 4 * MIB)
    async with asyncio.timeout(20):
        await protocol.ended.wait()
    assert protocol.digest.digest() == sent
    transport.close()
    async with asyncio.timeout(5):
        assert await protocol.lost is None


async def test_tls_with_the_store_itself(dialer: Dialer, tmp_path: Path) -> None:
    made = certified(tmp_path, "store.example")
    async with echo(made.server) as port:
        transport, protocol = await dialer.connect(
            Collect, "127.0.0.1", port, tls=made.client, server_hostname="store.example"
        )
        piece = os.urandom(MIB)
        transport.write(piece)
        await until(lambda: protocol.size == MIB)
        assert protocol.digest.digest() == hashlib.sha256(piece).digest()
        assert transport.get_extra_info("ssl_object") is not None
        transport.abort()


async def test_a_certificate_for_another_name_is_not_trusted(dialer: Dialer, tmp_path: Path) -> None:
    made = certified(tmp_path, "other.example")
    async with echo(made.server) as port:
        with pytest.raises(UntrustedHost, match="another name") as caught:
            await dialer.connect(Collect, "127.0.0.1", port, tls=made.client)
    assert "127.0" not in str(caught.value)


async def test_tls_with_a_store_that_has_none(dialer: Dialer, store: int, tmp_path: Path) -> None:
    made = certified(tmp_path, "store.example")
    with pytest.raises(BadAnswer, match="TLS"):
        await dialer.connect(Collect, "127.0.0.1", store, tls=made.client)


async def test_a_socket_carries_both_directions_and_the_half_close(dialer: Dialer, store: int) -> None:
    sock = await dialer.open_socket("127.0.0.1", store)
    assert not sock.getblocking()
    reader, writer = await asyncio.open_connection(sock=sock)
    piece = os.urandom(4 * MIB)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        back = tasks.create_task(reader.read(-1))
        writer.write(piece)
        await writer.drain()
        writer.write_eof()
    assert back.result() == piece
    writer.close()


async def test_a_refused_port_and_an_unknown_name(dialer: Dialer) -> None:
    async with echo() as gone:
        pass
    for host, port, says in (("127.0.0.1", gone, "refused"), ("store.invalid", 22, "does not resolve")):
        for verb in (dialer.open_socket(host, port), dialer.connect(Collect, host, port)):
            with pytest.raises(Unavailable, match=says) as caught:
                await verb
            assert not re.search(r"\d\.\d|invalid", caught.value.message)


async def test_a_reader_that_stops_stops_the_store(gateway: Gateway, make_agent: MakeAgent) -> None:
    """What lies between a store that sends and a socket that nobody reads is bounded."""
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(OSError):
            while True:
                writer.write(bytes(256 * 1024))
                await writer.drain()
                sent += 256 * 1024

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await make_agent(f"127.0.0.1:{port}")
    await until(lambda: gateway.connected() == 1)
    sock = await NetworkDialer(gateway.hub, NETWORK).open_socket("127.0.0.1", port)
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.5)
    assert 0 < sent < 40 * MIB
    sock.close()
    await until(lambda: gateway.hub.tunnels()[0]["streams"] == 0)
    server.close()


async def test_a_lost_agent_ends_the_socket(gateway: Gateway, store: int, make_agent: MakeAgent) -> None:
    await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 1)
    sock = await NetworkDialer(gateway.hub, NETWORK).open_socket("127.0.0.1", store)
    await gateway.hub.drop_agent(1)
    async with asyncio.timeout(5):
        assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
    sock.close()


async def test_a_silent_host_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(self: object, sock: socket.socket, address: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", silent)
    with pytest.raises(TimedOut):
        await DirectDialer(timeout=0.05).open_socket("192.0.2.1", 22)


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch, store: int) -> None:
    async def two(self: object, host: str, port: int, **_: object) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("127.0.0.2", "127.0.0.1")
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", two)
    with await DirectDialer().open_socket("store.example", store) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"


def test_tls_in_a_tunnel_on_uvloop(tmp_path: Path) -> None:
    """The worker runs on uvloop, whose own TLS takes its own transports only."""

    class Pair:
        """A double of the hub: the stream is a plain connection."""

        async def dial(self, network: int, factory: Any, host: str, port: int, *, rider: Any) -> Any:
            return await asyncio.get_running_loop().create_connection(factory, host, port)

    async def work() -> None:
        made = certified(tmp_path, "store.example")
        async with echo(made.server) as port:
            dialer = NetworkDialer(Pair(), NETWORK)  # type: ignore[arg-type]  # a double
            transport, protocol = await dialer.connect(
                Collect, "127.0.0.1", port, tls=made.client, server_hostname="store.example"
            )
            transport.write(b"x" * MIB)
            await until(lambda: protocol.size == MIB)
            transport.close()
            async with asyncio.timeout(10):
                await protocol.lost
            with pytest.raises(UntrustedHost):
                await dialer.connect(Collect, "127.0.0.1", port, tls=made.client)
            with pytest.raises(StoreError):
                await DirectDialer().connect(Collect, "127.0.0.1", port, tls=made.client)

    uvloop.run(work())
