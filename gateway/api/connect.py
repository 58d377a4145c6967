"""The websocket `/connect`: carries an agent's tunnel on to the worker's hub, message by message.

Nothing is read here: the two ends prove to each other who they are. A message is taken from one side when
the other side took the one before, so a slow end slows the other down and nothing piles up in between.
"""

import asyncio
import logging
from pathlib import Path

from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from gateway.api import errors
from gateway.api.call import PARTS, Parts

_log = logging.getLogger(__name__)
PROTOCOL = Subprotocol("isthmus.tunnel.1")
MOST_BYTES = 2 * 1024 * 1024
_OPEN_TIMEOUT = 10.0
_WRITE_BUFFER = 512 * 1024
_MESSAGES_AHEAD = 4
_GOING_AWAY, _UNSUPPORTED_DATA, _BROKEN, _TRY_AGAIN = 1001, 1003, 1006, 1013
_SENDABLE = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


class Ended(Exception):
    """One side closed: with this code and reason the other one is closed too."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


class AgentEnded(Ended):
    """The agent's side ended it."""


class HubEnded(Ended):
    """The hub's side, or we."""


class Relay:
    """The ASGI endpoint."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carries one tunnel until either side closes or breaks."""
        parts: Parts = scope[PARTS]
        await receive()  # websocket.connect
        if PROTOCOL not in scope["subprotocols"]:
            await _refuse(send, 400, "bad_request", f"the websocket's subprotocol must be {PROTOCOL}")
            return
        try:
            hub = await _open(parts.settings.hub_socket)
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
            _log.warning("no hub took the tunnel", extra={"cause": str(error)})
            await _refuse(send, 503, "service_error", "no worker took the tunnel; try again in a moment")
            return
        try:
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
            ended = await _carry(hub, receive, send)
        finally:
            await hub.close()
        _log.info("a tunnel ended", extra={"code": ended.code, "reason": ended.reason})


async def _open(path: Path) -> ClientConnection:
    return await unix_connect(
        str(path),
        uri="ws://hub/connect",
        subprotocols=[PROTOCOL],
        compression=None,
        max_size=MOST_BYTES,
        max_queue=_MESSAGES_AHEAD,
        write_limit=_WRITE_BUFFER,
        open_timeout=_OPEN_TIMEOUT,
        close_timeout=1.0,
        ping_interval=None,
        proxy=None,
    )


async def _carry(hub: ClientConnection, receive: Receive, send: Send) -> Ended:
    """Relays both ways until one side ends; then closes the other one, and says how it ended."""
    ended: list[Ended] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_to_hub(receive, hub), name="agent to hub")
            tasks.create_task(_to_agent(hub, send), name="hub to agent")
    except* Ended as group:
        ended += [error for error in group.exceptions if isinstance(error, Ended)]
    first = ended[0]
    code = first.code if first.code in _SENDABLE or 3000 <= first.code < 5000 else _GOING_AWAY
    if isinstance(first, AgentEnded):
        await hub.close(code, first.reason)
    else:
        await send({"type": "websocket.close", "code": code, "reason": first.reason})
    return first


async def _to_hub(receive: Receive, hub: ClientConnection) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            raise AgentEnded(message.get("code") or _BROKEN, message.get("reason") or "")
        if (piece := message.get("bytes")) is None:
            raise HubEnded(_UNSUPPORTED_DATA, "a tunnel carries binary messages alone")
        try:
            await hub.send(piece)
        except ConnectionClosed as error:
            raise _hub_ended(error) from error


async def _to_agent(hub: ClientConnection, send: Send) -> None:
    while True:
        try:
            piece = await hub.recv(decode=False)
        except ConnectionClosed as error:
            raise _hub_ended(error) from error
        try:
            await send({"type": "websocket.send", "bytes": piece})
        except OSError as error:  # what uvicorn raises for an agent that is gone
            raise AgentEnded(_BROKEN, "") from error


def _hub_ended(error: ConnectionClosed) -> HubEnded:
    """How the hub ended it; a hub that broke may be back in a moment."""
    if error.rcvd is not None:
        return HubEnded(error.rcvd.code, error.rcvd.reason)
    return HubEnded(_TRY_AGAIN, "the worker went away")


async def _refuse(send: Send, status: int, code: str, message: str) -> None:
    """Answers the handshake with an error of the API's shape."""
    response = errors.body(status, code, message)
    head = {"type": "websocket.http.response.start", "status": status, "headers": response.raw_headers}
    await send(head)
    await send({"type": "websocket.http.response.body", "body": response.body})


ROUTES = [WebSocketRoute("/connect", Relay())]
