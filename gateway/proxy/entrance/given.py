"""mitmproxy's mode `given:3,4`: an HTTP proxy on sockets that are there already, by their descriptors."""

import asyncio
import socket
from typing import Any, Final

from mitmproxy import ctx
from mitmproxy.proxy import layers, mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.mode_servers import AsyncioServerInstance

from gateway.listening import BACKLOG
from gateway.proxy.entrance.connections import Handler

_AT_ONCE: Final = 1
"""Connections that are accepted before the loop does anything else. asyncio would take a hundred, so that all
of a burst went to the process that woke first."""


class GivenMode(mode_specs.ProxyMode):  # type: ignore[no-untyped-call]  # mitmproxy's __init_subclass__
    """Registered with mitmproxy by its name."""

    description = "HTTP(S) proxy on sockets that were handed down"
    transport_protocol = mode_specs.TCP

    def __post_init__(self) -> None:
        """Raises ValueError for anything but descriptors."""
        self.descriptors()

    def descriptors(self) -> list[int]:
        """The sockets' descriptors."""
        return [int(word) for word in self.data.split(",")]


class GivenInstance(AsyncioServerInstance[GivenMode]):  # type: ignore[no-untyped-call]  # as above
    """Registered with mitmproxy as what serves the mode above."""

    def make_top_layer(self, context: Context) -> Any:
        """As for mitmproxy's regular mode."""
        return layers.modes.HttpProxy(context)

    async def handle_stream(self, reader: Any, writer: Any = None) -> None:
        """One client, from its first byte to its last."""
        handler = Handler(ctx.master, reader, writer, ctx.options, self.mode)
        handler.layer = self.make_top_layer(handler.layer.context)
        with self.manager.register_connection(handler.client.id, handler):
            await handler.handle_client()

    async def listen(self, host: str, port: int) -> Any:
        """Serves on the given sockets; host and port are as they are."""
        servers = []
        for descriptor in self.mode.descriptors():
            sock = socket.socket(fileno=descriptor)
            servers.append(await asyncio.start_server(self.handle_stream, sock=sock, backlog=_AT_ONCE))
            sock.listen(BACKLOG)  # asyncio has set the queue's length to what it accepts at once
        return servers
