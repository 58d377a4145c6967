"""The agent at work: join once, then keep a tunnel to each hub, whatever the line between does.

A session outlives its websocket: after a break the loop connects again, and the session goes on. Only a hub
that has proved itself can say that this agent was revoked; that ends the loop, all else is tried again.
"""

import asyncio
import http.client
import json
import logging
import os
import random
import signal
import ssl
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidProxyStatus, InvalidStatus, WebSocketException

from connect_agent.dial import Dialler
from connect_agent.identity import Identity, JoinToken, fingerprint, from_base64, to_base64, write_private
from connect_agent.policy import Policy
from connect_agent.protocol import NO_SESSION, SUBPROTOCOL, PeerFault, Role, Session
from connect_agent.settings import Proxy, Settings, SettingsError
from connect_agent.tunnel import Carrier, SessionEnded, TunnelLost, greet_as_agent

_log = logging.getLogger(__name__)

REVOKED = 4403  # websocket close code: the hub does not know this agent, or no longer
_HUBS = 2
_OPEN_TIMEOUT = 20.0
_FIRST_BACKOFF = 0.5
_STEADY = 20.0  # a tunnel that stood this long starts the backoff anew
_LOOK_AT_SETTINGS = 1.0
_WRITE_STATUS = 5.0
_MOST_JSON = 1024 * 1024


class JoinError(Exception):
    """The gateway was not reached or did not let us join; the message says what to do."""


class Revoked(Exception):
    """The gateway does not know this agent any more."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the gateway is reached: through which proxy, trusting whom, insisting on which certificate."""

    proxy: Proxy | None
    tls: ssl.SSLContext
    pin: str = ""

    def check_pin(self, secured: Any) -> None:
        """Raises SSLError unless the TLS object or socket was shown the pinned certificate."""
        if not self.pin:
            return
        der = secured.getpeercert(binary_form=True) if secured is not None else None
        if der is None or fingerprint(der) != self.pin:
            raise ssl.SSLError("the gateway's certificate is not the pinned one")


@dataclass(frozen=True, slots=True)
class Joined:
    """What the gateway said to a join."""

    agent_id: int
    network: str
    hub_public_key: bytes
    connect: tuple[str, ...]


