"""A running agent: its settings as they are now, and what it knows of each of its tunnels."""

from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection

from connect_agent.dial import Dialler
from connect_agent.identity import Identity
from connect_agent.policy import Policy
from connect_agent.protocol import NO_SESSION
from connect_agent.settings import Settings
from connect_agent.tunnel import Carrier

_HUBS = 2


@dataclass(slots=True)
class Tunnel:
    """What is known of the way to one hub, from one websocket to the next."""

    url: str
    carrier: Carrier | None = None
    session: bytes = NO_SESSION
    hub: str = ""
    websocket: ClientConnection | None = None
    since: float = 0.0
    error: str = ""

    @property
    def connected(self) -> bool:
        """Whether a websocket carries it now."""
        return self.carrier is not None and self.carrier.live

    def forget_session(self) -> None:
        """The session is over: what it dialled is closed."""
        if self.carrier is not None:
            self.carrier.expire()
        self.carrier, self.session = None, NO_SESSION


@dataclass(slots=True)
class Agent:
    """One running agent: its settings as they are now, and its tunnels."""

    settings: Settings
    identity: Identity
    policy: Policy = field(init=False)
    tunnels: list[Tunnel] = field(init=False)
    dialler: Dialler = field(init=False)
    stopping: bool = False

    def __post_init__(self) -> None:
        self.policy = self.settings.policy()
        self.tunnels = [Tunnel(url) for url in self.settings.connect[:_HUBS]]
        self.dialler = Dialler(lambda: self.policy, self.settings.dial_timeout)
