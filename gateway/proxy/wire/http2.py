"""HTTP/2 on both sides, bounded: windows that are opened again only for what went on, and calm.

mitmproxy opens every window as far as it goes and gives back what it has read at once, so a receiver that
takes nothing would have the proxy keep a whole transfer. Heads are bounded by `hpack` itself (64 KiB of a
header list) and their CONTINUATION frames by `h2` (64); what of our heads the other side would have us
remember (RFC 7541, 4.2), and how many frames may come that bring nothing, is bounded here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import DataFrame, Frame
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.commands import SendData
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import _http2 as http2
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
)
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection, SendH2Data

from gateway.proxy.answers import answer
from gateway.proxy.wire.faults import Unanswered
from gateway.proxy.wire.heads import MOST_INFORMATIONAL

STREAM_WINDOW: Final = 1024 * 1024
CONNECTION_WINDOW: Final = 8 * STREAM_WINDOW
MOST_STREAMS: Final = 100
_FIRST_WINDOW: Final = 64 * 1024
"""Of a client's stream until it goes on: all that wait for a store together leave room in the connection's
window for those that run, and that they wait for."""
_MOST_BUSY: Final = 2 * MOST_STREAMS  # with those that were reset before they were decided
_MOST_RESETS: Final = 200  # more of them than of answers (CVE-2023-44487)
_MOST_IDLE_FRAMES: Final = 1000
"""In a row: pings, settings, empty data (CVE-2019-9512, 9515, 9518), frames for streams that are gone."""
_MOST_IDLE_OF_STORES: Final = 10 * _MOST_IDLE_FRAMES  # some open their window for each small frame of ours
_HEADER_TABLE: Final = 4096  # bytes, RFC 7541's first size
_JOINED: Final = 16 * 1024

_BRINGING: Final = (h2.events.RequestReceived, h2.events.ResponseReceived)

type Commands = layer.CommandGenerator[Any]


class Flooded(h2.exceptions.DenialOfServiceError):
    """The other side only makes work: the connection ends."""


@dataclass
class Credit(HttpEvent):
    """What was received on this stream has gone on: its sender may send as much again."""


class Metered(BufferedH2Connection):
    """An HTTP/2 connection whose windows open again by `give`, and not by what has been read.

    Args:
        config: h2's.
        first_window: of each stream, in bytes.
        most_idle: frames that may come in a row and bring nothing.
    """

    def __init__(self, config: h2.config.H2Configuration, *, first_window: int, most_idle: int) -> None:
        super().__init__(config)
        self._most_idle = most_idle
        self.owed: dict[int, int] = {}
        self._idle_frames = 0
        self.local_settings.initial_window_size = first_window
        self.local_settings.acknowledge()

    def initiate_connection(self) -> None:
        """Sends the preface; the connection's window is opened as far as ours goes."""
        h2.connection.H2Connection.initiate_connection(self)  # mitmproxy's own opens it by 2 GiB
        self.increment_flow_control_window(CONNECTION_WINDOW - self.inbound_flow_control_window)

    def receive_data(self, data: Any) -> list[h2.events.Event]:  # Any: typeshed's Buffer
        """What has come, as events. Raises h2.exceptions.ProtocolError, which ends the connection.

        The other side may keep as large a table of our headers as it likes; we look through ours for each.
        """
        found: list[h2.events.Event] = super().receive_data(data)
        if self.encoder.header_table_size > _HEADER_TABLE:
            self.encoder.header_table_size = _HEADER_TABLE
        return found

    def _receive_frame(self, frame: Frame) -> list[h2.events.Event]:
        found = super()._receive_frame(frame)
        brings = isinstance(frame, DataFrame) and frame.data
        if brings or any(isinstance(one, _BRINGING) for one in found):
            self._idle_frames = 0
        else:  # h2 tells no event of what comes for a stream that is gone, and answers it all the same
            self._idle_frames += 1
        if self._idle_frames > self._most_idle:
            raise Flooded
        return found

    def goes_on(self) -> None:
        """Something was sent: what the other side says of that is no flood."""
        self._idle_frames = 0

    def acknowledge_received_data(self, acknowledged_size: int, stream_id: int) -> None:
        """Notes what is owed to the sender."""
        self.owed[stream_id] = self.owed.get(stream_id, 0) + acknowledged_size

    def give(self, stream_id: int) -> None:
        """Pays what is owed, where the connection still lives; from then on the stream's window is whole."""
        size = self.owed.pop(stream_id, 0)
        if size and self.state_machine.state is not h2.connection.ConnectionState.CLOSED:
            super().acknowledge_received_data(size, stream_id)
            stream = self.streams.get(stream_id)
            if stream is not None and stream.open:
                now = stream._inbound_window_manager.max_window_size  # noqa: SLF001  h2 does not tell it otherwise
                if now < STREAM_WINDOW:
                    self.increment_flow_control_window(STREAM_WINDOW - now, stream_id)

    def send_data(  # type: ignore[override]  # mitmproxy's narrows h2's types as well
        self, stream_id: int, data: bytes, end_stream: bool = False, pad_length: None = None
    ) -> None:
        """Sends, or keeps what the window does not let through; small pieces are kept as one."""
        waiting = self.stream_buffers.get(stream_id)
        if waiting and len(waiting[-1].data) + len(data) <= _JOINED and not waiting[-1].end_stream:
            waiting[-1] = SendH2Data(waiting[-1].data + data, end_stream)
        else:
            super().send_data(stream_id, data, end_stream)

    def kept(self, stream_id: int) -> int:
        """Bytes that wait for the receiver's window."""
        return sum(len(piece.data) for piece in self.stream_buffers.get(stream_id, ()))


