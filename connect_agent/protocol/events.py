"""What the session tells the shell."""

from dataclasses import dataclass

from connect_agent.protocol.frames import Code


@dataclass(frozen=True, slots=True)
class OpenWanted:
    """Agent: the hub wants host and port; answer with `opened` or `refuse`."""

    stream: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """Hub: the agent is connected."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamRefused:
    """Hub: it is not."""

    stream: int
    code: Code
    text: str


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Bytes in order, each once; say `consumed` when the local end took them."""

    stream: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class PeerEnded:
    """No more bytes will come; we may still send."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamBroken:
    """The stream is over and not by both ends' wish."""

    stream: int
    code: Code


@dataclass(frozen=True, slots=True)
class MoreRoom:
    """The peer took bytes: what waits to be sent on the stream became less."""

    stream: int


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """Hub: the agent's allow-list, as JSON."""

    text: str


@dataclass(frozen=True, slots=True)
class Draining:
    """The peer wants no new streams."""


type Event = (
    OpenWanted
    | StreamOpened
    | StreamRefused
    | DataReceived
    | PeerEnded
    | StreamBroken
    | MoreRoom
    | PolicyChanged
    | Draining
)
