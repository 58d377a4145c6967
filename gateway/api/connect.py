"""`/connect` on the public port: an agent's websocket, relayed message by message to the worker's hub."""

import asyncio

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, WebSocketException

SUBPROTOCOL = "isthmus.tunnel.1"
_LARGEST = 2 * 1024 * 1024


async def connect(agent: WebSocket) -> None:
    """Both ways until either side closes. Back-pressure is each side's own: one message at a time."""
    if SUBPROTOCOL not in agent.scope.get("subprotocols", []):
        await agent.close(1002)
        return
    path = str(agent.app.state.settings.hub_socket)
    try:
        hub = await unix_connect(
            path,
            uri="ws://hub/connect",
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # a NewType of str
            compression=None,
            max_size=_LARGEST,
            ping_interval=None,
            write_limit=512 * 1024,
        )
    except (OSError, WebSocketException):
        await agent.close(1013)  # try again later
        return
    async with hub:
        await agent.accept(subprotocol=SUBPROTOCOL)
        async with asyncio.TaskGroup() as tasks:
            up = tasks.create_task(_up(agent, hub))
            down = tasks.create_task(_down(agent, hub))
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
            down.cancel()


async def _up(agent: WebSocket, hub: ClientConnection) -> None:
    try:
        while True:
            await hub.send(await agent.receive_bytes())
    except (WebSocketDisconnect, ConnectionClosed, KeyError):
        return


async def _down(agent: WebSocket, hub: ClientConnection) -> None:
    try:
        async for message in hub:
            if isinstance(message, bytes):
                await agent.send_bytes(message)
        await agent.close(hub.close_code or 1011)
    except (WebSocketDisconnect, ConnectionClosed, RuntimeError):
        return


ROUTES = [WebSocketRoute("/connect", connect)]
