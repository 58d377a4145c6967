"""A streaming HTTP/1.1 client on h11 that runs over any byte stream."""

from connectors.http1.client import Client, Connect, Response
from connectors.http1.connection import Connection
from connectors.http1.errors import store_errors
from connectors.http1.leavers import Leavers

__all__ = ["Client", "Connect", "Connection", "Leavers", "Response", "store_errors"]
