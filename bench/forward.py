"""The tunnel by itself, as a forwarded port: the hub in this process, an agent as users run it.

python -m bench.forward prepare FOLDER HUB_PORT TARGET_PORT     the agent's files, as `join` writes them
python -m bench.forward run FOLDER HUB_PORT LISTEN_PORT TARGET_PORT
"""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.server import serve

from connect_agent.identity import Identity, to_base64
from connect_agent.memory import keep_freed_memory
from connect_agent.settings import Settings
from connectors.interface import StoreError
from gateway.tunnel import Hub
from gateway.tunnel.dial import RelayEnd

_NETWORK, _AGENT = 1, 1
_WEBSOCKET: dict[str, Any] = {
    "subprotocols": ["isthmus.tunnel.1"],
    "compression": None,
    "max_size": 2 * 1024 * 1024,
    "ping_interval": None,
    "write_limit": 512 * 1024,
}


def prepare(folder: Path, hub: int, target: int) -> None:
    """Writes the agent's files and the hub's key."""
    key = Ed25519PrivateKey.generate()
    (folder / "hub").write_bytes(key.private_bytes_raw())
    identity = Identity.create()
    identity.save(folder / "agent.key")
    (folder / "agent.pub").write_bytes(identity.public_key)
    Settings(
        path=folder / "agent.toml",
        gateway=f"http://127.0.0.1:{hub}",
        connect=(f"ws://127.0.0.1:{hub}/connect",),
        agent_id=_AGENT,
        network="bench",
        hub_public_key=to_base64(key.public_key().public_bytes_raw()),
        allow=(f"127.0.0.1:{target}",),
    ).save()


async def run(folder: Path, hub_port: int, listen: int, target: int) -> None:
    """Serves until it is stopped; listens for clients once the agent is there."""
    agent_key = (folder / "agent.pub").read_bytes()

    async def find(agent: int) -> bytes | None:
        return agent_key if agent == _AGENT else None

    async def network_of(agent: int) -> int | None:
        return _NETWORK

    key = Ed25519PrivateKey.from_private_bytes((folder / "hub").read_bytes())
    hub = Hub(key, find_agent=find, network_of=network_of)
    async with serve(hub.serve, "127.0.0.1", hub_port, **_WEBSOCKET), asyncio.TaskGroup() as tasks:
        while not any(tunnel["connected"] for tunnel in hub.tunnels()):
            await asyncio.sleep(0.02)

        async def join(sock: socket.socket) -> None:
            try:
                _, end = await hub.dial(_NETWORK, RelayEnd, "127.0.0.1", target)
            except StoreError:
                sock.close()
                return
            other = RelayEnd(peer=end)
            end.peer = other
            await loop.create_connection(lambda: other, sock=sock)
            end.begin()

        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", listen)) as listening:
            listening.setblocking(False)
            while True:
                sock, _ = await loop.sock_accept(listening)
                tasks.create_task(join(sock))


def main() -> None:
    """The command."""
    verb, folder, *ports = sys.argv[1:]
    if verb == "prepare":
        prepare(Path(folder), *map(int, ports))
    else:
        keep_freed_memory()
        uvloop.run(run(Path(folder), *map(int, ports)))


if __name__ == "__main__":
    main()
