"""The session: streams in fair order over one websocket at a time, and from one websocket to the next.

No I/O: messages and the time come in, events and messages go out. This file does not know which side it is,
but for who may open streams: the hub alone.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from connect_agent.protocol import events, frames
from connect_agent.protocol.errors import OurFault, PeerFault
from connect_agent.protocol.events import Event
from connect_agent.protocol.stream import FIRST_WINDOW, LEAST_WAITING, Stream

_UNKNOWN_TRIP = 0.1  # seconds, until the first ping is answered
_SHARED_FOR = 1.0  # seconds that streams count as sharing the link after bytes of one followed another's
_SMALLEST_DATA = 16 * 1024
MOST_WINDOWS = 48 * 1024 * 1024
"""What all streams of a session may have on their way together, beyond the first window of each."""


class Role(Enum):
    """Which end this is."""

    HUB = "hub"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a session."""

    streams: int = frames.MOST_STREAMS


class Session:
    """What survives a broken websocket.

    Call `attach` for each new websocket, `receive` for each message, and send what `next_message` gives
    whenever the websocket can take more: order is decided as late as that, so that control and small streams
    never wait behind bulk.
    """

    def __init__(self, role: Role, limits: Limits | None = None) -> None:
        self._role = role
        self._limits = limits or Limits()
        self._streams: dict[int, Stream] = {}
        self._highest = 0
        self._control: deque[frames.Frame] = deque()
        self._ready: deque[int] = deque()
        self._queued: set[int] = set()
        self._resuming = False
        self._attached_before = False
        self.largest_data = frames.LARGEST_DATA
        self.round_trip = 0.0
        self._shortest_trip: float | None = None
        self._ping: tuple[bytes, float] | None = None
        self._pings = 0
        self._last_consumed = (0, 0.0)  # stream and time
        self._shared_until = 0.0

    @property
    def streams(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    @property
    def open_streams(self) -> list[int]:
        """Their numbers."""
        return list(self._streams)

    # websockets come and go

    def attach(self) -> None:
        """A websocket carries the session from now on. The second and later ones begin with RESUME."""
        self._ping = None
        self._shortest_trip = None
        if not self._attached_before:
            self._attached_before = True
            return
        self._control = deque(f for f in self._control if isinstance(f, frames.Reset | frames.Policy))
        self._resuming = True
        rows = tuple(stream.row() for stream in self._streams.values())
        self._control.appendleft(frames.Resume(self._highest, rows))

    def ping(self, now: float) -> None:
        """Asks the peer to answer. Overlapping pings are one."""
        if self._ping is None:
            self._pings += 1
            payload = self._pings.to_bytes(8, "big")
            self._ping = (payload, now)
            self._control.append(frames.Ping(payload))

    def silent_since(self) -> float | None:
        """When the ping that is not yet answered was asked for; None when all are."""
        return None if self._ping is None else self._ping[1]

    # what the local ends want

    def open(self, host: str, port: int) -> int:
        """Hub: asks the agent for host and port; the new stream's number. Raises OurFault over the limit."""
        if self._role is not Role.HUB:
            raise OurFault("only the hub opens streams")
        if len(self._streams) >= self._limits.streams:
            raise OurFault("too many streams in one session")
        self._highest += 1
        self._streams[self._highest] = Stream(self._highest, host, port)
        self._control.append(frames.Open(self._highest, host, port))
        return self._highest

    def opened(self, number: int) -> None:
        """Agent: host and port are connected. Nothing happens when the stream is gone."""
        if (stream := self._streams.get(number)) is not None:
            stream.opened = True
            self._control.append(frames.Opened(number))

    def refuse(self, number: int, code: frames.Code, text: str) -> None:
        """Agent: they are not."""
        if self._streams.pop(number, None) is not None:
            self._control.append(frames.Refused(number, code, text))

    def write(self, number: int, data: bytes) -> None:
        """Queues bytes; those of a stream that is gone are dropped."""
        if (stream := self._streams.get(number)) is not None:
            stream.write(data)
            self._schedule(stream)

    def finish(self, number: int) -> None:
        """Queues the end of our bytes."""
        if (stream := self._streams.get(number)) is not None:
            stream.finish()
            self._schedule(stream)

    def reset(self, number: int, code: frames.Code = frames.Code.FAILED) -> None:
        """Ends the stream at once, both ways."""
        if self._streams.pop(number, None) is not None:
            self._control.append(frames.Reset(number, code))

    def consumed(self, number: int, size: int, now: float) -> None:
        """The local end took bytes: the peer may send more."""
        if (stream := self._streams.get(number)) is not None:
            stream.consume(size)
            trip = self._shortest_trip or _UNKNOWN_TRIP
            wanted = stream.wanted_window(now, trip, shared=self._shared(number, now))
            if wanted is not None:
                others = sum(one.window for one in self._streams.values()) - stream.window
                stream.window = max(FIRST_WINDOW, min(wanted, MOST_WINDOWS - others))
            self._credit(stream)

    def _shared(self, number: int, now: float) -> bool:
        """Whether bytes of this stream and of another that is still there came within a second."""
        last, at = self._last_consumed
        self._last_consumed = number, now
        if number != last and last in self._streams and now - at < _SHARED_FOR:
            self._shared_until = now + _SHARED_FOR
        return now < self._shared_until

    def waiting(self, number: int) -> int:
        """Bytes written on the stream and not yet sent."""
        stream = self._streams.get(number)
        return 0 if stream is None else stream.waiting

    def enough_waiting(self, number: int) -> int:
        """Bytes that are enough to have waiting on the stream; more would only lie here."""
        stream = self._streams.get(number)
        return LEAST_WAITING if stream is None else stream.enough_waiting

    def tell_policy(self, text: str) -> None:
        """Agent: the allow-list changed."""
        self._control.append(frames.Policy(text))

    def drain(self) -> None:
        """Asks the peer for no new streams."""
        self._control.append(frames.Drain())

    def set_rate(self, bytes_per_second: float) -> None:
        """The link's measured rate: a DATA frame is at most about 5 ms of it, so that others get a turn."""
        fit = int(bytes_per_second * 0.005)
        self.largest_data = max(_SMALLEST_DATA, min(fit, frames.LARGEST_DATA))

    # sending

    def next_message(self) -> bytes | None:
        """The next message, control first, then streams in turn; None when there is nothing to send now."""
        if self._control and (not self._resuming or self._may_send_early(self._control[0])):
            return frames.encode(self._control.popleft())
        if self._resuming:
            return None
        while self._ready:
            number = self._ready.popleft()
            self._queued.discard(number)
            stream = self._streams.get(number)
            if stream is None or not stream.sendable:
                continue
            message = frames.encode(stream.next_frame(self.largest_data))
            self._schedule(stream)
            return message
        return None

    @staticmethod
    def _may_send_early(frame: frames.Frame) -> bool:
        """Before the peer's RESUME is here, only what does not speak of streams."""
        return isinstance(frame, frames.Resume | frames.Ping | frames.Pong)

    def _schedule(self, stream: Stream) -> None:
        if stream.number not in self._queued and stream.sendable:
            self._queued.add(stream.number)
            self._ready.append(stream.number)

    def _credit(self, stream: Stream) -> None:
        if stream.credit_due:
            self._control.append(stream.credit())
        self._forget_if_done(stream)

    def _forget_if_done(self, stream: Stream) -> None:
        if stream.done:
            self._streams.pop(stream.number, None)

    # receiving

    def receive(self, message: bytes, now: float) -> list[Event]:
        """What the message means. Raises PeerFault; the websocket is to be closed then."""
        frame = frames.decode(message)
        match frame:
            case None:
                return []
            case frames.Ping(payload):
                self._control.appendleft(frames.Pong(payload))
                return []
            case frames.Pong(payload):
                if self._ping is not None and payload == self._ping[0]:
                    self.round_trip = now - self._ping[1]
                    # longer ones had to wait behind what we sent ourselves
                    self._shortest_trip = min(self._shortest_trip or self.round_trip, self.round_trip)
                    self._ping = None
                return []
            case frames.Resume():
                return self._resume(frame)
        if self._resuming:
            raise PeerFault("a frame before RESUME")
        return self._of_streams(frame)

    def _of_streams(self, frame: frames.Frame) -> list[Event]:  # noqa: C901  one case a frame
        match frame:
            case frames.Data(number, data):
                stream = self._streams.get(number)
                if stream is None:
                    return self._unknown(number)
                stream.take(len(data))
                return [events.DataReceived(number, data)]
            case frames.Credit(number, consumed, window):
                stream = self._streams.get(number)
                if stream is None:
                    return self._unknown(number)
                stream.credited(consumed, window)
                self._schedule(stream)
                self._forget_if_done(stream)
                return [events.MoreRoom(number)]
            case frames.Fin(number):
                stream = self._streams.get(number)
                if stream is None:
                    return self._unknown(number)
                stream.take_fin()
                self._credit(stream)
                return [events.PeerEnded(number)]
            case frames.Reset(number, code):
                return self._gone(number, code)
            case frames.Open() | frames.Policy():
                return self._from_peer_role(frame)
            case frames.Opened(number):
                return self._was_opened(number)
            case frames.Refused(number, code, text):
                self._unknown(number)
                known = self._streams.pop(number, None) is not None
                return [events.StreamRefused(number, code, text)] if known else []
            case _:
                return [events.Draining()]

    def _from_peer_role(self, frame: frames.Open | frames.Policy) -> list[Event]:
        if isinstance(frame, frames.Policy):
            if self._role is not Role.HUB:
                raise PeerFault("POLICY from the hub")
            return [events.PolicyChanged(frame.text)]
        if self._role is not Role.AGENT:
            raise PeerFault("OPEN from the agent")
        if frame.stream <= self._highest:
            raise PeerFault("OPEN of a stream that there was")
        if len(self._streams) >= self._limits.streams:
            raise PeerFault("more streams than the session takes")
        self._highest = frame.stream
        self._streams[frame.stream] = Stream(frame.stream, frame.host, frame.port)
        return [events.OpenWanted(frame.stream, frame.host, frame.port)]

    def _was_opened(self, number: int) -> list[Event]:
        stream = self._streams.get(number)
        if stream is None:
            return self._unknown(number)
        if self._role is not Role.HUB or stream.opened:
            raise PeerFault("OPENED twice, or from the hub")
        stream.opened = True
        return [events.StreamOpened(number)]

    def _unknown(self, number: int) -> list[Event]:
        """Frames for a stream that we reset cross our RESET on the way: they mean nothing any more."""
        if not 0 < number <= self._highest:
            raise PeerFault("a frame for a stream that never was")
        return []

    def _gone(self, number: int, code: frames.Code) -> list[Event]:
        stream = self._streams.pop(number, None)
        if stream is None:
            return self._unknown(number)
        if stream.ended_well:
            return []
        if self._role is Role.HUB and not stream.opened:
            return [events.StreamRefused(number, code, "the agent gave up connecting to the store")]
        return [events.StreamBroken(number, code)]

    # resuming

    def _resume(self, resume: frames.Resume) -> list[Event]:
        """Compares what both ends know: sends again what the peer lacks, forgets what it finished."""
        if not self._resuming:
            raise PeerFault("RESUME in a session that was not broken")
        self._resuming = False
        self._drop_what_speaks_of_unseen(resume.highest)
        told: list[Event] = []
        theirs = {row.stream: row for row in resume.rows}
        for stream in list(self._streams.values()):
            row = theirs.pop(stream.number, None)
            if row is not None:
                told += self._resume_stream(stream, row)
            elif self._role is Role.HUB and stream.number > resume.highest:
                self._control.append(frames.Open(stream.number, stream.host, stream.port))
            else:
                told += self._gone(stream.number, frames.Code.GONE)
        for number in theirs:
            if self._role is Role.AGENT and number > self._highest:
                continue  # its OPEN was lost, and comes again
            self._unknown(number)
            self._control.append(frames.Reset(number, frames.Code.GONE))
        return told

    def _drop_what_speaks_of_unseen(self, highest: int) -> None:
        """Streams that the peer never saw are opened again, in order; those that are gone never were."""
        self._control = deque(
            frame
            for frame in self._control
            if not isinstance(frame, frames.Open | frames.Reset) or frame.stream <= highest
        )

    def _resume_stream(self, stream: Stream, row: frames.Row) -> list[Event]:
        stream.rewind(row)
        self._schedule(stream)
        self._forget_if_done(stream)
        told: list[Event] = [events.MoreRoom(stream.number)]
        if self._role is Role.HUB and row.opened and not stream.opened:
            stream.opened = True
            told.append(events.StreamOpened(stream.number))
        return told
