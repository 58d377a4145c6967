"""The agent at work: keeps a tunnel to each hub, whatever the line between does.

A session outlives its websocket: after a break the loop connects again, and the session goes on. Only a hub
that has proved itself can say that this agent was revoked; that ends the loop, all else is tried again.
"""

import asyncio
import logging
import random
import signal
import time
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from connect_agent.identity import Identity
from connect_agent.protocol import PeerFault, Role, Session
from connect_agent.running import Agent, Tunnel
from connect_agent.settings import Settings, SettingsError
from connect_agent.status import keep_status, save_status
from connect_agent.tunnel import Carrier, SessionEnded, TunnelLost, greet_as_agent
from connect_agent.way import describe, open_websocket, shut

_log = logging.getLogger(__name__)

REVOKED = 4403  # websocket close code: the hub does not know this agent, or no longer
_FIRST_BACKOFF = 0.5
_STEADY = 20.0  # a tunnel that stood this long starts the backoff anew
_LOOK_AT_SETTINGS = 1.0


class Revoked(Exception):
    """The gateway does not know this agent any more."""


async def run(settings: Settings, identity: Identity) -> None:
    """Keeps the tunnels until SIGTERM or SIGINT; then lets streams finish. Raises Revoked."""
    agent = Agent(settings, identity)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _log.info("agent %d of network %s, allows %s", settings.agent_id, settings.network, agent.policy.texts())
    revoked: Revoked | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(keep_connected(agent, tunnel)) for tunnel in agent.tunnels]
            running.append(tasks.create_task(_follow_settings(agent)))
            running.append(tasks.create_task(keep_status(agent)))
            await stop.wait()
            await _drain(agent)
            for task in running:
                task.cancel()
    except* Revoked as told:
        revoked = Revoked(str(told.exceptions[0]))
    for tunnel in agent.tunnels:
        tunnel.forget_session()
    save_status(agent, running=False, note=str(revoked or "stopped"))
    if revoked is not None:
        raise revoked


async def keep_connected(agent: Agent, tunnel: Tunnel) -> None:
    """The loop: connect, and after a break connect again with growing, randomised pauses. Raises Revoked."""
    attempt = 0
    while not agent.stopping:
        started = time.monotonic()
        drained = False
        try:
            await connect_once(agent, tunnel)
        except TunnelLost as lost:
            drained = tunnel.carrier is not None and tunnel.carrier.draining
            tunnel.error = f"the tunnel broke: {lost}"
        except (PeerFault, SessionEnded, ExceptionGroup) as fault:
            tunnel.forget_session()
            tunnel.error = str(fault)
        except (OSError, WebSocketException, SettingsError) as error:
            tunnel.error = describe(error)
        if drained and tunnel.carrier is not None:
            tunnel.carrier.draining = False
        attempt = 0 if drained or time.monotonic() - started > _STEADY else attempt + 1
        pause = backoff(attempt, agent.settings.backoff_cap)
        if not agent.stopping:
            _log.warning("%s: %s; next attempt in %.1f s", tunnel.url, tunnel.error, pause)
            await asyncio.sleep(pause)


async def connect_once(agent: Agent, tunnel: Tunnel) -> None:
    """One websocket from its opening to its end, which is always an error.

    Raises TunnelLost (the session lives on), Revoked, PeerFault (not our hub, or it broke a rule),
    SessionEnded, OSError and WebSocketException (it did not open).
    """
    settings = agent.settings
    websocket = await open_websocket(settings, tunnel.url)
    try:
        with_count = _Counting(websocket)
        try:
            welcome = await greet_as_agent(
                with_count,
                agent=settings.agent_id,
                key=agent.identity.key,
                hub_key=settings.hub_key,
                policy=agent.policy.texts(),
                session=tunnel.session,
            )
        except TunnelLost as lost:
            if with_count.sent > 1:  # our proof goes out only after the hub's was good
                _check_revoked(websocket)
            raise TunnelLost("the gateway closed the websocket before it let us in") from lost
        if any(
            other.connected and other.hub == welcome.hub for other in agent.tunnels if other is not tunnel
        ):
            raise SessionEnded("this is a hub that another tunnel of ours leads to")
        if tunnel.carrier is None or not welcome.resumed:
            tunnel.forget_session()
            tunnel.carrier = Carrier(
                Session(Role.AGENT), answer=agent.dialler.open_socket, ping_deadline=settings.ping_deadline
            )
        tunnel.session, tunnel.hub, tunnel.websocket = welcome.session, welcome.hub, websocket
        tunnel.since, tunnel.error = time.time(), ""
        _log.info("connected to %s%s", tunnel.url, ", the session goes on" if welcome.resumed else "")
        try:
            await tunnel.carrier.carry(websocket)
        except TunnelLost:
            _check_revoked(websocket)
            _expire_later(tunnel, settings.linger)
            raise
    finally:
        tunnel.websocket = None
        await shut(websocket)


