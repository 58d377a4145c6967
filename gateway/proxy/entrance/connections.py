"""mitmproxy's connections as we need them: large reads, none without room elsewhere, cheap hooks."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import fields
from functools import cache, lru_cache
from inspect import isawaitable
from typing import Any

from mitmproxy.addonmanager import AddonManager
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from gateway.proxy.entrance.streams import Stream

_log = logging.getLogger(__name__)


class Handler(ProxyConnectionHandler):
    """One client and its connections to stores: a task each reads, passes on, and waits for room."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)  # type: ignore[no-untyped-call]  # mitmproxy's
        self._held: set[Connection] = set()

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

    async def handle_connection(self, connection: Connection) -> None:
        """As mitmproxy, in larger pieces."""
        io = self.transports[connection]
        if isinstance(io.reader, asyncio.StreamReader) and isinstance(io.writer, asyncio.StreamWriter):
            ours: Any = Stream.taking_over(io.reader, io.writer)  # in the place of both
            io.reader = io.writer = ours
            ours.hold(held=connection in self._held)
        await super().handle_connection(connection)


@lru_cache(256)
def _listeners(addons: AddonManager, hook: str) -> tuple[Callable[..., Any], ...]:
    """The methods of that name, in the addons' order; ours have no addons of their own."""
    return tuple(getattr(addon, hook) for addon in addons.chain if hasattr(addon, hook))


@cache
def _names(hook: type[Any]) -> tuple[str, ...]:
    """What a hook of that kind hands over; `Hook.args` looks it up each time."""
    return tuple(field.name for field in fields(hook))
