"""mitmproxy's connections as we need them: large reads, none without room elsewhere, cheap hooks."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import fields
from functools import cache, lru_cache
from inspect import isawaitable
from typing import Any, Final

from mitmproxy.addonmanager import AddonManager
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.proxy.server_hooks import ServerConnectionHookData, ServerDisconnectedHook

from gateway.proxy.entrance.streams import Stream
from gateway.proxy.wire.hooks import AgentLeft, StoreWantedHook, Wanted

_log = logging.getLogger(__name__)
_MOST_TO_STORES: Final = 16
"""Connections of one client to stores at a time: to those of HTTP/1.1 each request of HTTP/2 has its own."""


class Handler(ProxyConnectionHandler):
    """One client and its connections to stores: a task each reads, passes on, and waits for room."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)  # type: ignore[no-untyped-call]  # mitmproxy's
        self._held: set[Connection] = set()
        self._room_at_store = asyncio.Semaphore(_MOST_TO_STORES)

    def hold(self, connection: Connection, *, held: bool) -> None:
        """Leaves a connection unread, or reads on."""
        (self._held.add if held else self._held.discard)(connection)
        found = self.transports.get(connection)
        if found is not None and isinstance(found.writer, Stream):
            found.writer.hold(held=held)

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """As mitmproxy, but only who listens is asked: it looks at every addon for each hook, twice."""
        given = [getattr(hook, name) for name in _names(hook.__class__)]  # type: ignore[arg-type]  # a dataclass can be hashed
        with self.timeout_watchdog.disarm():
            for listener in _listeners(self.master.addons, hook.name):
                try:
                    done = listener(*given)
                    if isawaitable(done):
                        await done
                except Exception:  # noqa: BLE001  mitmproxy goes on after an addon's error, as this does
                    _log.exception("an addon failed at %s", hook.name)

    async def open_connection(self, command: commands.OpenConnection) -> None:
        """Serves a connection to a store for its whole life, on the socket that an addon has for it."""
        server, stream = command.connection, None
        wanted, failed = Wanted(self.client, server), "the connection was not waited for"
        async with self._room_at_store:
            try:
                await self.handle_hook(StoreWantedHook(wanted))
                failed = wanted.refused
                if wanted.dialled is not None:
                    loop = asyncio.get_running_loop()
                    _, stream = await loop.create_connection(Stream, sock=wanted.dialled.sock)
            finally:
                if stream is None:
                    if wanted.dialled is not None:
                        wanted.dialled.close()
                    server.error = failed
                    await self.server_event(events.OpenConnectionCompleted(command, failed))
            if stream is not None and wanted.dialled is not None:
                await self._serve_store(command, stream, wanted.dialled.agent)

    async def _serve_store(
        self, command: commands.OpenConnection, stream: Any, agent: socket.socket | None
    ) -> None:
        server = command.connection
        server.timestamp_start = server.timestamp_tcp_setup = time.time()
        server.state, server.peername = ConnectionState.OPEN, server.address
        self.transports[server] = ConnectionIO(asyncio.current_task(), reader=stream, writer=stream)
        await self.server_event(events.OpenConnectionCompleted(command, None))
        try:
            if agent is None:
                await self.handle_connection(server)
            else:
                await self._handle_while(server, agent)
        finally:
            server.timestamp_end = time.time()
            await self.handle_hook(ServerDisconnectedHook(ServerConnectionHookData(server, self.client)))

    async def _handle_while(self, server: Connection, agent: socket.socket) -> None:
        """As `handle_connection`; the layers are told when the agent leaves."""

        async def watch() -> None:
            await asyncio.get_running_loop().sock_recv(agent, 1)
            await self.server_event(AgentLeft(server))

        with agent:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watch(), name="agent left?")
                await self.handle_connection(server)
                watching.cancel()

    async def handle_connection(self, connection: Connection) -> None:
        """As mitmproxy, in larger pieces."""
        io = self.transports[connection]
        if isinstance(io.reader, asyncio.StreamReader) and isinstance(io.writer, asyncio.StreamWriter):
            ours: Any = Stream.taking_over(io.reader, io.writer)  # in the place of both
            io.reader = io.writer = ours
        self.hold(connection, held=connection in self._held)
        await super().handle_connection(connection)


@lru_cache(256)
def _listeners(addons: AddonManager, hook: str) -> tuple[Callable[..., Any], ...]:
    """The methods of that name, in the addons' order; ours have no addons of their own."""
    return tuple(getattr(addon, hook) for addon in addons.chain if hasattr(addon, hook))


@cache
def _names(hook: type[Any]) -> tuple[str, ...]:
    """What a hook of that kind hands over; `Hook.args` looks it up each time."""
    return tuple(field.name for field in fields(hook))
