"""A hub with a websockets server, agents as processes, a store that echoes, and a link that can fail."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.server import serve

import connect_agent
from connect_agent.identity import Identity, to_base64
from connect_agent.settings import Settings
from gateway.tunnel import Hub

ROOT = Path(connect_agent.__file__).parents[1]
WEBSOCKET: dict[str, Any] = {
    "subprotocols": ["isthmus.tunnel.1"],
    "compression": None,
    "max_size": 2 * 1024 * 1024,
    "ping_interval": None,
    "write_limit": 512 * 1024,
}
NETWORK = 3


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    """Waits for a condition, with a deadline."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.02)


class Gateway:
    """The hub's process, but for the process."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.agents: dict[int, bytes] = {}
        self.seen: list[tuple[int, list[str]]] = []
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self._stop: Callable[[], Awaitable[None]] | None = None
        self.hub: Hub

    async def start(self, **options: Any) -> None:
        async def find(agent: int) -> bytes | None:
            return self.agents.get(agent)

        async def network_of(agent: int) -> int | None:
            return NETWORK

        async def saw(agent: int, policy: list[str]) -> None:
            self.seen.append((agent, policy))

        async def name(network: int) -> str | None:
            return "office"

        self.hub = Hub(
            self.key, find_agent=find, network_of=network_of, on_seen=saw, network_name=name, **options
        )
        server = await serve(self.hub.serve, "127.0.0.1", self.port, ssl=self.tls, **WEBSOCKET)
        self.port = next(iter(server.sockets)).getsockname()[1]

        async def stop() -> None:
            await self.hub.aclose()
            server.close()
            await server.wait_closed()

        self._stop = stop

    async def stop(self) -> None:
        if self._stop is not None:
            await self._stop()
            self._stop = None

    def connected(self) -> int:
        return sum(tunnel["connected"] for tunnel in self.hub.tunnels())


@dataclass
class AgentProcess:
    """`isthmus-agent run` as a process of its own."""

    config: Path
    process: asyncio.subprocess.Process | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.config.with_suffix(".log")

    async def command(self, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """Runs another command of the agent's; status, output, errors."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from connect_agent.cli import main; main()",
            *words,
            "--config",
            str(self.config),
            env=_environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                "from connect_agent.cli import main; main()",
                "run",
                "--config",
                str(self.config),
                env=_environment(),
                stderr=log,
            )

    async def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    async def exit_status(self, within: float = 10.0) -> int:
        assert self.process is not None
        async with asyncio.timeout(within):
            return await self.process.wait()

    async def status(self) -> dict[str, Any]:
        _, out, _ = await self.command("status", "--json")
        found: dict[str, Any] = json.loads(out)
        return found

    def said(self, text: str) -> bool:
        return text in self.log.read_text()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}  # noqa: TID251  # a child's
    return {**kept, "PYTHONPATH": str(ROOT)}


class Link:
    """A TCP relay between agent and hub that can be cut, or go dead without a word."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.up = asyncio.Event()
        self.up.set()
        self._pairs: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Link"]:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.up.set()
            self.cut()
            await asyncio.sleep(0.05)

    def cut(self) -> None:
        """Every connection is reset."""
        for writer in list(self._pairs):
            writer.transport.abort()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there = await asyncio.open_connection("127.0.0.1", self.target)
            self._pairs |= {writer, there[1]}
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._pump(reader, there[1]))
                    tasks.create_task(self._pump(there[0], writer))
            except* OSError:
                pass
            finally:
                for end in (writer, there[1]):
                    self._pairs.discard(end)
                    end.transport.abort()
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self.up.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


class Collect(asyncio.Protocol):
    """Counts and hashes what arrives."""

    def __init__(self) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self.ended = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.room = asyncio.Event()
        self.room.set()

    def data_received(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)

    def eof_received(self) -> bool:
        self.ended.set()
        return True

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.room.set()
        if not self.lost.done():
            self.lost.set_result(exc)


async def send(transport: asyncio.Transport, protocol: Collect, size: int, *, pace: float = 0.0) -> bytes:
    """Writes `size` bytes with back-pressure, then ends; their digest."""
    digest = hashlib.sha256()
    piece = os.urandom(128 * 1024)
    left = size
    while left:
        data = piece[:left]
        digest.update(data)
        await protocol.room.wait()
        transport.write(data)
        left -= len(data)
        await asyncio.sleep(pace)
    transport.write_eof()
    return digest.digest()


@contextlib.asynccontextmanager
async def echo(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A store that sends back what it gets."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def store() -> AsyncIterator[int]:
    async with echo() as port:
        yield port


type MakeAgent = Callable[..., Awaitable[AgentProcess]]


@pytest.fixture
async def make_agent(gateway: Gateway, tmp_path: Path) -> AsyncIterator[MakeAgent]:
    """Writes an agent's files as `join` would, and starts it unless told not to."""
    made: list[AgentProcess] = []

    async def make(*allow: str, agent_id: int = 0, start: bool = True, **changes: Any) -> AgentProcess:
        agent_id = agent_id or len(made) + 1
        folder = tmp_path / f"agent{agent_id}"
        identity = Identity.create()
        identity.save(folder / "agent.key")
        gateway.agents.setdefault(agent_id, identity.public_key)
        values: dict[str, Any] = {
            "gateway": f"http://127.0.0.1:{gateway.port}",
            "connect": (f"ws://127.0.0.1:{gateway.port}/connect",),
            "agent_id": agent_id,
            "network": "office",
            "hub_public_key": to_base64(gateway.key.public_key().public_bytes_raw()),
            "allow": allow,
            "backoff_cap": 1.0,
        }
        Settings(path=folder / "agent.toml", **{**values, **changes}).save()
        agent = AgentProcess(folder / "agent.toml")
        made.append(agent)
        if start:
            await agent.start()
        return agent

    yield make
    for agent in made:
        if agent.process is not None:
            await agent.kill()


def elapsed(since: float) -> float:
    return time.monotonic() - since
