"""Any HTTP API or file tree below one URL, with the authorisation that its settings declare."""

from connectors.http.connector import HttpConnector

__all__ = ["HttpConnector"]
