"""The tunnel: streams as asyncio transports, over a session that outlives its websockets. Both ends use it.

greeting     who is there: the handshake
carrier      a session, its websocket of the moment, the local ends of its streams
transport    one stream, as asyncio knows transports
relay        a stream and a socket as one
"""

from connect_agent.tunnel.carrier import Carrier
from connect_agent.tunnel.errors import Refusal, SessionEnded, TunnelLost
from connect_agent.tunnel.greeting import Greeting, greet_as_agent, greet_as_hub
from connect_agent.tunnel.relay import RelayEnd

__all__ = [
    "Carrier",
    "Greeting",
    "Refusal",
    "RelayEnd",
    "SessionEnded",
    "TunnelLost",
    "greet_as_agent",
    "greet_as_hub",
]