def enrol(token: JoinToken, public_key: bytes, name: str, way: Way) -> Joined:
    """Uses the token up: registers the public key. Blocks; meant for the command line. Raises JoinError."""
    asked = {"secret": token.secret, "public_key": to_base64(public_key), "name": name}
    try:
        code, text = _post(f"{token.gateway}/connect/enrol", json.dumps(asked).encode(), way)
    except (OSError, http.client.HTTPException) as error:
        raise JoinError(f"the gateway {token.gateway} was not reached: {describe(error)}") from error
    try:
        answer = json.loads(text)
        if code != 200:
            said = answer.get("message") or answer.get("error_message") or "no reason given"
            raise JoinError(f"the gateway refused the token (HTTP {code}): {str(said)[:300]}")
        joined = Joined(
            int(answer["agent_id"]),
            str(answer["network"]),
            from_base64(answer["hub_public_key"]),
            tuple(_hub_url(token.gateway, str(url)) for url in answer.get("connect", ["/connect"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JoinError(f"{token.gateway} did not answer like an Isthmus gateway (HTTP {code})") from error
    if not token.is_for(joined.hub_public_key):
        raise JoinError(
            "the gateway that answered is not the one that made the token: someone may be in between; "
            "nothing was kept, ask for a new token"
        )
    return joined


@dataclass(slots=True)
class Tunnel:
    """What is known of the way to one hub, from one websocket to the next."""

    url: str
    carrier: Carrier | None = None
    session: bytes = NO_SESSION
    hub: str = ""
    websocket: ClientConnection | None = None
    since: float = 0.0
    error: str = ""

    @property
    def connected(self) -> bool:
        """Whether a websocket carries it now."""
        return self.carrier is not None and self.carrier.live

    def forget_session(self) -> None:
        """The session is over: what it dialled is closed."""
        if self.carrier is not None:
            self.carrier.expire()
        self.carrier, self.session = None, NO_SESSION


@dataclass(slots=True)
class Agent:
    """One running agent: its settings as they are now, and its tunnels."""

    settings: Settings
    identity: Identity
    policy: Policy = field(init=False)
    tunnels: list[Tunnel] = field(init=False)
    dialler: Dialler = field(init=False)
    stopping: bool = False

    def __post_init__(self) -> None:
        self.policy = self.settings.policy()
        self.tunnels = [Tunnel(url) for url in self.settings.connect[:_HUBS]]
        self.dialler = Dialler(lambda: self.policy, self.settings.dial_timeout)


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
            running.append(tasks.create_task(_write_status(agent)))
            await stop.wait()
            await _drain(agent)
            for task in running:
                task.cancel()
    except* Revoked as told:
        revoked = Revoked(str(told.exceptions[0]))
    for tunnel in agent.tunnels:
        tunnel.forget_session()
    _save_status(agent, running=False, note=str(revoked or "stopped"))
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
        await _shut(websocket)


async def open_websocket(settings: Settings, url: str) -> ClientConnection:
    """A websocket to the hub: through the proxy if there is one, certificate checked, pin too.

    Raises OSError, WebSocketException, SettingsError.
    """
    proxy = settings.proxy_for(url)
    way = Way(proxy, settings.tls(), settings.pin.lower())
    secure: dict[str, Any] = {"ssl": way.tls} if url.startswith("wss://") else {}
    websocket = await connect(
        url,
        subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # a NewType of str
        compression=None,
        proxy=proxy.url if proxy else None,
        user_agent_header="isthmus-agent",
        open_timeout=_OPEN_TIMEOUT,
        close_timeout=2,
        ping_interval=None,
        max_size=2 * 1024 * 1024,
        write_limit=512 * 1024,
        **secure,
    )
    try:
        if secure:
            way.check_pin(websocket.transport.get_extra_info("ssl_object"))
        if websocket.subprotocol != SUBPROTOCOL:
            raise InvalidHandshake("the far side is no Isthmus gateway")
    except BaseException:
        await _shut(websocket)
        raise
    return websocket


def backoff(attempt: int, cap: float) -> float:
    """A random pause below a bound that doubles with each attempt: those who failed together return apart."""
    if attempt == 0:
        return 0.0
    bound = min(cap, _FIRST_BACKOFF * 2.0 ** min(attempt - 1, 30))
    return random.uniform(0, bound)  # noqa: S311  # spreads load, guards nothing


def describe(error: Exception) -> str:
    """What went wrong on the way to the gateway, with what to do where that is known."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate is not trusted ({error.verify_message}): set ca_file, or check the clock"
        case ssl.SSLError():
            return f"TLS failed: {error.args[-1] if error.args else error}"
        case InvalidProxyStatus():
            hint = ": set proxy with a name and password" if error.response.status_code == 407 else ""
            return f"the proxy answered HTTP {error.response.status_code}{hint}"
        case InvalidStatus():
            return f"the gateway answered HTTP {error.response.status_code} instead of a websocket"
        case TimeoutError():
            return "no answer in time: is the way out open? try 'isthmus-agent doctor'"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


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
            await _shut(tunnel.websocket)


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


async def _write_status(agent: Agent) -> None:
    """Leaves word for `isthmus-agent status`: at once when something changed, else every few seconds."""
    before: object = None
    written = 0.0
    while True:
        state = [(tunnel.connected, tunnel.error) for tunnel in agent.tunnels]
        if state != before or time.monotonic() - written > _WRITE_STATUS:
            before, written = state, time.monotonic()
            errors = [tunnel.error for tunnel in agent.tunnels if tunnel.error]
            _save_status(agent, running=True, note=errors[0] if errors else "")
        await asyncio.sleep(0.25)


def _save_status(agent: Agent, *, running: bool, note: str) -> None:
    tunnels = [
        {
            "url": tunnel.url,
            "connected": tunnel.connected,
            "hub": tunnel.hub,
            "since": tunnel.since,
            "error": tunnel.error,
            "streams": 0,
            **(tunnel.carrier.statistics() if tunnel.carrier is not None else {}),
        }
        for tunnel in agent.tunnels
    ]
    status = {
        "written": time.time(),
        "running": running,
        "pid": os.getpid(),
        "note": note,
        "tunnels": tunnels,
    }
    try:
        write_private(agent.settings.status_path, json.dumps(status).encode())
    except OSError as error:
        _log.debug("no status file: %s", error)


async def _shut(websocket: ClientConnection) -> None:
    """Closes; does not wait for a peer that may be dead."""
    try:
        async with asyncio.timeout(1):
            await websocket.close()
    except TimeoutError:
        websocket.transport.abort()


def _hub_url(gateway: str, given: str) -> str:
    """The websocket's URL: as given, or a path under the gateway's. Raises ValueError."""
    if given.startswith("/"):
        given = ("wss" if gateway.startswith("https:") else "ws") + gateway[gateway.index(":") :] + given
    if not given.startswith(("ws://", "wss://")) or not urlsplit(given).hostname:
        raise ValueError("no websocket URL")
    if gateway.startswith("https:") and given.startswith("ws://"):
        raise ValueError("a websocket without TLS at a gateway with TLS")
    return given


def _post(url: str, body: bytes, way: Way) -> tuple[int, bytes]:
    """One POST of JSON; status and body. Raises OSError and HTTPException."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    via = (way.proxy.host, way.proxy.port) if way.proxy else (host, port)
    line: http.client.HTTPConnection
    if secure:
        line = http.client.HTTPSConnection(*via, timeout=_OPEN_TIMEOUT, context=way.tls)
    else:
        line = http.client.HTTPConnection(*via, timeout=_OPEN_TIMEOUT)
    if way.proxy is not None:
        line.set_tunnel(host, port, headers=way.proxy.authorization)
    try:
        line.connect()
        if secure:
            way.check_pin(line.sock)
        headers = {"Content-Type": "application/json", "User-Agent": "isthmus-agent"}
        line.request("POST", parts.path or "/", body, headers)
        answer = line.getresponse()
        return answer.status, answer.read(_MOST_JSON)
    finally:
        line.close()
