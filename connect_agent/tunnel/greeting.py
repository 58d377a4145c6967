"""The handshake at both ends: each proves its key before a byte of a stream goes either way."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connect_agent.protocol import NO_SESSION, AgentHandshake, HubHandshake, Welcome
from connect_agent.tunnel.websocket import Websocket, receive, send

_HANDSHAKE = 15.0


@dataclass(frozen=True, slots=True)
class Greeting:
    """Who came through the handshake at the hub, and with which session it goes on."""

    agent: int
    policy: list[str]
    session: bytes
    resumed: bool


async def greet_as_agent(
    websocket: Websocket,
    *,
    agent: int,
    key: Ed25519PrivateKey,
    hub_key: bytes,
    policy: list[str],
    session: bytes = NO_SESSION,
) -> Welcome:
    """The handshake from inside. Raises PeerFault (not our hub), TunnelLost, TimeoutError."""
    handshake = AgentHandshake(agent, key, hub_key, os.urandom(32), session)
    async with asyncio.timeout(_HANDSHAKE):
        await send(websocket, handshake.hello())
        challenge = await receive(websocket)
        await send(websocket, handshake.prove(challenge, json.dumps(policy)))
        return handshake.welcome(await receive(websocket))


async def greet_as_hub(
    websocket: Websocket,
    *,
    key: Ed25519PrivateKey,
    hub: str,
    find_agent: Callable[[int], Awaitable[bytes | None]],
    resumable: Callable[[int, bytes], bool],
) -> Greeting:
    """The handshake at the hub; an agent that nobody knows fails exactly like one with a wrong key.

    Raises PeerFault, TunnelLost, TimeoutError.
    """
    handshake = HubHandshake(key, os.urandom(32))
    async with asyncio.timeout(_HANDSHAKE):
        hello = handshake.read_hello(await receive(websocket))
        await send(websocket, handshake.challenge(hello))
        proof = await receive(websocket)
        policy = handshake.check(proof, await find_agent(hello.agent) or bytes(32))
        resumed = hello.session != NO_SESSION and resumable(hello.agent, hello.session)
        session = hello.session if resumed else os.urandom(16)
        await send(websocket, handshake.welcome(session, hub, resumed=resumed))
        return Greeting(hello.agent, policy, session, resumed)
