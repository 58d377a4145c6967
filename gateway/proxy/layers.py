"""mitmproxy's layers as we need them: bounded heads, in time, and never anything but HTTP.

mitmproxy chooses a protocol by its first bytes and passes on raw what it does not know; here what is neither
TLS nor HTTP ends. What a refused request still sends is dropped, not kept.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mitmproxy.http import HTTPFlow
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer, layers, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers import tls as tls_layers
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.layers.http import _http1 as http1
from mitmproxy.proxy.layers.http._base import HttpCommand
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpResponseHeadersHook

from gateway.proxy.grants import Denied
from gateway.proxy.passages import Passages
from gateway.proxy.relay import Begun, workers_words
from gateway.proxy.websockets import Websocket, wanted

LARGEST_HEAD: Final = 64 * 1024
AGAIN: Final = "isthmus again"
WORKER_TLS: Final = "isthmus worker's TLS"
WHY_REFUSED: Final = "isthmus body refused"
HEAD_TIMEOUT: Final = 30.0
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")

type Commands = layer.CommandGenerator[Any]


@dataclass
class AuthorisationRefusedHook(commands.StartHook):  # type: ignore[no-untyped-call]  # mitmproxy's
    """The store answered 401. An addon that set AGAIN in the flow's metadata has authorised it anew."""

    flow: HTTPFlow


@dataclass
class BodyRefusedHook(commands.StartHook):  # type: ignore[no-untyped-call]  # mitmproxy's
    """What a body went through has refused it, as WHY_REFUSED in the flow's metadata. An addon answers."""

    flow: HTTPFlow


class Layers:
    """The addon that answers mitmproxy's question which layer is next."""

    def __init__(self, passages: Passages) -> None:
        self._passages = passages

    def next_layer(self, following: layer.NextLayer) -> None:
        """TLS where the client begins it, else HTTP; a proxy first, the store's host after CONNECT.

        After the CONNECT of a passage, its own.
        """
        context = following.context
        begun: bytes = following.data_client()  # type: ignore[no-untyped-call]  # mitmproxy's
        is_tls = starts_like_tls_record(begun)
        if isinstance(context.layers[-1], modes.HttpProxy):
            stack = tunnel.LayerStack()
            if is_tls:  # the proxy itself is spoken to over TLS
                stack /= tls_layers.ClientTLSLayer(context)
            stack /= Http(context, HTTPMode.regular)
            following.layer = stack[0]
        elif (passage := self._passages.of(context.client)) is not None:
            following.layer = Begun(context, passage)
        elif is_tls and not any(isinstance(one, tls_layers.ServerTLSLayer) for one in context.layers):
            following.layer = tls_layers.ServerTLSLayer(context)
            following.layer.child_layer = tls_layers.ClientTLSLayer(context)
        elif begun or context.client.alpn:
            following.layer = Http(context, HTTPMode.transparent)


class Http(layers.HttpLayer):
    """HTTP with a client, whose heads are bounded."""

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start) and self.context.client.alpn != b"h2":
            self.connections[self.context.client] = Client1(self.context.fork())
        yield from super()._handle_event(event)

    def make_stream(self, stream_id: int) -> Commands:
        """One request and its answer."""
        self.streams[stream_id] = Stream(self.context.fork(), stream_id)
        yield from self.event_to_child(self.streams[stream_id], events.Start())


