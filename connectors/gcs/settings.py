"""What an account of the Google Cloud Storage connector needs."""

import re

from pydantic import Field, SecretStr, field_validator

from connectors.gcs.credentials import ServiceAccount
from connectors.interface import Settings
from connectors.interface.values import Certificates, Prefix, checked_url

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")  # cloud.google.com/storage/docs/buckets#naming


class GcsSettings(Settings):
    """A bucket of Google Cloud Storage, and a service account that may use it."""

    endpoint: str = Field(
        default="https://storage.googleapis.com",
        description="Where the JSON API is; another one only for private endpoints and emulators.",
    )
    bucket: str = Field(description="The bucket's name.")
    prefix: Prefix = Field(
        default="", description="A folder in the bucket that becomes the account's root; empty: the bucket."
    )
    credentials: SecretStr | None = Field(
        default=None,
        description="The JSON of a service account's key file. Empty for a server that asks nobody.",
    )
    ca: Certificates = None

    @field_validator("endpoint")
    @classmethod
    def _origin(cls, endpoint: str) -> str:
        return checked_url(endpoint, "https://HOST[:PORT]", with_path=False).rstrip("/")

    @field_validator("bucket")
    @classmethod
    def _one_bucket(cls, bucket: str) -> str:
        if not _BUCKET.fullmatch(bucket):
            raise ValueError("must be a bucket's name: small letters, digits, dots, hyphens, underscores")
        return bucket

    @field_validator("credentials")
    @classmethod
    def _key_file(cls, credentials: SecretStr | None) -> SecretStr | None:
        if credentials is None or not credentials.get_secret_value().strip():
            return None
        ServiceAccount.parse(credentials.get_secret_value())
        return credentials

    def service_account(self) -> ServiceAccount | None:
        """Whom the account acts as; None for nobody."""
        if self.credentials is None:
            return None
        return ServiceAccount.parse(self.credentials.get_secret_value(), checked=True)

    def display_name(self) -> str:
        """`bucket` or `bucket/prefix`."""
        return f"{self.bucket}/{self.prefix}" if self.prefix else self.bucket
