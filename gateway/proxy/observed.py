"""The addon that sees every request from its head to its end: it counts, and writes the access log.

It stands behind the one that decides: it wraps the streams that were chosen there, so a piece of a body costs
one addition.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mitmproxy import connection, http

from gateway.proxy.counting import metrics
from gateway.proxy.counting.access_log import Line
from gateway.proxy.counting.metrics import Counts, Metrics, Traffic
from gateway.proxy.grants import Grant, plain_host
from gateway.proxy.passing.passages import PASSAGE, Passage

REFUSAL: Final = "isthmus refusal"
"""In a flow's metadata: why it was not let through, in the words that its sender gets."""
_NOTED: Final = "isthmus noted"
_BAD_GATEWAY: Final = 502  # what mitmproxy answers for a store that gives no answer
_NOT_WHOLE: Final = "client or store went away before the answer was whole"


@dataclass(frozen=True, slots=True)
class Noted:
    """Whose request it is, and its target before anything was put in."""

    grant: Grant
    target: str


@dataclass(slots=True)
class Exchange:
    """A request on its way."""

    noted: Noted | None
    method: str
    host: str
    traffic: Traffic


@dataclass(slots=True)
class Connected:
    """A client's connection: where it counts, and its requests that have not ended, by their flows' ids.

    Attributes:
        passage: what it is, if it passes through without interception, and the CONNECT that opened it.
    """

    counts: Counts | None = None
    passage: tuple[http.HTTPFlow, Exchange, Passage] | None = None
    exchanges: dict[str, tuple[http.HTTPFlow, Exchange]] = field(default_factory=dict)


def note(flow: http.HTTPFlow, grant: Grant) -> None:
    """Says whose request it is, as soon as that is known."""
    flow.metadata[_NOTED] = Noted(grant, flow.request.path)


