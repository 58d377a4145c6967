"""The worker process, as a parts list: state, private key, hub, open accounts, four sockets."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import uvicorn
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.asyncio.server import serve, unix_serve

from connect_agent.memory import keep_freed_memory
from connectors.interface import Dialer
from gateway import telemetry
from gateway.settings import Settings
from gateway.tunnel import DirectDialer, Hub, NetworkDialer
from gateway.worker import dialing
from gateway.worker.accounts import Accounts
from gateway.worker.app import Worker
from gateway.worker.calls import Calls
from gateway.worker.desk import Desk
from gateway.worker.events import collector
from gateway.worker.operations import uploads
from store import envelope, version
from store.engine import Database, open_database
from store.envelope import keyfiles, unseal
from store.errors import Outdated
from store.queries import networks
from store.queries import settings as sealed_settings

_log = logging.getLogger(__name__)
_SOCKET_BUFFER = 2 * 1024 * 1024
_IDS_CONTEXT = envelope.Context("settings", "ids", "sealed")


class LargeBuffers(HttpToolsProtocol):
    """uvicorn's protocol with socket buffers of 2 MiB: half the CPU a byte on this hop (DESIGN 3)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrower type
        """Widens the buffers, then goes on as usual."""
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        transport.set_write_buffer_limits(high=128 * 1024)
        super().connection_made(transport)


async def run(settings: Settings) -> None:
    """Serves until SIGTERM; then lets transfers finish for `drain_timeout` seconds."""
    async with AsyncExitStack() as stack:
        database = open_database(settings.database_url)
        stack.push_async_callback(database.aclose)
        try:
            await version.require_current(database)
        except Outdated as error:
            raise SystemExit(str(error)) from None
        sealing = envelope.SealingKey.load(settings.keys / "sealing.pub.pem")
        private = [unseal.UnsealingKey.load(settings.keys / "unsealing.key.pem")]
        async with database.session() as session:
            sealed = await sealed_settings.get(session, "ids")
        if sealed is None:
            raise SystemExit("the database has no id secret: run 'isthmus init' first")
        hub = Hub(
            _load_hub_key(settings.keys / "hub.key"),
            find_agent=lambda agent: _find_agent(database, agent),
            network_of=lambda agent: _network_of(database, agent),
            on_seen=lambda agent, policy: _saw_agent(database, agent, policy),
            network_name=lambda network: _network_name(database, network),
            linger=settings.session_linger,
            ping_deadline=settings.ping_deadline,
        )
        stack.push_async_callback(hub.aclose)
        direct = DirectDialer()

        def dialer_of(network: int | None, on_leave: Callable[[], None]) -> Dialer:
            return direct if network is None else NetworkDialer(hub, network, on_leave=on_leave)

        accounts = Accounts(
            database,
            sealing,
            private,
            unseal.unseal(sealed, _IDS_CONTEXT, private),
            dialer_of,
            settings.idle_timeout,
        )
        stack.push_async_callback(accounts.aclose)
        desk = Desk.furnished(settings, database=database, accounts=accounts, hub=hub, private=private)
        await desk.tasks.fail_lost()
        await _serve(settings, desk)


async def _serve(settings: Settings, desk: Desk) -> None:
    hub = desk.hub
    config = uvicorn.Config(
        cast("Any", Worker(desk)),
        http=LargeBuffers,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_keep_alive=600,
        timeout_graceful_shutdown=int(settings.drain_timeout),
    )
    server, calls = uvicorn.Server(config), Calls(desk)
    websocket: dict[str, Any] = {  # Any: three of websockets' own types
        "subprotocols": ["isthmus.tunnel.1"],
        "compression": None,
        "max_size": 2 * 1024 * 1024,
        "ping_interval": None,
        "write_limit": 512 * 1024,
    }
    async with AsyncExitStack() as stack:
        relayed = await unix_serve(hub.serve, _fresh(settings.hub_socket), **websocket)
        stack.callback(relayed.close)
        settings.hub_socket.chmod(0o660)
        if settings.tunnel_port is not None:
            agents = await serve(hub.serve, settings.host, settings.tunnel_port, **websocket)
            stack.callback(agents.close)
        async with asyncio.TaskGroup() as group:
            beside = (
                group.create_task(desk.accounts.close_unused(), name="close unused accounts"),
                group.create_task(uploads.clean_up(desk), name="clean up uploads"),
                group.create_task(desk.tasks.run(), name="tasks"),
                group.create_task(desk.trail.run(), name="audit of looks"),
                group.create_task(calls.serve(_listen(settings.calls_socket)), name="operations"),
                group.create_task(
                    dialing.serve(desk, _listen(settings.dial_socket)), name="the proxy's connections"
                ),
                group.create_task(desk.uses.run(), name="audit of credentials used"),
                group.create_task(desk.feeds.run(), name="events of other workers"),
                group.create_task(collector.run(desk), name="events of stores"),
            )
            await server.serve(sockets=[_listen(settings.worker_socket)])
            await calls.drain(settings.drain_timeout)
            for one in beside:
                one.cancel()
        desk.trail.sum_looks()
        await desk.uses.flush()
        await hub.drain()


def _fresh(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    path.unlink(missing_ok=True)
    return str(path)


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(_fresh(path))
    path.chmod(0o660)
    listening.listen(1024)
    return listening


def _load_hub_key(path: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise SystemExit(f"{path} is not an Ed25519 key: restore it from your backup")
    return key


async def _find_agent(database: Database, agent_id: int) -> bytes | None:
    async with database.session() as session:
        agent = await networks.agent(session, agent_id)
    return None if agent is None or agent.revoked else agent.public_key


async def _network_of(database: Database, agent_id: int) -> int | None:
    async with database.session() as session:
        agent = await networks.agent(session, agent_id)
    return None if agent is None or agent.revoked else agent.network_id


async def _network_name(database: Database, network_id: int) -> str | None:
    async with database.session() as session:
        network = await networks.fetch(session, network_id)
    return None if network is None else network.name


async def _saw_agent(database: Database, agent_id: int, policy: list[str]) -> None:
    async with database.session() as session:
        await networks.saw_agent(session, agent_id, json.dumps(policy), datetime.now(UTC))


def main(settings: Settings) -> None:
    """The process's entry; with separation enforced, none when others can read the private key."""
    telemetry.start("worker", settings.log_level)
    keep_freed_memory()
    private = keyfiles.KeyPaths.in_directory(settings.keys).private
    if settings.separation == "enforced" and (others := keyfiles.other_readers(private)):
        named = ", ".join(others)
        raise SystemExit(f"others can read the private key ({named}): see 'isthmus keys protect'")
    uvloop.run(run(settings))
