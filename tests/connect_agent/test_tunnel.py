"""A session over real websockets: bytes arrive exactly, whatever happens to the websocket."""

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from connect_agent.protocol import NO_SESSION, Code, PeerFault, Role, Session
from connect_agent.tunnel import Carrier, Refusal, TunnelLost, greet_as_agent, greet_as_hub

SETTINGS = {"compression": None, "ping_interval": None, "max_size": 2**21, "write_limit": 2**19}


class Pair:
    """A hub and an agent in this process, on a real websocket that a test may cut."""

    def __init__(self) -> None:
        self.hub_key = Ed25519PrivateKey.generate()
        self.agent_key = Ed25519PrivateKey.generate()
        self.hub = Carrier(Session(Role.HUB), ping_deadline=15)
        self.agent = Carrier(Session(Role.AGENT), answer=self._dial, ping_deadline=15)
        self.session = NO_SESSION
        self.up = asyncio.Event()
        self.cuts = 0

    async def _dial(self, host: str, port: int) -> socket.socket:
        if host == "denied":
            raise Refusal(Code.NOT_ALLOWED, "not on the allow-list")
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return sock

    async def serve(self, websocket: ServerConnection) -> None:
        async def find(agent: int) -> bytes | None:
            return self.agent_key.public_key().public_bytes_raw() if agent == 7 else None

        try:
            greeting = await greet_as_hub(
                websocket,
                key=self.hub_key,
                hub="h1",
                find_agent=find,
                resumable=lambda agent, session: session == self.session,
            )
            self.session = greeting.session
            self.up.set()
            await self.hub.carry(websocket)
        except (TunnelLost, PeerFault):
            pass

    async def keep_connected(self, port: int) -> None:
        session = NO_SESSION
        while True:
            with suppress(TunnelLost, OSError):
                async with connect(f"ws://127.0.0.1:{port}", **SETTINGS) as websocket:  # type: ignore[arg-type]
                    welcome = await greet_as_agent(
                        websocket,
                        agent=7,
                        key=self.agent_key,
                        hub_key=self.hub_key.public_key().public_bytes_raw(),
                        policy=["a:1"],
                        session=session,
                    )
                    assert welcome.resumed == (session != NO_SESSION)
                    session = welcome.session
                    self.websocket = websocket
                    await self.agent.carry(websocket)
            await asyncio.sleep(0.01)

    def cut(self) -> None:
        self.cuts += 1
        self.websocket.transport.abort()


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    async with serve(made.serve, "127.0.0.1", 0, **SETTINGS) as server, asyncio.TaskGroup() as tasks:  # type: ignore[arg-type]
        port = next(iter(server.sockets)).getsockname()[1]
        connected = tasks.create_task(made.keep_connected(port))
        await made.up.wait()
        yield made
        connected.cancel()
        await made.hub.aclose()
        await made.agent.aclose()
        await asyncio.sleep(0)


class Collect(asyncio.Protocol):
    """Takes everything and hashes it."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self.done = asyncio.get_running_loop().create_future()
        self.room = asyncio.Event()
        self.room.set()

    def data_received(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)

    def eof_received(self) -> bool:
        if not self.done.done():
            self.done.set_result(True)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError())

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(2**18):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _send_through(made: Pair, port: int, size: int) -> tuple[bytes, Collect]:
    transport, collect = await made.hub.connect(Collect, "store", port, 5)
    sent = hashlib.sha256()
    for _ in range(size // 2**18):
        piece = os.urandom(1024) * 256
        sent.update(piece)
        transport.write(piece)
        await collect.room.wait()
        await asyncio.sleep(0)
    transport.write_eof()
    async with asyncio.timeout(60):
        await collect.done
    transport.close()
    return sent.digest(), collect


async def test_bytes_come_back_exactly_and_half_close_works() -> None:
    async with echo() as port, pair() as made:
        sent, collect = await _send_through(made, port, 8 * 2**20)
        assert collect.size == 8 * 2**20
        assert collect.digest.digest() == sent


async def test_no_byte_is_lost_or_doubled_when_the_websocket_is_cut_again_and_again() -> None:
    async with echo() as port, pair() as made:

        async def cut_often() -> None:
            while True:
                await asyncio.sleep(0.05)
                made.cut()

        async with asyncio.TaskGroup() as tasks:
            cutting = tasks.create_task(cut_often())
            sent, collect = await _send_through(made, port, 64 * 2**20)
            cutting.cancel()
        assert made.cuts > 3
        assert made.hub.resumes > 3
        assert collect.size == 64 * 2**20
        assert collect.digest.digest() == sent


async def test_a_refusal_carries_the_agents_reason() -> None:
    async with pair() as made:
        with pytest.raises(Refusal, match="allow-list") as refused:
            await made.hub.connect(Collect, "denied", 1, 5)
        assert refused.value.code is Code.NOT_ALLOWED
        assert made.hub.streams == 0


async def test_a_slow_reader_stops_only_its_own_stream() -> None:
    async with echo() as port, pair() as made:
        slow, collect = await made.hub.connect(Collect, "store", port, 5)
        slow.pause_reading()
        for _ in range(200):
            slow.write(bytes(2**18))
        sent, other = await _send_through(made, port, 2 * 2**20)
        assert other.digest.digest() == sent
        assert collect.size == 0
        slow.abort()


async def test_expiry_breaks_the_streams() -> None:
    async with echo() as port, pair() as made:
        _, collect = await made.hub.connect(Collect, "store", port, 5)
        made.hub.expire()
        with pytest.raises(ConnectionResetError):
            await collect.done


async def test_an_agent_that_nobody_knows_is_refused() -> None:
    async with pair() as made:
        stranger = Pair()
        stranger.hub_key = made.hub_key
        server = await serve(made.serve, "127.0.0.1", 0, **SETTINGS)  # type: ignore[arg-type]
        async with server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}", **SETTINGS) as websocket:  # type: ignore[arg-type]
                with pytest.raises(TunnelLost):
                    await greet_as_agent(
                        websocket,
                        agent=7,
                        key=stranger.agent_key,
                        hub_key=made.hub_key.public_key().public_bytes_raw(),
                        policy=[],
                    )


async def test_a_hub_with_another_key_is_refused() -> None:
    async with pair() as made, serve(made.serve, "127.0.0.1", 0, **SETTINGS) as server:  # type: ignore[arg-type]
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", **SETTINGS) as websocket:  # type: ignore[arg-type]
            with pytest.raises(PeerFault, match="another key"):
                await greet_as_agent(websocket, agent=7, key=made.agent_key, hub_key=bytes(32), policy=[])
