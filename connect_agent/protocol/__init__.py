"""The tunnel protocol, sans-IO: bytes and the time in, events and bytes out. See docs/protocol.md."""

from connect_agent.protocol.errors import OurFault, PeerFault, ProtocolError
from connect_agent.protocol.events import (
    DataReceived,
    Draining,
    Event,
    MoreRoom,
    OpenWanted,
    PeerEnded,
    PolicyChanged,
    StreamBroken,
    StreamOpened,
    StreamRefused,
)
from connect_agent.protocol.frames import LARGEST_DATA, Code
from connect_agent.protocol.handshake import (
    NO_SESSION,
    SUBPROTOCOL,
    AgentHandshake,
    HubHandshake,
    Welcome,
    read_policy,
)
from connect_agent.protocol.session import Limits, Role, Session

__all__ = [
    "LARGEST_DATA",
    "NO_SESSION",
    "SUBPROTOCOL",
    "AgentHandshake",
    "Code",
    "DataReceived",
    "Draining",
    "Event",
    "HubHandshake",
    "Limits",
    "MoreRoom",
    "OpenWanted",
    "OurFault",
    "PeerEnded",
    "PeerFault",
    "PolicyChanged",
    "ProtocolError",
    "Role",
    "Session",
    "StreamBroken",
    "StreamOpened",
    "StreamRefused",
    "Welcome",
    "read_policy",
]