class Client1(http1.Http1Server):
    """HTTP/1.1 with the client: a head has 64 KiB and 30 seconds, no folded lines and no stray characters."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._clock: commands.RequestWakeup | None = None

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Wakeup):
            if event.command is self._clock and self.state == self.read_headers:
                yield from self._refuse(408, "the request's head did not come in time")
            return
        yield from super()._handle_event(event)

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        """Reads a head, unless what has come of it is already too much."""
        if isinstance(event, events.DataReceived):
            head, ended = self._head()
            if len(head) > LARGEST_HEAD:
                yield from self._refuse(431, "the request's head is larger than 64 KiB")
                return
            if ended and (wrong := _malformed(head)) is not None:
                yield from self._refuse(400, wrong)
                return
            if not ended and self._clock is None and head:
                self._clock = commands.RequestWakeup(HEAD_TIMEOUT)
                yield self._clock
            if ended:
                self._clock = None
        yield from super().read_headers(event)

    def _head(self) -> tuple[bytes, bool]:
        """What has come of the head, and whether it is whole."""
        have = bytes(self.buf)[: LARGEST_HEAD + 4]
        ends = [at for mark in (b"\r\n\r\n", b"\n\n", b"\n\r\n") if (at := have.find(mark)) >= 0]
        return (have[: min(ends)], True) if ends else (have, False)

    def _refuse(self, status: int, why: str) -> Commands:
        yield commands.SendData(self.conn, http1.make_error_response(status, why))
        yield commands.CloseConnection(self.conn)
        self.state = self.done


class Stream(layers.http.HttpStream):
    """One request and its answer; one that the store refuses (401) is sent once more, authorised anew.

    That takes a request without a body, since a body is gone when the answer comes, and HTTP/1.1 to the
    store: mitmproxy has one stream there for each of the client's, and with HTTP/2 it is used up.
    """

    _has_body = False
    _was_refused = False
    _broken_off = False
    _through: Callable[[bytes], Sequence[bytes]] | None = None  # what may refuse the body on its way

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Wakeup):
            yield from self._send_again()
        else:
            yield from super()._handle_event(event)

    def state_wait_for_request_headers(self, event: RequestHeaders) -> Commands:
        """The head. A refusal is answered at once: a sender may wait for it with the body (100-continue)."""
        yield from super().state_wait_for_request_headers(event)
        is_refused = self.client_state == self.state_consume_request_body and self.flow.response is not None
        if is_refused and not event.end_stream:
            yield from self._answer()

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> Commands:
        """The answer begins. Of a refusal the worker is told first."""
        if event.response.status_code == 401 and not self._was_refused:
            self._was_refused = True
            self.flow.response = event.response
            yield AuthorisationRefusedHook(self.flow)
            can_be_repeated = not self._has_body and self.context.server.alpn != b"h2"
            if self.flow.metadata.pop(AGAIN, False) and can_be_repeated:
                self.flow.response = None
                self.server_state = self.state_drop_refusal
                return
        yield from super().state_wait_for_response_headers(event)

    def state_drop_refusal(self, event: events.Event) -> Commands:
        """The refusal's body. Its connection is free for the request a moment after its end, not in it."""
        if isinstance(event, ResponseEndOfMessage):
            yield commands.RequestWakeup(0)

    def _send_again(self) -> Commands:
        self.server_state = self.state_wait_for_response_headers
        if (yield from self.make_server_connection()):
            server, request = self.context.server, self.flow.request
            yield _send(RequestHeaders(self.stream_id, request, end_stream=True), server)
            yield _send(RequestEndOfMessage(self.stream_id), server)

    def state_hold_request_head(self, event: events.Event) -> Commands:
        """The head waits for the first of its body that may go on.

        A store that gets a head and no body at all may take it for an empty one: SeaweedFS 4.48 stores that.
        """
        pieces = yield from self._let_through(event)
        if pieces or (pieces is not None and isinstance(event, RequestEndOfMessage)):
            yield from self._send_head()
            if self.client_state == self.state_stream_request_body:
                yield from self._pass_on(event, pieces)

    def state_stream_request_body(self, event: events.Event) -> Commands:
        """A body on its way, which may turn out not to be what its head promised."""
        if self._through is None:
            yield from super().state_stream_request_body(event)
        elif (pieces := (yield from self._let_through(event))) is not None:
            yield from self._pass_on(event, pieces)

    def _let_through(self, event: events.Event) -> layer.CommandGenerator[Sequence[bytes] | None]:
        """What may go on of a body; None when the upload has ended by that. HTTP's own trailers may not."""
        if self._through is None or isinstance(event, RequestTrailers):
            return ()
        try:
            return self._through(event.data if isinstance(event, RequestData) else b"")
        except Denied as refusal:
            yield from self._break_off(event, refusal)
            return None

    def _pass_on(self, event: events.Event, pieces: Sequence[bytes]) -> Commands:
        for piece in pieces:
            yield _send(RequestData(self.stream_id, piece), self.context.server)
        if isinstance(event, RequestEndOfMessage):
            yield from super().state_stream_request_body(event)

    def _break_off(self, event: events.Event, refusal: Denied) -> Commands:
        """Ends the upload before the store has all of it."""
        if self._has_body:  # its head is with the store
            self._broken_off = True
            self.server_state = self.state_errored  # which takes no notice of anything
            end = RequestProtocolError(self.stream_id, "broken off", ErrorCode.KILL)
            yield _send(end, self.context.server)
        if self.flow.response is None:
            self.flow.metadata[WHY_REFUSED] = refusal
            yield BodyRefusedHook(self.flow)
            yield from self._answer()
            yield from self.client_state(event)
        else:  # the store has answered without waiting for the end, and its answer is under way
            self.client_state = self.state_errored
            error = ResponseProtocolError(self.stream_id, "broken off", ErrorCode.KILL)
            yield _send(error, self.context.client)
            yield layers.http.DropStream(self.stream_id)

    def _answer(self) -> Commands:
        """Sends the answer that an addon has made, though there is more of the request: that is dropped."""
        self.client_state = self.state_drop_request_body
        yield HttpResponseHeadersHook(self.flow)
        yield from self.send_response()

    def state_drop_request_body(self, event: events.Event) -> Commands:
        """What a request that was refused still sends."""
        if isinstance(event, RequestEndOfMessage):
            self.client_state = self.state_done
            yield from self.flow_done()

    def start_request_stream(self) -> Commands:
        """Sends the head, unless the body goes through something that may refuse it: then with its first."""
        if callable(self.flow.request.stream):
            through: Any = self.flow.request.stream
            self._through, self.flow.request.stream = through, True
            self.client_state = self.state_hold_request_head
        else:
            yield from self._send_head()

    def _send_head(self) -> Commands:
        """Sends the head; gives a body without a length from HTTP/2 a frame of its own in HTTP/1.1.

        mitmproxy would send such a body bare behind the head, to be read as the next request.
        """
        self._has_body = True
        if not (yield from self.make_server_connection()):
            self.client_state = self.state_errored
            return
        headers = self.flow.request.headers
        if self.context.server.alpn == b"h2":
            headers.pop("transfer-encoding", None)
        elif self.flow.request.is_http2 and "content-length" not in headers:
            headers["transfer-encoding"] = "chunked"
        yield _send(RequestHeaders(self.stream_id, self.flow.request, end_stream=False), self.context.server)
        self.client_state = self.state_stream_request_body

    def flow_done(self) -> Commands:
        """Where the store agreed to a websocket that was asked for, one begins; other upgrades end."""
        if self.flow.websocket is None or not wanted(self.flow.request):
            self.flow.websocket = None
            yield from super().flow_done()
            return
        self.child_layer = Websocket(self.context, self.flow)
        self._handle_event = self.passthrough  # type: ignore[method-assign]  # as mitmproxy does
        yield from self.child_layer.handle_event(events.Start())
        yield _send(ResponseEndOfMessage(self.stream_id), self.context.client)

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        """As mitmproxy's, but without TLS of our own where the worker speaks it with the store."""
        request, via = self.flow.request, self.flow.server_conn.via
        if not self.flow.metadata.get(WORKER_TLS) or via is None:
            return (yield from super().make_server_connection())
        connection, error = yield layers.http.GetHttpConnection((request.host, request.port), False, via)
        if error:
            yield from self.handle_protocol_error(
                ResponseProtocolError(self.stream_id, error, ErrorCode.CONNECT_FAILED)
            )
            return False
        self.context.server = self.flow.server_conn = connection
        return True

    def handle_protocol_error(self, event: Any) -> Commands:
        """Says why a store was not reached in the worker's words, without where the worker is."""
        if self._broken_off and isinstance(event, ResponseProtocolError):
            return  # its connection's end is our own doing
        if isinstance(event, ResponseProtocolError) and (reason := workers_words(event.message)):
            event = ResponseProtocolError(self.stream_id, reason, ErrorCode.CONNECT_FAILED)
        yield from super().handle_protocol_error(event)


def _send(event: Any, connection: Any) -> HttpCommand:
    return layers.http.SendHttp(event, connection)


def _malformed(head: bytes) -> str | None:
    """What is wrong with a head that other parsers read in several ways (RFC 9112, 2.2, 5.1, 5.2)."""
    lines = head.replace(b"\r\n", b"\n").split(b"\n")
    if _CONTROL.search(head.replace(b"\r\n", b"\n")):
        return "a bare CR or another control character in the request's head"
    if any(line[:1] in (b" ", b"\t") for line in lines[1:]):
        return "a folded line in the request's head"
    if any(name != name.rstrip() for name in (line.partition(b":")[0] for line in lines[1:])):
        return "white space before a colon in the request's head"
    hosts = [line for line in lines[1:] if line[:5].lower() == b"host:"]
    return "several Host headers" if len(hosts) > 1 else None


__all__ = [
    "AGAIN",
    "HEAD_TIMEOUT",
    "LARGEST_HEAD",
    "WHY_REFUSED",
    "WORKER_TLS",
    "Layers",
]
