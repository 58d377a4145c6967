"""The gateway's end of the tunnels: the hub that agents connect to, and the dialers that connectors get."""

from gateway.tunnel.dial import DirectDialer, NetworkDialer
from gateway.tunnel.hub import Hub

__all__ = ["DirectDialer", "Hub", "NetworkDialer"]
