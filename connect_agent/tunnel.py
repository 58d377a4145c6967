"""One session over one websocket after the other: receive, send, watch pings. The same code at both ends.

The websocket is made by the caller: `compression=None`, `ping_interval=None`, `max_size` of 1 MiB or more,
`write_limit` of about 512 KiB (what is written beyond it waits for the link, so that order is decided late).
"""

import asyncio
import json
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.exceptions import ConnectionClosed

from connect_agent.protocol import (
    NO_SESSION,
    AgentHandshake,
    Code,
    DataReceived,
    Draining,
    Event,
    HubHandshake,
    MoreRoom,
    OpenWanted,
    PeerEnded,
    PeerFault,
    PolicyChanged,
    Session,
    StreamBroken,
    StreamOpened,
    StreamRefused,
    Welcome,
)

_log = logging.getLogger(__name__)
_HANDSHAKE = 15.0
_HIGH = 1024 * 1024
_LOW = 256 * 1024
_PACE_OVER = 0.1

type Piece = bytes | memoryview


class TunnelLost(Exception):
    """The websocket broke, or the peer was silent; the session lives on."""


class SessionEnded(Exception):
    """The session is over, and with it every stream."""


class Refusal(Exception):
    """The agent did not connect; `text` may be shown to anyone."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Websocket(Protocol):
    """What this module needs of a websockets connection."""

    async def send(self, message: bytes) -> None:
        """Sends one binary message; returns when more may follow."""

    async def recv(self) -> Any:
        """The next message."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes it."""


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
        await _send(websocket, handshake.hello())
        challenge = await _receive(websocket)
        await _send(websocket, handshake.prove(challenge, json.dumps(policy)))
        return handshake.welcome(await _receive(websocket))


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
        hello = handshake.read_hello(await _receive(websocket))
        await _send(websocket, handshake.challenge(hello))
        proof = await _receive(websocket)
        policy = handshake.check(proof, await find_agent(hello.agent) or bytes(32))
        resumed = hello.session != NO_SESSION and resumable(hello.agent, hello.session)
        session = hello.session if resumed else os.urandom(16)
        await _send(websocket, handshake.welcome(session, hub, resumed=resumed))
        return Greeting(hello.agent, json.loads(policy), session, resumed)


async def _send(websocket: Websocket, message: bytes) -> None:
    try:
        await websocket.send(message)
    except ConnectionClosed as closed:
        raise TunnelLost(str(closed)) from closed


async def _receive(websocket: Websocket) -> bytes:
    try:
        message = await websocket.recv()
    except ConnectionClosed as closed:
        raise TunnelLost(str(closed)) from closed
    if not isinstance(message, bytes):
        raise PeerFault("a text message: the protocol is binary")
    return message


