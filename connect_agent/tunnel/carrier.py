"""A session carried over one websocket after the other: receive, send, watch pings. Both ends run it.

The websocket is made by the caller: `compression=None`, `ping_interval=None`, `max_size` of 1 MiB or more,
`write_limit` of about 512 KiB (what is written beyond it waits for the link, so that order is decided late).
"""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.exceptions import ConnectionClosed

from connect_agent.protocol import (
    LARGEST_DATA,
    Code,
    DataReceived,
    Draining,
    Event,
    MoreRoom,
    OpenWanted,
    PeerEnded,
    PeerFault,
    PolicyChanged,
    Session,
    StreamBroken,
    StreamOpened,
    StreamRefused,
    read_policy,
)
from connect_agent.tunnel.errors import Refusal, SessionEnded, TunnelLost
from connect_agent.tunnel.pace import Pace
from connect_agent.tunnel.relay import RelayEnd, SocketEnd
from connect_agent.tunnel.transport import TunnelTransport
from connect_agent.tunnel.websocket import Websocket, receive, send

_log = logging.getLogger(__name__)

type Answer = Callable[[str, int], Awaitable[socket.socket]]


class Carrier:
    """A session with the local ends of its streams; outlives its websockets.

    Args:
        session: the pure core.
        answer: at the agent: a connected socket for host and port, or raises an error with `code` and `text`
            (Refusal). None at the hub.
        ping_deadline: seconds of silence after which a peer is dead.
        on_policy: at the hub: called with the agent's new allow-list.
        on_drain: called when the peer wants no new streams.
    """

    def __init__(
        self,
        session: Session,
        *,
        answer: Answer | None = None,
        ping_deadline: float = 15.0,
        on_policy: Callable[[list[str]], None] | None = None,
        on_drain: Callable[[], None] | None = None,
    ) -> None:
        self.session = session
        self._answer = answer
        self._ping_deadline = ping_deadline
        self._on_policy = on_policy
        self._on_drain = on_drain
        self._transports: dict[int, TunnelTransport] = {}
        self._opening: dict[int, asyncio.Future[None]] = {}
        self._read_into = bytearray(LARGEST_DATA)
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
        self.session.ping(self._heard)
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
        self._transports.pop(number, None)

    def forget(self, number: int) -> None:
        """A local end is gone."""
        self._transports.pop(number, None)
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
            message = await receive(websocket)
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
            await send(websocket, message)
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
                    self._on_policy(read_policy(text))
            case Draining():
                self.draining = True
                if self._on_drain is not None:
                    self._on_drain()

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
            near = SocketEnd(self._read_into)
            await asyncio.get_running_loop().create_connection(lambda: near, sock=sock)
            near.peer = far = RelayEnd(peer=near)
            self._transports[number] = transport = TunnelTransport(self, number, far)
            transport.begin()
            self.session.opened(number)
            near.begin()
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
