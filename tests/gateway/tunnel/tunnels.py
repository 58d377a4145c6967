"""A hub with a websockets server, agents as processes, a store that echoes, a link and a proxy."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import ssl
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import serve

import connect_agent
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

    async def knows_it_is_connected(self) -> None:
        """Waits until the agent itself says so: the hub knows a moment before it."""
        async with asyncio.timeout(10):
            while not (await self.status())["connected"]:
                await asyncio.sleep(0.05)

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


type MakeAgent = Callable[..., Awaitable[AgentProcess]]


def elapsed(since: float) -> float:
    return time.monotonic() - since


class ConnectProxy:
    """An HTTP proxy for CONNECT, which may want a name and password."""

    def __init__(self, login: str = "") -> None:
        self.port = 0
        self.served: list[str] = []
        self._wanted = b64encode(login.encode()).decode() if login else ""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["ConnectProxy"]:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            target = head.split()[1]
            if self._wanted and f"Basic {self._wanted}" not in head:
                writer.write(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n"
                    b"Content-Length: 0\r\n\r\n"
                )
                writer.close()
                return
            self.served.append(target)
            host, _, port = target.rpartition(":")
            there = await asyncio.open_connection("127.0.0.1" if host == "gateway.test" else host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, there[1]))
                tasks.create_task(self._pump(there[0], writer))
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@dataclass(frozen=True)
class Certified:
    """A certificate authority and a certificate of its own for one name."""

    ca_file: Path
    server: ssl.SSLContext
    client: ssl.SSLContext
    fingerprint: str


def certified(folder: Path, name: str) -> Certified:
    """Makes both, in files."""
    now = datetime.now(UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of this test")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder(ca_name, subject, public, x509.random_serial_number())
        return made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=30))

    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    ca = (
        builder(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(private + leaf.public_bytes(Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return Certified(
        folder / "ca.pem",
        server,
        ssl.create_default_context(cafile=folder / "ca.pem"),
        leaf.fingerprint(hashes.SHA256()).hex(),
    )