class TunnelTransport(asyncio.Transport):
    """A stream as an asyncio transport. Reading paused here stops the sender at the other end, by credit."""

    def __init__(self, carrier: "Carrier", number: int, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("tunnel", number)})
        self._carrier = carrier
        self._number = number
        self.set_protocol(protocol)
        self._high, self._low = _HIGH, _LOW
        self._writing_paused = False
        self._reading = True
        self._held: deque[Piece] = deque()
        self._end_held = False
        self._finished = False
        self._over = False

    # what the local end calls

    def get_protocol(self) -> asyncio.Protocol:
        """The protocol that gets the bytes."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Gives the bytes to another one from now on."""
        assert isinstance(protocol, asyncio.Protocol)  # noqa: S101  asyncio's own transports assume it too
        self._protocol = protocol
        self._in_views = getattr(protocol, "takes_views", False)

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Queues bytes; the protocol is paused above the high mark."""
        if self._over or self._finished:
            return
        self._carrier.session.write(self._number, bytes(data))
        self._carrier.wake()
        self._check_room()

    def write_eof(self) -> None:
        """Ends our bytes; the peer's may still come."""
        if not self._finished and not self._over:
            self._finished = True
            self._carrier.session.finish(self._number)
            self._carrier.wake()

    def can_write_eof(self) -> bool:
        """Streams have half close."""
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The marks, in bytes, between which writing is paused and resumed."""
        self._high = _HIGH if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        """Bytes not yet sent."""
        return self._carrier.session.waiting(self._number)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high mark."""
        return self._low, self._high

    def is_reading(self) -> bool:
        """Whether bytes are passed on."""
        return self._reading and not self._over

    def pause_reading(self) -> None:
        """Holds what comes (at most a window); credit is given again when it is taken."""
        self._reading = False

    def resume_reading(self) -> None:
        """Passes on what was held."""
        if self._reading or self._over:
            return
        self._reading = True
        asyncio.get_running_loop().call_soon(self._release)

    def is_closing(self) -> bool:
        """Whether it is closed or ended."""
        return self._over or self._finished

    def close(self) -> None:
        """Sends what was written, ends our side, and stops listening."""
        if self._over:
            return
        if self._carrier.session.waiting(self._number) or not self._finished:
            self.write_eof()
        self._carrier.leave(self._number)
        self.ended(None)

    def abort(self) -> None:
        """Ends the stream at once, both ways."""
        if not self._over:
            self._carrier.session.reset(self._number)
            self._carrier.forget(self._number)
            self.ended(None)

    # what the carrier calls

    def begin(self) -> None:
        """The stream is open: the protocol is told, and gets what came meanwhile unless it pauses."""
        self._reading = True
        self._protocol.connection_made(self)
        if self._reading:
            asyncio.get_running_loop().call_soon(self._release)

    def arrived(self, data: Piece) -> None:
        """Bytes from the peer."""
        if self._reading and not self._held:
            self._pass_on(data)
        else:
            self._held.append(data)

    def peer_ended(self) -> None:
        """No more bytes from the peer."""
        if self._held or not self._reading:
            self._end_held = True
        elif not self._protocol.eof_received():
            self.close()

    def room(self) -> None:
        """The peer took bytes."""
        if self._writing_paused and self.get_write_buffer_size() <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()

    def ended(self, error: Exception | None) -> None:
        """The stream is over."""
        if not self._over:
            self._over = True
            self._held.clear()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, error)

    def _pass_on(self, data: Piece) -> None:
        self._protocol.data_received(data if self._in_views else bytes(data))  # type: ignore[arg-type]  # it said so
        self._carrier.consumed(self._number, len(data))

    def _release(self) -> None:
        while self._held and self._reading and not self._over:
            self._pass_on(self._held.popleft())
        if self._end_held and self._reading and not self._held and not self._over:
            self._end_held = False
            if not self._protocol.eof_received():
                self.close()

    def _check_room(self) -> None:
        if not self._writing_paused and self.get_write_buffer_size() > self._high:
            self._writing_paused = True
            self._protocol.pause_writing()


class RelayEnd(asyncio.Protocol):
    """One end of a pair. A full buffer here stops reading there; an end here is a half close there."""

    takes_views: ClassVar[bool] = True
    """Told to TunnelTransport: a view of the message will do, no copy is needed."""

    def __init__(self) -> None:
        self.peer: RelayEnd | None = None
        self.transport: asyncio.Transport | None = None
        self.ended = False

    @classmethod
    def pair(cls) -> "tuple[RelayEnd, RelayEnd]":
        """Two ends that know each other."""
        one, other = cls(), cls()
        one.peer, other.peer = other, one
        return one, other

    @property
    def _across(self) -> asyncio.Transport | None:
        return None if self.peer is None else self.peer.transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop\'s own do not inherit from it

    def data_received(self, data: bytes) -> None:
        """Across."""
        if (across := self._across) is not None:
            across.write(data)

    def eof_received(self) -> bool:
        """A half close goes across; this side stays open for the other direction, until both ended."""
        self.ended = True
        across = self._across
        if across is not None and not across.is_closing():
            across.write_eof()
        if across is not None and self.transport is not None and self.peer is not None and self.peer.ended:
            across.close()
            self.transport.close()
        return True

    def pause_writing(self) -> None:
        """This side is full: the other stops reading."""
        if (across := self._across) is not None and not across.is_closing():
            across.pause_reading()

    def resume_writing(self) -> None:
        """It has room again."""
        if (across := self._across) is not None and not across.is_closing():
            across.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """What is broken here is broken there."""
        across = self._across
        if across is not None:
            if exc is None:
                across.close()
            else:
                across.abort()


