"""mitmproxy's layers as we need them: bounded heads, in time, and never anything but HTTP.

mitmproxy chooses a protocol by its first bytes and passes on raw what it does not know; here what is neither
TLS nor HTTP ends. What a refused request still sends is dropped, not kept.
"""

from typing import Any, Final

from mitmproxy.connection import Connection, Server
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer, layers, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers import tls as tls_layers
from mitmproxy.proxy.layers.http import GetHttpConnection, GetHttpConnectionCompleted, HTTPMode
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError

from gateway.proxy.passing.passages import Passages
from gateway.proxy.passing.relay import Begun
from gateway.proxy.wire import stores
from gateway.proxy.wire.exchange import Stream
from gateway.proxy.wire.faults import StoreFault, Unanswered
from gateway.proxy.wire.heads import LARGEST_HEAD
from gateway.proxy.wire.hooks import FORM, AgentLeft, Reading, ReadingHook
from gateway.proxy.wire.http1 import Client1
from gateway.proxy.wire.http2 import Client2, Credit
from gateway.proxy.wire.store_tls import StoreTLS
from gateway.proxy.wire.stores import Store

_OUTERMOST: Final = 2  # layers: mitmproxy's for a proxy, and TLS
_STORES_FAULTS: Final = (ErrorCode.GENERIC_SERVER_ERROR, ErrorCode.RESPONSE_VALIDATION_FAILED)
_NO_ANSWER = "the store ended the connection, or its answer is malformed"

type Commands = layer.CommandGenerator[Any]


class Layers:
    """The addon that answers mitmproxy's question which layer is next.

    Args:
        passages: which clients are passed through.
        head_timeout: seconds from a head's, or a handshake's, first byte to its last.
    """

    def __init__(self, passages: Passages, head_timeout: float) -> None:
        self._passages = passages
        self._timeout = head_timeout

    def next_layer(self, following: layer.NextLayer) -> None:
        """TLS where the client begins it, with us or with the store's host behind CONNECT, else HTTP.

        After the CONNECT of a passage, its own.
        """
        context = following.context
        begun: bytes = following.data_client()  # type: ignore[no-untyped-call]  # mitmproxy's
        is_tls = starts_like_tls_record(begun)
        last = context.layers[-1]
        if is_tls and isinstance(last, modes.HttpProxy):
            following.layer = ClientTLS(context, self._timeout)
        elif isinstance(last, modes.HttpProxy | ClientTLS) and len(context.layers) <= _OUTERMOST:
            following.layer = Http(context, HTTPMode.regular, self._timeout)
        elif (passage := self._passages.of(context.client)) is not None:
            following.layer = Begun(context, passage)
        elif is_tls and not any(isinstance(one, tls_layers.ServerTLSLayer) for one in context.layers):
            following.layer = tls_layers.ServerTLSLayer(context)
            following.layer.child_layer = ClientTLS(context, self._timeout)
        elif begun or context.client.alpn:
            following.layer = Http(context, HTTPMode.transparent, self._timeout)


