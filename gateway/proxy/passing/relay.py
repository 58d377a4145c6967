"""The layers of a passage: the client's first message is read, then bytes go both ways as they are."""

from typing import Any, Final

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import TCPLayer
from mitmproxy.proxy.layers.tls import parse_client_hello

from gateway.proxy.grants import plain_host
from gateway.proxy.passing.passages import Passage

LARGEST_HELLO: Final = 16 * 1024
HELLO_TIMEOUT: Final = 10.0
_ALERT: Final = bytes((21, 3, 3, 0, 2, 2))  # a fatal one (RFC 8446, 6)
_UNRECOGNIZED_NAME, _INTERNAL_ERROR = 112, 80

type Commands = layer.CommandGenerator[Any]


class Begun(layer.Layer):
    """Waits for a whole ClientHello that names the host of the CONNECT line; anything else ends it."""

    def __init__(self, context: Context, passage: Passage) -> None:
        super().__init__(context)
        self._passage = passage
        self._hello = bytearray()
        self._through: layer.Layer | None = None

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            yield commands.RequestWakeup(HELLO_TIMEOUT)
        elif isinstance(event, events.Wakeup):
            if self._through is None and self._passage.failure is None:
                yield from self._end("no TLS ClientHello came in time")
        elif self._through is not None:
            yield from self._through.handle_event(event)
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(self.context.client)
        elif isinstance(event, events.DataReceived) and self._passage.failure is None:
            self._hello += event.data
            yield from self._read()

    def _read(self) -> Commands:
        try:
            hello = parse_client_hello(bytes(self._hello))
        except ValueError:
            yield from self._end("what passes through must begin with a TLS ClientHello")
            return
        if hello is None:
            if len(self._hello) > LARGEST_HELLO:
                yield from self._end("the TLS ClientHello is larger than 16 KiB")
        elif plain_host(hello.sni or "") != self._passage.host:
            yield from self._end("the TLS server name is for another host than the CONNECT line")
        else:
            yield from self._pass_through()

    def _pass_through(self) -> Commands:
        self._through = Relay(self.context, self._passage)
        yield from self._through.handle_event(events.Start())
        first = events.DataReceived(self.context.client, bytes(self._hello))
        yield from self._through.handle_event(first)

    def _end(self, why: str) -> Commands:
        self._passage.failure = why
        yield commands.SendData(self.context.client, _ALERT + bytes((_UNRECOGNIZED_NAME,)))
        yield commands.CloseConnection(self.context.client)


class Relay(TCPLayer):
    """Bytes both ways, counted, not kept. mitmproxy waits for each write: a slow reader stops the other."""

    def __init__(self, context: Context, passage: Passage) -> None:
        super().__init__(context, ignore=True)
        self._passage = passage

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            yield from self._connect()
        elif self._passage.failure is None:
            if isinstance(event, events.DataReceived):
                traffic = self._passage.traffic
                count = traffic.sent if event.connection == self.context.client else traffic.received
                count(len(event.data))
            yield from self.relay_messages(event)

    def _connect(self) -> Commands:
        if (wrong := (yield commands.OpenConnection(self.context.server))) is not None:
            self._passage.failure = wrong
            yield commands.SendData(self.context.client, _ALERT + bytes((_INTERNAL_ERROR,)))
            yield commands.CloseConnection(self.context.client)