class Pace:
    """The link's rate, as far as sending without a pause tells: over a tenth of a second at a time.

    A single slow message says nothing: the machine may have been busy with something else.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._bytes = 0

    def idle(self) -> None:
        """There was nothing to send: what was measured so far has no meaning."""
        self._since = None

    def sent(self, size: int, now: float) -> float | None:
        """Counts a message that the link took; bytes a second when enough were."""
        if self._since is None:
            self._since, self._bytes = now, 0
            return None
        self._bytes += size
        took = now - self._since
        if took < _PACE_OVER:
            return None
        rate = self._bytes / took
        self._since, self._bytes = now, 0
        return rate


type Answer = Callable[[str, int], Awaitable[socket.socket]]


class Carrier:
    """A session with the local ends of its streams; outlives its websockets.

    Args:
        session: the pure core.
        answer: at the agent: a connected socket for host and port, or raises an error with `code` and `text`
            (Refusal). None at the hub.
        ping_deadline: seconds of silence after which a peer is dead.
        on_policy: at the hub: called with the agent's new allow-list.
    """

    def __init__(
        self,
        session: Session,
        *,
        answer: Answer | None = None,
        ping_deadline: float = 15.0,
        on_policy: Callable[[list[str]], None] | None = None,
    ) -> None:
        self.session = session
        self._answer = answer
        self._ping_deadline = ping_deadline
        self._on_policy = on_policy
        self._transports: dict[int, TunnelTransport] = {}
        self._opening: dict[int, asyncio.Future[None]] = {}
        self._left: set[int] = set()
        self._something = asyncio.Event()
        self._dialling: dict[int, asyncio.Task[None]] = {}
        self._websocket: Websocket | None = None
        self._heard = time.monotonic()
        self.detached_since: float | None = time.monotonic()
        self._carried = False
        self.draining = False
        self.ended = False
        self.bytes_in = self.bytes_out = self.resumes = 0

    @property
    def live(self) -> bool:
        """Whether a websocket carries it now."""
        return self._websocket is not None

    @property
    def streams(self) -> int:
        """How many streams there are."""
        return self.session.streams

    def wake(self) -> None:
        """There may be something to send."""
        self._something.set()

    async def carry(self, websocket: Websocket) -> None:
        """Carries the session over this websocket until it breaks: always ends with an error.

        An earlier websocket of the session is replaced. Raises TunnelLost (the session lives on), PeerFault
        (a rule was broken), SessionEnded.
        """
        if self.ended:
            raise SessionEnded("the session is over")
        if self._websocket is not None:
            await self._websocket.close(1001, "replaced")
        if self._carried:
            self.resumes += 1
        self._carried = True
        self._websocket = websocket
        self.detached_since = None
        self._heard = time.monotonic()
        self.session.attach()
        self.wake()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive_all(websocket), name="receive")
                tasks.create_task(self._send_all(websocket), name="send")
                tasks.create_task(self._watch_pings(), name="pings")
        except* (ConnectionClosed, TunnelLost, OSError) as broken:
            raise TunnelLost("the websocket broke") from broken
        except* PeerFault as faults:
            raise faults.exceptions[0] from faults
        finally:
            if self._websocket is websocket:
                self._websocket = None
                self.detached_since = time.monotonic()

    async def connect[P: asyncio.Protocol](
        self, factory: Callable[[], P], host: str, port: int, within: float
    ) -> tuple[asyncio.Transport, P]:
        """Hub: a stream to host and port, as a transport and its protocol.

        Raises Refusal (the agent's reason), SessionEnded, TimeoutError after `within` seconds.
        """
        if self.ended or self.draining:
            raise SessionEnded("the session takes no new streams")
        number = self.session.open(host, port)
        waiting = asyncio.get_running_loop().create_future()
        self._opening[number] = waiting
        protocol = factory()
        transport = TunnelTransport(self, number, protocol)
        self._transports[number] = transport
        self.wake()
        try:
            async with asyncio.timeout(within):
                await waiting
        except BaseException:
            self._transports.pop(number, None)
            self.session.reset(number)
            self.wake()
            raise
        finally:
            self._opening.pop(number, None)
        transport.begin()
        return transport, protocol

    def consumed(self, number: int, size: int) -> None:
        """A local end took bytes."""
        self.bytes_in += size
        self.session.consumed(number, size, time.monotonic())
        self.wake()

    def leave(self, number: int) -> None:
        """A local end closed: what it wrote is still sent, what still comes is thrown away."""
        if self._transports.pop(number, None) is not None:
            self._left.add(number)

    def forget(self, number: int) -> None:
        """A local end is gone."""
        self._transports.pop(number, None)
        self._left.discard(number)
        self.wake()

    def drain(self) -> None:
        """Tells the peer that no new streams are wanted."""
        self.session.drain()
        self.wake()

    def tell_policy(self, policy: list[str]) -> None:
        """Agent: the allow-list changed."""
        self.session.tell_policy(json.dumps(policy))
        self.wake()

    def expire(self) -> None:
        """Ends the session: every stream is broken."""
        self.ended = True
        for waiting in self._opening.values():
            if not waiting.done():
                waiting.set_exception(SessionEnded("the agent did not come back in time"))
        for task in self._dialling.values():
            task.cancel()
        for transport in list(self._transports.values()):
            transport.ended(ConnectionResetError("the tunnel's session ended"))
        for number in self.session.open_streams:
            self.session.reset(number)
        self._transports.clear()

    async def aclose(self, reason: str = "") -> None:
        """Ends the session and its websocket at once."""
        self.expire()
        if self._websocket is not None:
            await self._websocket.close(1000, reason)

    def statistics(self) -> dict[str, Any]:
        """Bytes each way, streams, resumes, round trip in seconds."""
        return {
            "streams": self.streams,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "resumes": self.resumes,
            "round_trip": self.session.round_trip,
        }

    # the three tasks of a tunnel

    async def _receive_all(self, websocket: Websocket) -> None:
        while True:
            message = await _receive(websocket)
            self._heard = now = time.monotonic()
            for event in self.session.receive(message, now):
                self._handle(event)
            self.wake()

    async def _send_all(self, websocket: Websocket) -> None:
        pace = Pace()
        while True:
            message = self.session.next_message()
            if message is None:
                pace.idle()
                self._something.clear()
                await self._something.wait()
                continue
            await _send(websocket, message)
            self.bytes_out += len(message)
            if (rate := pace.sent(len(message), time.monotonic())) is not None:
                self.session.set_rate(rate)
            number = int.from_bytes(message[2:6], "big")
            if (transport := self._transports.get(number)) is not None:
                transport.room()

    async def _watch_pings(self) -> None:
        while True:
            await asyncio.sleep(self._ping_deadline / 3)
            silent = time.monotonic() - self._heard
            if silent > self._ping_deadline:
                raise TunnelLost("the peer was silent for too long")
            self.session.ping(time.monotonic())
            self.wake()

    # events

    def _handle(self, event: Event) -> None:  # noqa: C901  one case an event
        match event:
            case DataReceived(number, data):
                if (transport := self._transports.get(number)) is not None:
                    transport.arrived(data)
                else:
                    self.consumed(number, len(data))
            case MoreRoom(number):
                if (transport := self._transports.get(number)) is not None:
                    transport.room()
            case PeerEnded(number):
                if (transport := self._transports.get(number)) is not None:
                    transport.peer_ended()
            case OpenWanted(number, host, port):
                loop = asyncio.get_running_loop()
                self._dialling[number] = loop.create_task(self._dial(number, host, port))
            case StreamOpened(number):
                self._resolve(number, None)
            case StreamRefused(number, code, text):
                self._resolve(number, Refusal(code, text))
            case StreamBroken(number):
                if (task := self._dialling.get(number)) is not None:
                    task.cancel()
                if (transport := self._transports.pop(number, None)) is not None:
                    transport.ended(ConnectionResetError("the stream was reset"))
            case PolicyChanged(text):
                if self._on_policy is not None:
                    self._on_policy(json.loads(text))
            case Draining():
                self.draining = True

    def _resolve(self, number: int, error: Exception | None) -> None:
        waiting = self._opening.get(number)
        if waiting is None or waiting.done():
            return
        if error is None:
            # nothing may reach the protocol before `connection_made`
            self._transports[number].pause_reading()
            waiting.set_result(None)
        else:
            waiting.set_exception(error)

    async def _dial(self, number: int, host: str, port: int) -> None:
        """Connects for one stream and relays. The carrier owns the task, as it outlives the websocket."""
        try:
            if self._answer is None:
                raise Refusal(Code.FAILED, "this end dials nowhere")
            sock = await self._answer(host, port)
            near, far = RelayEnd.pair()
            loop = asyncio.get_running_loop()
            transport = TunnelTransport(self, number, far)
            await loop.create_connection(lambda: near, sock=sock)
            self._transports[number] = transport
            far.connection_made(transport)
            self.session.opened(number)
        except asyncio.CancelledError:
            self.session.reset(number, Code.SHUTTING_DOWN)
        except Exception as error:  # noqa: BLE001  the task's root
            if not hasattr(error, "code") or not hasattr(error, "text"):
                _log.exception("dialling failed by a bug of ours")
            code = getattr(error, "code", Code.FAILED)
            self.session.refuse(number, code, getattr(error, "text", "the agent failed to connect"))
        finally:
            self._dialling.pop(number, None)
            self.wake()
