"""Azure Blob Storage: one container, or what lies below a prefix in it."""

from connectors.azure.connector import AzureConnector

__all__ = ["AzureConnector"]
