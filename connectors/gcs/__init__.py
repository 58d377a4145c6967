"""Google Cloud Storage by its JSON API: service accounts, resumable uploads, generations as versions."""

from connectors.gcs.connector import GcsConnector

__all__ = ["GcsConnector"]
