"""A folder of the gateway's machine as a store."""

from connectors.local.connector import LocalConnector
from connectors.local.settings import LocalSettings

__all__ = ["LocalConnector", "LocalSettings"]
