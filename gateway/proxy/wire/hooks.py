"""What the layers ask the addons and hear, beside mitmproxy's own, and what flows' metadata says to both."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from mitmproxy.connection import Client, Connection, Server
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy import commands, events

from connectors.interface import StoreError
from gateway.operations import WorkerUnavailable
from gateway.operations.dialing import Dialled

AGAIN: Final = "isthmus again"
"""Set where a refused request has been authorised anew."""
WORKER_TLS: Final = "isthmus worker's TLS"
"""Set where the worker speaks TLS with the store, and the proxy does not."""
THROUGH: Final = "isthmus body goes through"
"""Set to what the request's body is to go through on its way, and may be refused by (`payloads.Through`)."""
FORM: Final = "isthmus error form"
"""Set to the ErrorForm of the store's programs, as soon as the store is known."""
WHY_REFUSED: Final = "isthmus body refused"
"""Set to the Denied that a body was refused with on its way."""


@dataclass
class AuthorisationRefusedHook(commands.StartHook):  # type: ignore[no-untyped-call]  # mitmproxy's
    """The store answered 401. An addon that set AGAIN in the flow's metadata has authorised it anew."""

    flow: HTTPFlow


@dataclass
class BodyRefusedHook(commands.StartHook):  # type: ignore[no-untyped-call]  # mitmproxy's
    """What a body went through has refused it, as WHY_REFUSED in the flow's metadata. An addon answers."""

    flow: HTTPFlow


@dataclass(frozen=True, slots=True)
class Reading:
    """Whether a connection of the client's, or to its stores, is to be left unread."""

    client: Client
    connection: Connection
    held: bool


@dataclass
class ReadingHook(commands.StartHook):  # type: ignore[no-untyped-call]  # mitmproxy's
    """A connection's bytes are not wanted for now, or wanted again."""

    reading: Reading
    blocking = False


@dataclass(slots=True)
class Wanted:
    """A connection to a store that a client's request needs.

    Attributes:
        dialled: what an addon has for it.
        refused: why there is none, in words for the client.
    """

    client: Client
    server: Server
    dialled: Dialled | None = None
    refused: str = "this proxy connects to nothing but what was let through"

    async def take(self, dialling: Awaitable[Dialled]) -> None:
        """It is what was dialled, or the reason why nothing was."""
        try:
            self.dialled = await dialling
        except (StoreError, WorkerUnavailable) as error:
            self.refused = str(error)


@dataclass
class StoreWantedHook(commands.StartHook):  # type: ignore[no-untyped-call]  # mitmproxy's
    """A connection to a store is needed. An addon gives it; there is no other way to have one."""

    wanted: Wanted


@dataclass
class AgentLeft(events.ConnectionEvent):
    """The agent that a connection to a store leads through leaves: what runs on it ends, nothing begins."""
