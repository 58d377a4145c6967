"""What a tunnel needs of a websocket: whole binary messages, and one error when it breaks."""

from typing import Any, Protocol

from websockets.exceptions import ConnectionClosed

from connect_agent.protocol import PeerFault
from connect_agent.tunnel.errors import TunnelLost


class Websocket(Protocol):
    """What a tunnel needs of a websockets connection."""

    async def send(self, message: bytes) -> None:
        """Sends one binary message; returns when more may follow."""

    async def recv(self) -> Any:
        """The next message."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes it."""


async def send(websocket: Websocket, message: bytes) -> None:
    """Sends one message; returns when the next may follow. Raises TunnelLost."""
    try:
        await websocket.send(message)
    except ConnectionClosed as closed:
        raise TunnelLost(str(closed)) from closed


async def receive(websocket: Websocket) -> bytes:
    """The next message. Raises TunnelLost, PeerFault for a text message."""
    try:
        message = await websocket.recv()
    except ConnectionClosed as closed:
        raise TunnelLost(str(closed)) from closed
    if not isinstance(message, bytes):
        raise PeerFault("a text message: the protocol is binary")
    return message