class Client2(http2.Http2Server):
    """HTTP/2 with the client.

    Args:
        busy: how many requests of this connection are not done, those included that the client gave up.
    """

    h2_conn: Metered

    def __init__(self, context: Context, busy: Callable[[], int]) -> None:
        super().__init__(context)
        self.h2_conn = Metered(self.h2_conf, first_window=_FIRST_WINDOW, most_idle=_MOST_IDLE_FRAMES)
        self._busy = busy
        self._resets = 0

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, Credit):
            yield from _give(self, event.stream_id)
            return
        if isinstance(event, Unanswered) and (said := self._in_words(event)):
            for one in said:
                yield from self._handle_event(one)
            return
        if isinstance(event, ResponseHeaders):
            self._resets -= 1
        if isinstance(event, ResponseHeaders | ResponseData):
            self.h2_conn.goes_on()
        yield from super()._handle_event(event)

    def handle_h2_event(self, event: h2.events.Event) -> Commands:
        """Takes what asks or brings something; ends with what only makes work."""
        if isinstance(event, h2.events.StreamReset):
            self._resets += 1
        if isinstance(event, Flooded) or self._resets > _MOST_RESETS or self._is_busy(event):
            return (yield from _calm(self))
        return (yield from super().handle_h2_event(event))

    def owed(self) -> list[int]:
        """The streams on which the client may not go on yet."""
        return list(self.h2_conn.owed)

    def kept(self, stream_id: int) -> int:
        """Bytes of the answer that wait for the client's window."""
        return self.h2_conn.kept(stream_id)

    def _in_words(self, error: Unanswered) -> Sequence[HttpEvent]:
        """The answer that says why there is none; nothing where one has begun, or can't any more."""
        status, stream_id = error.code.http_status_code(), error.stream_id
        if status is None or not self.is_open_for_us(stream_id):
            return ()
        if self.h2_conn.streams[stream_id].state_machine.headers_sent:
            return ()
        refusal = answer(status, error.message, error.form)
        body = ResponseData(stream_id, refusal.raw_content or b"")
        return ResponseHeaders(stream_id, refusal, end_stream=False), body, ResponseEndOfMessage(stream_id)

    def _is_busy(self, event: h2.events.Event) -> bool:
        return isinstance(event, h2.events.RequestReceived) and self._busy() >= _MOST_BUSY


class Store2(http2.Http2Client):
    """HTTP/2 with a store."""

    h2_conn: Metered

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.h2_conn = Metered(self.h2_conf, first_window=STREAM_WINDOW, most_idle=_MOST_IDLE_OF_STORES)
        self.h2_conn.local_settings.enable_push = 0
        self.h2_conn.local_settings.acknowledge()
        self._informational = 0

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, Credit):
            yield from _give(self, event.stream_id)
            return
        if isinstance(event, RequestHeaders):  # a request that is sent once more has a new stream
            self.our_stream_id.pop(event.stream_id, None)
        if isinstance(event, RequestHeaders | RequestData):
            self.h2_conn.goes_on()
        yield from super()._handle_event(event)

    def handle_h2_event(self, event: h2.events.Event) -> Commands:
        """Takes an answer; ends with a store that only says that one will come, or not even that."""
        if isinstance(event, h2.events.InformationalResponseReceived):
            self._informational += 1
            if self._informational > MOST_INFORMATIONAL * MOST_STREAMS:
                yield from self.protocol_error("nothing but informational answers")
                return True
        elif isinstance(event, h2.events.ResponseReceived):
            self._informational = 0
        elif isinstance(event, Flooded):
            return (yield from _calm(self))
        return (yield from super().handle_h2_event(event))

    def asked_by(self, stream_id: int) -> int | None:
        """The client's stream for one of the store's."""
        return self.their_stream_id.get(stream_id)

    def kept(self, stream_id: int) -> int:
        """Bytes of the client's stream that wait for the store's window, or for a stream there."""
        waiting = sum(len(getattr(one, "data", b"")) for one in self.stream_queue.get(stream_id, ()))
        ours = self.our_stream_id.get(stream_id)
        return waiting if ours is None else waiting + self.h2_conn.kept(ours)


def _give(side: Client2 | Store2, stream_id: int) -> Commands:
    side.h2_conn.give(stream_id)
    if data := side.h2_conn.data_to_send():
        yield SendData(side.conn, data)


def _calm(side: Client2 | Store2) -> layer.CommandGenerator[bool]:
    """Ends the connection with a peer that makes work for nothing."""
    yield from side.protocol_error("too much work for nothing", h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
    return True
