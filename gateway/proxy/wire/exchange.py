"""One request and its answer, as mitmproxy's streams carry it."""

from collections.abc import Callable, Sequence
from typing import Any

from mitmproxy.proxy import commands, events, layer, layers
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
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._hooks import HttpResponseHeadersHook

from gateway.proxy.grants import Denied
from gateway.proxy.wire.hooks import (
    AGAIN,
    THROUGH,
    WHY_REFUSED,
    WORKER_TLS,
    AuthorisationRefusedHook,
    BodyRefusedHook,
)
from gateway.proxy.wire.websockets import Websocket, wanted

type Commands = layer.CommandGenerator[Any]


class Stream(layers.http.HttpStream):
    """One request and its answer; one that the store refuses (401) is sent once more, authorised anew.

    That takes a request without a body, since a body is gone when the answer comes. Trailers end here, in
    both directions (RFC 9110, 6.5.1): what stands behind a body was not looked at when the head was.
    """

    _has_body = False
    _was_refused = False
    _broken_off = False
    _through: Callable[[bytes], Sequence[bytes]] | None = None  # what may refuse the body on its way

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Wakeup):
            yield from self._send_again()
        elif not isinstance(event, RequestTrailers | ResponseTrailers):
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
            if self.flow.metadata.pop(AGAIN, False) and not self._has_body:
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
        """What may go on of a body; None when the upload has ended by that."""
        if self._through is None:
            return ()
        try:
            return self._through(event.data if isinstance(event, RequestData) else b"")
        except Denied as refusal:
            yield from self._break_off(event, refusal)
            return None

    def _pass_on(self, event: events.Event, pieces: Sequence[bytes]) -> Commands:
        counted: Any = (
            self.flow.request.stream
        )  # by the addon that observes; here nothing else changes pieces
        for piece in pieces:
            if callable(counted):
                counted(piece)
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
        self._through = self.flow.metadata.pop(THROUGH, None)
        if self._through is not None:
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
        if not self.flow.metadata.get(WORKER_TLS):
            return (yield from super().make_server_connection())
        place = self.flow.request.host, self.flow.request.port
        connection, error = yield layers.http.GetHttpConnection(place, False, None)
        if error:
            yield from self.handle_protocol_error(
                ResponseProtocolError(self.stream_id, error, ErrorCode.CONNECT_FAILED)
            )
            return False
        self.context.server = self.flow.server_conn = connection
        return True

    def handle_protocol_error(self, event: Any) -> Commands:
        """An upload that we broke off ends its connection, which is no error of the store's."""
        if not (self._broken_off and isinstance(event, ResponseProtocolError)):
            yield from super().handle_protocol_error(event)


def _send(event: Any, connection: Any) -> HttpCommand:
    return layers.http.SendHttp(event, connection)