class Http(layers.HttpLayer):
    """HTTP with a client and its stores, bounded: whoever sends more than is taken on is told to wait."""

    def __init__(self, context: Context, mode: HTTPMode, head_timeout: float) -> None:
        super().__init__(context, mode)
        self._head_timeout = head_timeout
        self._client: Client1 | Client2
        self._stores: dict[Server, Store] = {}
        self._leaving: set[Connection] = set()
        self._held: set[Connection] = set()

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            context = self.context.fork()
            self._client = (
                Client2(context, lambda: len(self.streams))
                if self.context.client.alpn == b"h2"
                else Client1(context, self._head_timeout)
            )
            self.connections[self.context.client] = self._client
        if isinstance(event, AgentLeft) and event.connection in self._stores:
            self._leaving.add(event.connection)
        elif not isinstance(event, AgentLeft) or event.connection in self.connections:
            yield from super()._handle_event(event)
        if self._leaving:
            yield from self._let_go()
        yield from self._balance()

    def make_stream(self, stream_id: int) -> Commands:
        """One request and its answer."""
        self.streams[stream_id] = Stream(self.context.fork(), stream_id)
        yield from self.event_to_child(self.streams[stream_id], events.Start())

    def event_to_child(self, child: layer.Layer, event: events.Event) -> Commands:
        """Passes an event on; what a client is told of an error is in our words."""
        if isinstance(event, ResponseProtocolError) and child is self._client:
            event = in_our_words(event, self.streams.get(event.stream_id))
        yield from super().event_to_child(child, event)

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> Commands:
        """A connection to the store: one that is open and fit, else a new one."""
        for server, store in list(self._stores.items()) if reuse else ():
            if not event.connection_spec_matches(server) or server in self._leaving:
                continue
            if server in self.waiting_for_establishment:
                self.waiting_for_establishment[server].append(event)
                return
            if server.connected and (store.speaks_http2 or isinstance(self._client, Client1)):
                found = GetHttpConnectionCompleted(event, (server, None))
                yield from self.event_to_child(self.command_sources.pop(event), found)
                return
        self._forget_what_ended()
        yield from self._new_connection(event)

    def _new_connection(self, event: GetHttpConnection) -> Commands:
        context, stack = self.context.fork(), tunnel.LayerStack()
        server = context.server = Server(address=event.address)
        if event.tls:
            server.sni = event.address[0]
            if self.mode is HTTPMode.transparent and event.address == self.context.server.address:
                server.sni = self.context.client.sni or event.address[0]
            stack /= StoreTLS(context)
        self._stores[server] = Store(context)
        stack /= self._stores[server]
        self.connections[server] = stack[0]
        self.waiting_for_establishment[server].append(event)
        yield from self.event_to_child(stack[0], events.Start())

    def _let_go(self) -> Commands:
        """Ends what nobody uses any more of the connections whose agent leaves."""
        for connection in self._leaving - self._used():
            self._leaving.discard(connection)
            if connection.connected:
                yield commands.CloseConnection(connection)

    def _forget_what_ended(self) -> None:
        """Drops ended connections: where HTTP/2 ends with us, each request has one of its own."""
        for server in self._stores.keys() - self._used():
            if not server.connected:
                del self._stores[server], self.connections[server]

    def _used(self) -> set[Connection]:
        """Connections to stores with a request on them, or that one waits for."""
        return {stream.context.server for stream in self.streams.values()} | {*self.waiting_for_establishment}

    def _balance(self) -> Commands:
        """Nobody sends more than is taken on, and what is kept meanwhile has a bound."""
        held = stores.held(self._client, self.streams, self._stores)
        for connection in held ^ self._held:
            yield ReadingHook(Reading(self.context.client, connection, held=connection in held))
        self._held = held
        for connection, stream_id in list(stores.paid(self._client, self.streams, self._stores)):
            yield from self.event_to_child(self.connections[connection], Credit(stream_id))


class ClientTLS(tls_layers.ClientTLSLayer):
    """TLS with a client, whose handshake has a time to end, and whose first message has 64 KiB."""

    def __init__(self, context: Context, handshake_timeout: float) -> None:
        super().__init__(context)
        self._clock = commands.RequestWakeup(handshake_timeout)

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            yield self._clock
        if not (isinstance(event, events.Wakeup) and event.command is self._clock):
            yield from super()._handle_event(event)
        elif self.tunnel_state is tunnel.TunnelState.ESTABLISHING:
            yield commands.CloseConnection(self.tunnel_connection)

    def receive_handshake_data(self, data: bytes) -> Any:
        """Takes what comes of the handshake, unless it is too much."""
        if len(self.recv_buffer) > LARGEST_HEAD:
            return False, "Cannot parse ClientHello: it is larger than 64 KiB"
        return (yield from super().receive_handshake_data(data))


def in_our_words(error: ResponseProtocolError, stream: layers.http.HttpStream | None) -> Unanswered:
    """Why there is no answer, without what the store sent of one: why it wants none of us, if it said so."""
    flow = getattr(stream, "flow", None)  # as soon as its head was read
    why, form = error.message, flow.metadata.get(FORM) if flow else None
    if not isinstance(error, StoreFault) and error.code in _STORES_FAULTS:
        why = (stream.context.server.error if stream else None) or _NO_ANSWER
    return Unanswered(error.stream_id, why, error.code, form)
