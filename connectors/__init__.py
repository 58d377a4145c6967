"""Connectors: plugins that open stores. Nothing is imported here, so that no store's library is a must."""
