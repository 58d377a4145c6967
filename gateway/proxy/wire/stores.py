"""A client's connections to stores, and who is told to wait when somebody takes less than is sent.

HTTP/2 is held back by its window, which is opened again only for what went on (`http2.Credit`); HTTP/1.1 by
not being read. An HTTP/2 connection itself is read all the time, else the windows it opens would not be seen
and two sides could wait for each other.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import commands, events, layer, layers
from mitmproxy.proxy.layers.http import RegisterHttpConnection

from gateway.proxy.wire.http1 import Client1, Store1
from gateway.proxy.wire.http2 import Client2, Store2

_MOST_KEPT: Final = 256 * 1024
"""Bytes of one stream that are kept for a receiver of HTTP/2, and as much more as its sender's window."""
_MOST_WAITING: Final = 4
_MOST_WAITING_IN_HTTP2: Final = 64

type Commands = layer.CommandGenerator[Any]
type Stores = Mapping[Server, "Store"]


type Streams = Mapping[int, layers.http.HttpStream]


class Store(layers.http.HttpClient):
    """A connection to a store, in the version of HTTP that it chose."""

    _http2: Store2 | None = None

    def _handle_event(self, event: events.Event) -> Commands:
        server, error = self.context.server, None
        if not server.connected:
            error = yield commands.OpenConnection(server)
        if not error:
            if server.alpn == b"h2":
                self.child_layer = self._http2 = Store2(self.context)
            else:
                self.child_layer = Store1(self.context)
            self._handle_event = self.child_layer.handle_event  # type: ignore[method-assign]  # as mitmproxy
            yield from self._handle_event(event)
        yield RegisterHttpConnection(server, error)

    @property
    def speaks_http2(self) -> bool:
        """Whether one connection carries several requests at a time."""
        return self._http2 is not None

    def kept(self, stream_id: int) -> int:
        """Bytes of the client's stream that the store does not take yet."""
        return self._http2.kept(stream_id) if self._http2 else 0

    def owed(self) -> list[tuple[int, int]]:
        """The streams on which the store may not go on yet, each with the client's that it answers, or 0."""
        if self._http2 is None:
            return []
        return [(one, self._http2.asked_by(one) or 0) for one in self._http2.h2_conn.owed]


def held(client: Client1 | Client2, streams: Streams, stores: Stores) -> set[Connection]:
    """The connections that are not to be read for now."""
    found: set[Connection] = set()
    most_waiting = _MOST_WAITING_IN_HTTP2 if isinstance(client, Client2) else _MOST_WAITING
    for stream_id, stream in streams.items():
        store = stores.get(stream.context.server)
        if _waiting(stream) > most_waiting:
            found.add(client.conn)
        if store is None:
            continue
        if isinstance(client, Client2):
            if not store.speaks_http2 and client.kept(stream_id) > _MOST_KEPT:
                found.add(stream.context.server)
        elif store.kept(stream_id) > _MOST_KEPT:
            found.add(client.conn)
    return found


def paid(client: Client1 | Client2, streams: Streams, stores: Stores) -> Iterator[tuple[Connection, int]]:
    """Connections and their streams on which what was received has gone on, or was dropped."""
    if isinstance(client, Client2):
        for stream_id in client.owed():
            stream = streams.get(stream_id)
            store = stores.get(stream.context.server) if stream else None
            kept = store.kept(stream_id) if store else 0
            if stream is None or (not _waiting(stream) and kept <= _MOST_KEPT):
                yield client.conn, stream_id
    for server, one in stores.items():
        for stream_id, asked_by in one.owed():
            if isinstance(client, Client1) or client.kept(asked_by) <= _MOST_KEPT:
                yield server, stream_id


def _waiting(stream: layers.http.HttpStream) -> int:
    """Events that wait for a decision of the worker, or for a connection."""
    return len(stream._paused_event_queue)  # noqa: SLF001  mitmproxy has no other way to ask