def backoff(attempt: int, cap: float) -> float:
    """A random pause below a bound that doubles with each attempt: those who failed together return apart."""
    if attempt == 0:
        return 0.0
    bound = min(cap, _FIRST_BACKOFF * 2.0 ** min(attempt - 1, 30))
    return random.uniform(0, bound)  # noqa: S311  # spreads load, guards nothing


class _Counting:
    """A websocket that counts what was sent, so that a handshake that failed shows how far it came."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self.sent = 0

    async def send(self, message: bytes) -> None:
        await self._websocket.send(message)
        self.sent += 1

    async def recv(self) -> Any:
        return await self._websocket.recv()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._websocket.close(code, reason)


def _check_revoked(websocket: ClientConnection) -> None:
    if websocket.close_code == REVOKED:
        raise Revoked(
            "the gateway does not know this agent any more: it was revoked; to come back, join anew with a "
            "token of 'isthmus network invite' and --replace"
        )


def _expire_later(tunnel: Tunnel, linger: float) -> None:
    """Ends the session unless a websocket carries it again by then: the hub has forgotten it too."""
    carrier = tunnel.carrier
    detached = carrier.detached_since if carrier is not None else None

    def expire() -> None:
        if carrier is not None and carrier is tunnel.carrier and carrier.detached_since == detached:
            tunnel.forget_session()

    asyncio.get_running_loop().call_later(linger, expire)


async def _drain(agent: Agent) -> None:
    """Asks for no new streams, waits for the running ones, closes. At most `drain_timeout` seconds."""
    agent.stopping = True
    carriers = [tunnel.carrier for tunnel in agent.tunnels if tunnel.carrier is not None]
    for carrier in carriers:
        carrier.drain()
    _log.info("stopping: %d streams may finish", sum(carrier.streams for carrier in carriers))
    deadline = time.monotonic() + agent.settings.drain_timeout
    while any(c.streams and c.live for c in carriers) and time.monotonic() < deadline:  # noqa: ASYNC110  # they end anywhere
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.05)  # the DRAIN itself is on its way even when nothing else was
    for tunnel in agent.tunnels:
        if tunnel.websocket is not None:
            await shut(tunnel.websocket)


async def _follow_settings(agent: Agent) -> None:
    """Takes up changes of the allow-list; a file that can't be read changes nothing."""
    seen = _stamp(agent.settings)
    while True:
        await asyncio.sleep(_LOOK_AT_SETTINGS)
        now = _stamp(agent.settings)
        if now == seen:
            continue
        seen = now
        try:
            fresh = Settings.load(agent.settings.path)
        except SettingsError as error:
            _log.error("the settings changed but can't be used, the former ones stay: %s", error)
            continue
        if fresh.allow == agent.settings.allow:
            continue
        agent.settings = fresh
        agent.policy = fresh.policy()
        _log.info("the allow-list is now %s", agent.policy.texts())
        for tunnel in agent.tunnels:
            if tunnel.carrier is not None:
                tunnel.carrier.tell_policy(agent.policy.texts())


def _stamp(settings: Settings) -> tuple[int, int]:
    try:
        found = settings.path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)
