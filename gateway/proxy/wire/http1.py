"""HTTP/1.1 on both sides, bounded: heads, what stands between chunks, and what is sent ahead of its turn."""

from typing import Any

from h11._readers import ChunkedReader
from mitmproxy.connection import ConnectionState
from mitmproxy.net.http.http1 import assemble_response, connection_close
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import _http1 as http1
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestHeaders,
    RequestProtocolError,
)

from connectors.interface import ErrorForm
from gateway.proxy.answers import answer
from gateway.proxy.wire import heads
from gateway.proxy.wire.bodies import PassesWhole
from gateway.proxy.wire.faults import StoreFault, Unanswered

type Commands = layer.CommandGenerator[Any]


class Client1(PassesWhole, http1.Http1Server):
    """HTTP/1.1 with the client: a head has 64 KiB and a time, no folds and no stray characters."""

    def __init__(self, context: Context, head_timeout: float) -> None:
        super().__init__(context)
        self._head_timeout = head_timeout
        self._clock: commands.RequestWakeup | None = None
        self._is_last = False

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Wakeup):
            if event.command is self._clock and self.state == self.read_headers:
                yield from self._refuse(408, "the request's head did not come in time")
            return
        yield from super()._handle_event(event)

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        """Reads a head, unless what has come of it is already too much."""
        if isinstance(event, events.DataReceived):
            head, ended = heads.begun(self.buf)
            if len(head) > heads.LARGEST_HEAD:
                yield from self._refuse(431, "the request's head is larger than 64 KiB")
                return
            if ended and (wrong := heads.malformed_request(head)) is not None:
                yield from self._refuse(400, wrong)
                return
            if not ended and self._clock is None and head:
                self._clock = commands.RequestWakeup(self._head_timeout)
                yield self._clock
            if ended:
                self._clock = None
        for command in super().read_headers(event):
            if isinstance(command, ReceiveHttp) and isinstance(command.event, RequestHeaders):
                request = command.event.request  # its headers will be the worker's, without this one
                self._is_last = connection_close(  # type: ignore[no-untyped-call]  # mitmproxy's
                    request.http_version, request.headers
                )
            if isinstance(command, commands.SendData):  # mitmproxy sends nothing else here
                yield from self._refuse(400, "the request's head is malformed")
            else:
                yield command

    def send(self, event: HttpEvent) -> Commands:
        """Sends an answer, or why there is none; half an answer is broken off."""
        if isinstance(event, Unanswered) and self.response is None and self._takes_answers:
            status = event.code.http_status_code()
            if status is not None:
                yield from self._refuse(status, event.message, event.form)
                return
        yield from super().send(event)

    def mark_done(self, *, request: bool = False, response: bool = False) -> Commands:
        """Goes on to the next request, unless the client said that there is none."""
        request_done, response_done = self.request_done or request, self.response_done or response
        asked, answer = self.request, self.response
        is_over = (
            self._is_last and request_done and response_done and asked is not None and answer is not None
        )
        if is_over and not http1.should_make_pipe(asked, answer):  # type: ignore[arg-type]  # neither is None
            self.state = self.done
            yield commands.CloseConnection(self.conn)
        else:
            yield from super().mark_done(request=request, response=response)

    def read_body(self, event: events.Event) -> Commands:
        """Reads the body, whose chunks' lines and trailers are bounded."""
        _bound(self)
        yield from super().read_body(event)

    def wait(self, event: events.Event) -> Commands:
        """Keeps what is sent ahead of its turn, up to a head's size; who sends more is not waited for."""
        if isinstance(event, events.DataReceived) and len(self.buf) > heads.LARGEST_HEAD:
            yield commands.CloseConnection(self.conn)
            gone = RequestProtocolError(
                self.stream_id, "sent ahead of its turn", ErrorCode.CLIENT_DISCONNECTED
            )
            self.state = self.done
            yield ReceiveHttp(gone)
            return
        yield from super().wait(event)

    @property
    def _takes_answers(self) -> bool:
        return bool(self.conn.state & ConnectionState.CAN_WRITE)

    def _refuse(self, status: int, why: str, form: ErrorForm | None = None) -> Commands:
        refusal = answer(status, why, form)
        refusal.headers["Connection"] = "close"
        yield commands.SendData(self.conn, assemble_response(refusal))  # type: ignore[no-untyped-call]  # mitmproxy's
        yield commands.CloseConnection(self.conn)
        self.state = self.done


class Store1(PassesWhole, http1.Http1Client):
    """HTTP/1.1 with a store, which may lie: one answer a request, and no more memory than a head."""

    _informational = 0

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        """Reads a head; what comes before the answer (1xx) is dropped, 101 only taken where it was asked for.

        mitmproxy would take a 100 or 103 for the answer itself.
        """
        while isinstance(event, events.DataReceived) and self.request is not None:
            head, ended = heads.begun(self.buf)
            if len(head) > heads.LARGEST_HEAD:
                yield from self._fault("the head of the store's answer is larger than 64 KiB")
                return
            if not ended:
                return
            asked = self.request.headers.get("upgrade", "").lower() == "websocket"
            if (wrong := heads.malformed_answer(head, wants_websocket=asked)) is not None:
                yield from self._fault(wrong)
                return
            if not heads.is_informational(heads.status_of(head)):
                self._informational = 0
                break
            self._informational += 1
            if self._informational > heads.MOST_INFORMATIONAL:
                yield from self._fault("the store sends nothing but informational answers")
                return
            self.buf.maybe_extract_lines()
        yield from super().read_headers(event)

    def read_body(self, event: events.Event) -> Commands:
        """Reads the body; what follows it on the connection is no answer to anything, and ends it."""
        if self.response_done:
            self.state = self.done
            yield commands.CloseConnection(self.conn)
            return
        _bound(self)
        yield from super().read_body(event)

    def _fault(self, why: str) -> Commands:
        self.state = self.done
        yield commands.CloseConnection(self.conn)
        if self.stream_id is not None:
            yield ReceiveHttp(StoreFault(self.stream_id, why, ErrorCode.GENERIC_SERVER_ERROR))


def _bound(reading: http1.Http1Connection) -> None:
    if isinstance(reading.body_reader, ChunkedReader):
        reading.body_reader = heads.Chunks(reading.body_reader)  # type: ignore[assignment]  # the same calls
