"""The hub: agents' websockets come in, sessions live on between them, streams go out to a network."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakSet

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.server import ServerConnection

from connect_agent.protocol import SUBPROTOCOL, Code, OurFault, PeerFault, Role, Session
from connect_agent.tunnel import Carrier, Greeting, Refusal, SessionEnded, TunnelLost, greet_as_hub
from connectors.interface import NetworkUnavailable, StoreError, TimedOut, Unavailable

_log = logging.getLogger(__name__)

REVOKED = 4403  # websocket close code: we do not know this agent, or no longer
_DIAL_TIMEOUT = 20.0  # above the agent's own, whose answer says more
_RETRY_AFTER = 5.0
_ELSEWHERE = {Code.SHUTTING_DOWN, Code.GONE, Code.NOT_ALLOWED}  # another agent of the network may do it


class Rider(Protocol):
    """Who has connections through agents, and wants to hear when one of these agents leaves."""

    def agent_leaves(self) -> None:
        """An agent that connections of ours run through takes no more, or is gone: do without them soon."""


@dataclass(slots=True, eq=False)
class Member:
    """One session of one agent in a network."""

    agent: int
    network: int
    session: bytes
    carrier: Carrier
    policy: list[str]
    since: float = field(default_factory=time.time)
    websocket: ServerConnection | None = None
    carrying: asyncio.Lock = field(default_factory=asyncio.Lock)
    riders: WeakSet[Rider] = field(default_factory=WeakSet)

    def changed_policy(self, policy: list[str]) -> None:
        """What the agent allows now: connections that it might not make any more are not kept for later."""
        narrower = not set(self.policy) <= set(policy)
        self.policy = policy
        if narrower:
            self.leave()

    def leave(self) -> None:
        """Tells those who have connections through the agent to do without them; each is told once."""
        riders, self.riders = self.riders, WeakSet()
        for rider in riders:
            rider.agent_leaves()


class Hub:
    """Holds every agent's sessions; `serve` is the handler of a websockets server.

    Args:
        key: the hub's Ed25519 key, whose public half agents learned when they joined.
        find_agent: the agent's public key; None for an unknown or revoked agent.
        network_of: the network that the agent serves; None for an unknown or revoked one.
        name: tells hubs apart, so that an agent with two addresses of one hub uses one.
        on_seen: called after each handshake with the agent and its allow-list.
        network_name: a network's name, for messages.
        linger: seconds that a session waits for its next websocket.
        ping_deadline: seconds of silence after which an agent is taken for dead.
        await_return: seconds that a dial waits for an agent that has just lost its websocket.
    """

    def __init__(
        self,
        key: Ed25519PrivateKey,
        *,
        find_agent: Callable[[int], Awaitable[bytes | None]],
        network_of: Callable[[int], Awaitable[int | None]],
        name: str | None = None,
        on_seen: Callable[[int, list[str]], Awaitable[None]] | None = None,
        network_name: Callable[[int], Awaitable[str | None]] | None = None,
        linger: float = 60.0,
        ping_deadline: float = 15.0,
        await_return: float = 5.0,
    ) -> None:
        self._key = key
        self._find_agent = find_agent
        self._network_of = network_of
        self._name = name or secrets.token_hex(8)
        self._on_seen = on_seen
        self._network_name = network_name
        self._linger = linger
        self._ping_deadline = ping_deadline
        self._await_return = await_return
        self._members: dict[bytes, Member] = {}
        self._changed = asyncio.Event()
        self._closing = False
        self._drops = 0

    # agents

    async def serve(self, websocket: ServerConnection) -> None:
        """One websocket, from its handshake to its end."""
        if self._closing or websocket.subprotocol != SUBPROTOCOL:
            await _shut(
                websocket, 1013 if self._closing else 1002, "not now" if self._closing else "protocol"
            )
            return
        member = await self._greet(websocket)
        if member is None:
            return
        if member.websocket is not None:
            member.websocket.transport.abort()
        async with member.carrying:  # nothing of an earlier websocket may arrive behind the new one's RESUME
            member.websocket = websocket
            self._announce()
            self._leave_those_away(member)
            try:
                await member.carrier.carry(websocket)
            except TunnelLost:
                said_goodbye = member.carrier.draining and websocket.close_code == 1000
                self._end(member) if said_goodbye else self._lost(member)
            except SessionEnded:
                self._end(member)
            except (PeerFault, ExceptionGroup) as fault:  # a fault, or one while the websocket broke
                _log.warning("agent %d broke the protocol: %s", member.agent, fault)
                self._end(member)
            finally:
                member.websocket = None
                self._announce()
        await _shut(websocket, 1002, "")

    async def _greet(self, websocket: ServerConnection) -> Member | None:
        """The session that the websocket is for, new or known; None after it was turned away."""
        known = False

        async def find(agent: int) -> bytes | None:
            nonlocal known
            public_key = await self._find_agent(agent)
            known = public_key is not None
            # an unknown agent is checked against a key that nobody has, in the same time
            return public_key or Ed25519PrivateKey.generate().public_key().public_bytes_raw()

        try:
            greeting = await greet_as_hub(
                websocket, key=self._key, hub=self._name, find_agent=find, resumable=self._resumable
            )
        except PeerFault as fault:
            _log.info("a websocket was turned away: %s", fault)
            await _shut(websocket, 1002 if known else REVOKED, "")
            return None
        except (TunnelLost, TimeoutError):
            await _shut(websocket, 1002, "")
            return None
        while True:
            drops = self._drops
            network = await self._network_of(greeting.agent)
            if network is None:
                await _shut(websocket, REVOKED, "")
                return None
            if self._on_seen is not None:
                await self._on_seen(greeting.agent, greeting.policy)
            if drops == self._drops:  # else it may be the one that was dropped, before it was a member
                return self._member(greeting, network)

    def _resumable(self, agent: int, session: bytes) -> bool:
        member = self._members.get(session)
        return member is not None and member.agent == agent and not member.carrier.ended

    def _member(self, greeting: Greeting, network: int) -> Member:
        known = self._members.get(greeting.session)
        if known is not None:
            known.changed_policy(greeting.policy)
            return known
        for old in [m for m in self._members.values() if m.agent == greeting.agent and not m.carrier.live]:
            self._end(old)  # its process is gone, or it would have come back to it
        member = Member(
            greeting.agent,
            network,
            greeting.session,
            Carrier(
                Session(Role.HUB),
                ping_deadline=self._ping_deadline,
                on_policy=lambda policy: member.changed_policy(policy),
                on_drain=lambda: member.leave(),
            ),
            greeting.policy,
        )
        self._members[greeting.session] = member
        _log.info("agent %d of network %d is connected", member.agent, member.network)
        return member

    def _lost(self, member: Member) -> None:
        """Ends the session unless a websocket carries it again within `linger` seconds."""
        if (other := self._least_loaded(member.network, set())) is not None:
            self._leave_those_away(other)
        detached = member.carrier.detached_since

        def expire() -> None:
            if not member.carrier.live and member.carrier.detached_since == detached:
                self._end(member)

        asyncio.get_running_loop().call_later(self._linger, expire)

    def _leave_those_away(self, present: Member) -> None:
        """What is new goes through the agent that is there, rather than wait for one that may come back."""
        for member in self._members.values():
            if member.network == present.network and member is not present and not member.carrier.live:
                member.leave()

    def _end(self, member: Member) -> None:
        """Breaks the session's streams; it can't be resumed."""
        if self._members.pop(member.session, None) is not None:
            _log.info("the session of agent %d of network %d is over", member.agent, member.network)
        member.leave()
        member.carrier.expire()
        self._announce()

    def _announce(self) -> None:
        """Wakes dials that wait for an agent."""
        self._changed.set()
        self._changed = asyncio.Event()

    # streams

    async def dial[P: asyncio.BaseProtocol](
        self, network: int, factory: Callable[[], P], host: str, port: int, *, rider: Rider | None = None
    ) -> tuple[asyncio.Transport, P]:
        """A stream to host and port inside the network, over its least loaded agent.

        The rider is told, once, when that agent leaves; it is not kept alive by that.

        Raises NetworkUnavailable (no agent), Unavailable (refused; the reason without an address), TimedOut.
        """
        deadline = time.monotonic() + self._await_return
        refused: StoreError | None = None
        tried: set[Member] = set()
        while True:
            member = self._least_loaded(network, tried)
            if member is None:
                if refused is not None:
                    raise refused
                if not await self._returns(network, tried, deadline):
                    raise await self._nobody(network)
                continue
            tried.add(member)
            if rider is not None:
                member.riders.add(rider)
            try:
                return await member.carrier.connect(factory, host, port, _DIAL_TIMEOUT)  # type: ignore[type-var]  # connectors give asyncio.Protocol
            except Refusal as refusal:
                refused = _meaning(refusal.code)
                if refusal.code not in _ELSEWHERE:
                    raise refused from refusal
            except (SessionEnded, OurFault):
                continue
            except TimeoutError as error:
                raise TimedOut("the store's network did not answer in time") from error

    def _least_loaded(self, network: int, tried: set[Member]) -> Member | None:
        live = [
            member
            for member in self._members.values()
            if member.network == network
            and member not in tried
            and member.carrier.live
            and not member.carrier.draining
        ]
        return min(live, key=lambda member: member.carrier.streams, default=None)

    async def _returns(self, network: int, tried: set[Member], deadline: float) -> bool:
        """Whether an agent that lost its websocket comes back in time; True when it is worth another look."""
        away = [m for m in self._members.values() if m.network == network and not m.carrier.live]
        left = deadline - time.monotonic()
        if left <= 0 or not [member for member in away if member not in tried]:
            return False
        try:
            async with asyncio.timeout(left):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _nobody(self, network: int) -> NetworkUnavailable:
        name = await self._network_name(network) if self._network_name is not None else None
        return NetworkUnavailable(
            f"no agent of the private network {name or network} is connected: "
            "is 'isthmus-agent run' running there?",
            retry_after=_RETRY_AFTER,
        )

    # operating

    def tunnels(self) -> list[dict[str, Any]]:
        """Every session: agent, network, whether a websocket carries it, and what went through it."""
        return [
            {
                "agent_id": member.agent,
                "network_id": member.network,
                "connected": member.carrier.live,
                "since": member.since,
                "streams": member.carrier.streams,
                "bytes_in": member.carrier.bytes_in,
                "bytes_out": member.carrier.bytes_out,
                "resumes": member.carrier.resumes,
                "policy": member.policy,
            }
            for member in self._members.values()
        ]

    async def drop_agent(self, agent: int) -> None:
        """Breaks the agent's streams at once and closes its websockets; it learns that it was revoked."""
        self._drops += 1
        dropped = [member for member in self._members.values() if member.agent == agent]
        websockets = [member.websocket for member in dropped if member.websocket is not None]
        for member in dropped:
            self._end(member)
        async with asyncio.TaskGroup() as tasks:
            for websocket in websockets:
                tasks.create_task(_shut(websocket, REVOKED, ""))

    async def drain(self) -> None:
        """Tells every agent to go to another hub, or to come back at once."""
        self._closing = True
        for member in self._members.values():
            member.carrier.drain()
        await asyncio.sleep(0.1)

    async def aclose(self) -> None:
        """Ends every session and closes every websocket."""
        self._closing = True
        members = list(self._members.values())
        websockets = [member.websocket for member in members if member.websocket is not None]
        for member in members:
            self._end(member)
        async with asyncio.TaskGroup() as tasks:
            for websocket in websockets:
                tasks.create_task(_shut(websocket, 1012, "the hub restarts"))


async def _shut(websocket: ServerConnection, code: int, reason: str) -> None:
    """Closes; does not wait for a peer that may be dead."""
    try:
        async with asyncio.timeout(1):
            await websocket.close(code, reason)
    except TimeoutError:
        websocket.transport.abort()


def _meaning(code: Code) -> StoreError:
    """The agent's refusal for the API's caller. Our words, not the agent's: they may hold no address."""
    match code:
        case Code.NOT_ALLOWED:
            return Unavailable(
                "the agent's allow-list does not have the store's host and port: "
                "run 'isthmus-agent allow HOST:PORT' there"
            )
        case Code.UNKNOWN_NAME:
            return Unavailable("the store's host name does not resolve in its network")
        case Code.CONNECTION_REFUSED:
            return Unavailable(
                "the store's host refused the connection: is the port right, and is it running?"
            )
        case Code.UNREACHABLE:
            return Unavailable("the agent has no route to the store's host")
        case Code.TIMED_OUT:
            return TimedOut("the store's host did not answer the agent in time")
        case Code.SHUTTING_DOWN | Code.GONE:
            return NetworkUnavailable("the network's agent is shutting down", retry_after=_RETRY_AFTER)
        case Code.FAILED:
            return Unavailable("the agent could not connect to the store's host")
