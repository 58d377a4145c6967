"""A streaming HTTP/1.1 client on h11 that runs over any byte stream."""

from connectors.http1.client import Client, Connect, Response
from connectors.http1.connection import Connection
from connectors.http1.errors import store_errors

__all__ = ["Client", "Connect", "Connection", "Response", "store_errors"]
