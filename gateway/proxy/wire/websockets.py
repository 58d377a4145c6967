"""Websockets: what passes behind an answered handshake (RFC 6455, 4), byte for byte and at its reader's pace.

The handshake is a request like others and was authorised as one. mitmproxy's own layer collects each message
before it sends it on, however long it is, and keeps it; here nothing is collected, compressed messages stay
compressed, and whoever reads slowly slows down who sends.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

from mitmproxy.http import HTTPFlow, Request
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context

PASSES: Final = "isthmus websocket passes"
_ASKED_EVERY: Final = 1.0

type Commands = layer.CommandGenerator[Any]


@dataclass
class WebsocketPassesHook(commands.StartHook):  # type: ignore[no-untyped-call]  # mitmproxy's
    """Something is to pass: an addon sets PASSES in the flow's metadata to whether it may, still."""

    flow: HTTPFlow


class Websocket(layer.Layer):
    """Passes bytes between client and store until one of them closes, or the token ends.

    Whether the token still works is asked by what is to pass, once a second: an idle websocket costs nothing,
    and behind a revoked token neither side hears of the other again.
    """

    def __init__(self, context: Context, flow: HTTPFlow) -> None:
        super().__init__(context)
        self._flow = flow
        self._asked = time.monotonic()

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            yield from self._pass_on(event)
        elif isinstance(event, events.ConnectionClosed):
            yield from self._end()

    def _pass_on(self, event: events.DataReceived) -> Commands:
        if time.monotonic() - self._asked >= _ASKED_EVERY:
            yield WebsocketPassesHook(self._flow)
            if not self._flow.metadata.pop(PASSES, False):
                yield from self._end()
                return
            self._asked = time.monotonic()
        client, server = self.context.client, self.context.server
        yield commands.SendData(server if event.connection is client else client, event.data)

    def _end(self) -> Commands:
        """Closes both sides: a websocket has no half-closed state (RFC 6455, 7.1.1)."""
        self._handle_event = self._nothing  # type: ignore[method-assign]  # as mitmproxy's layers do
        yield commands.CloseConnection(self.context.server)
        yield commands.CloseConnection(self.context.client)

    def _nothing(self, event: events.Event) -> Commands:
        yield from ()


def wanted(request: Request) -> bool:
    """Whether the request asks for a websocket."""
    return bool(request.headers.get("upgrade", "").strip().lower() == "websocket")
