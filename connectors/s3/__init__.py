"""S3 and the many stores that speak its protocol: one bucket, or what lies below a prefix in it."""

from importlib.util import find_spec

# botocore signs; it takes long to import, so that happens when the first account is opened
if find_spec("botocore") is None:
    raise ModuleNotFoundError("botocore is not installed", name="botocore")

from connectors.s3.connector import S3CompatibleConnector, S3Connector

__all__ = ["S3CompatibleConnector", "S3Connector"]