class Observed:
    """The addon.

    Args:
        counted: where it counts.
        logs: whether it writes the access log.
    """

    def __init__(self, counted: Metrics, *, logs: bool) -> None:
        self._metrics = counted
        self._logs = logs
        self._clients: dict[str, Connected] = {}

    @property
    def clients(self) -> int:
        """Connections of clients, now."""
        return len(self._clients)

    def client_connected(self, client: connection.Client) -> None:
        """A client is there."""
        self._clients[client.id] = Connected()

    def client_disconnected(self, client: connection.Client) -> None:
        """A client is gone, and with it what it was waiting for."""
        if (gone := self._clients.pop(client.id, None)) is None:
            return
        for flow, exchange in gone.exchanges.values():
            self._broken(flow, exchange)
        if gone.passage is not None:
            self._passed(*gone.passage)
        if gone.counts is not None:
            gone.counts.connections -= 1

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """CONNECT was let through, or not."""
        exchange = self._exchange(flow)
        if flow.response is not None:
            self._refused(flow, exchange)
            return
        self._settle(flow.client_conn, exchange.traffic.counts)
        passage, client = flow.metadata.get(PASSAGE), self._clients.get(flow.client_conn.id)
        if passage is not None and client is not None:
            client.passage = flow, exchange, passage
            passage.traffic = exchange.traffic
            exchange.traffic.counts.passed += 1

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A request begins; one that was let through is in flight from here on."""
        exchange = self._exchange(flow)
        if (client := self._clients.get(flow.client_conn.id)) is None:
            return
        client.exchanges[flow.id] = flow, exchange
        if flow.response is not None or flow.error is not None:
            return
        self._settle(flow.client_conn, exchange.traffic.counts)
        exchange.traffic.counts.in_flight += 1
        flow.request.stream = _counted(flow.request.stream, exchange.traffic.sent)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """The store's answer begins."""
        found = self._open(flow)
        if found is not None and flow.response is not None and REFUSAL not in flow.metadata:
            flow.response.stream = _counted(flow.response.stream, found.traffic.received)

    def response(self, flow: http.HTTPFlow) -> None:
        """A request has its whole answer."""
        if (exchange := self._ended(flow)) is None or flow.response is None:
            return
        if REFUSAL in flow.metadata:
            self._refused(flow, exchange)
            return
        counts = exchange.traffic.counts
        counts.in_flight -= 1
        first_byte = _seconds(flow.request.timestamp_start, flow.response.timestamp_start)
        whole = _seconds(flow.request.timestamp_start, flow.response.timestamp_end)
        counts.answer(flow.response.status_code, first_byte, whole)
        self._write(flow, exchange, flow.response.status_code, None)

    def error(self, flow: http.HTTPFlow) -> None:
        """A request gets no whole answer: client or store went away, or the head was malformed."""
        if (exchange := self._ended(flow)) is not None:
            self._broken(flow, exchange)

    def _exchange(self, flow: http.HTTPFlow) -> Exchange:
        noted = flow.metadata.get(_NOTED)
        host = f"{plain_host(flow.request.host)}:{flow.request.port}"
        if noted is None:  # what somebody unknown names is not counted by its name
            counts = self._metrics.of(None, metrics.OTHER)
        else:
            counts = self._metrics.of(noted.grant.account, host)
        return Exchange(noted, flow.request.method, host, Traffic(counts))

    def _settle(self, client: connection.Client, counts: Counts) -> None:
        """The client's connection counts here from now on."""
        found = self._clients.get(client.id)
        if found is None or found.counts is counts:
            return
        if found.counts is not None:
            found.counts.connections -= 1
        found.counts = counts
        counts.connections += 1

    def _open(self, flow: http.HTTPFlow) -> Exchange | None:
        client = self._clients.get(flow.client_conn.id)
        found = client.exchanges.get(flow.id) if client else None
        return found[1] if found else None

    def _ended(self, flow: http.HTTPFlow) -> Exchange | None:
        """The exchange, which is over; None when it was before."""
        client = self._clients.get(flow.client_conn.id)
        found = client.exchanges.pop(flow.id, None) if client else None
        return found[1] if found else None

    def _refused(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        status = flow.response.status_code if flow.response else 0
        client = self._clients.get(flow.client_conn.id)
        said_who = client is not None and client.counts is not None
        gave_token = said_who or "proxy-authorization" in flow.request.headers
        exchange.traffic.counts.refuse(metrics.reason(status, gave_token=gave_token))
        self._write(flow, exchange, status, flow.metadata.get(REFUSAL))

    def _broken(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        counts = exchange.traffic.counts
        if REFUSAL in flow.metadata:  # the client did not wait for the reason
            self._refused(flow, exchange)
            return
        if exchange.noted is None:
            counts.refuse(metrics.reason(400, gave_token=False))
        else:
            counts.in_flight -= 1
            counts.broken += 1
        status = _BAD_GATEWAY if flow.client_conn.connected else None
        if flow.response is not None:
            status = flow.response.status_code
        self._write(flow, exchange, status, _NOT_WHOLE)

    def _passed(self, flow: http.HTTPFlow, exchange: Exchange, passage: Passage) -> None:
        exchange.traffic.counts.broken += passage.failure is not None
        self._write(flow, exchange, 200, passage.failure, passed=True)

    def _write(
        self,
        flow: http.HTTPFlow,
        exchange: Exchange,
        status: int | None,
        refused: str | None,
        *,
        passed: bool = False,
    ) -> None:
        if not self._logs:
            return
        target = exchange.noted.target if exchange.noted else flow.request.path
        Line(
            client=flow.client_conn.peername[0],
            grant=exchange.noted.grant if exchange.noted else None,
            method=exchange.method,
            host=exchange.host,
            target=target if exchange.method != "CONNECT" else "",
            status=status,
            up=exchange.traffic.up,
            down=exchange.traffic.down,
            seconds=_seconds(flow.request.timestamp_start, time.time()),
            refused=refused,
            passed=passed,
        ).write()


def _counted(stream: Any, count: Callable[[int], None]) -> Callable[[bytes], Any]:
    """What mitmproxy is to give each piece of a body to: as it was, and counted."""
    if callable(stream):

        def through(piece: bytes) -> Any:
            count(len(piece))
            return stream(piece)
    else:

        def through(piece: bytes) -> Any:
            count(len(piece))
            return piece

    return through


def _seconds(began: float, ended: float | None) -> float:
    """Between two of mitmproxy's times, which are the wall clock's: never less than none."""
    return max(0.0, (ended or time.time()) - began)
