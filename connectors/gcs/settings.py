"""What an account of the Google Cloud Storage connector needs."""

import re
import ssl
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from connectors.gcs.credentials import ServiceAccount
from connectors.interface import Settings

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")  # cloud.google.com/storage/docs/buckets#naming


class GcsSettings(Settings):
    """A bucket of Google Cloud Storage, and a service account that may use it."""

    endpoint: str = Field(
        default="https://storage.googleapis.com",
        description="Where the JSON API is; another one only for private endpoints and emulators.",
    )
    bucket: str = Field(description="The bucket's name.")
    prefix: str = Field(
        default="", description="A folder in the bucket that becomes the account's root; empty: the bucket."
    )
    credentials: SecretStr | None = Field(
        default=None,
        description="The JSON of a service account's key file. Empty for a server that asks nobody.",
    )
    ca: str | None = Field(
        default=None, description="PEM certificates to trust for https; empty: the gateway machine's own."
    )

    @field_validator("endpoint")
    @classmethod
    def _origin(cls, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be like https://HOST[:PORT]")
        if parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"):
            raise ValueError("must have no user, path or query: bucket and prefix are settings")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("has a port that is no number from 0 to 65535") from None
        return endpoint.rstrip("/")

    @field_validator("bucket")
    @classmethod
    def _one_bucket(cls, bucket: str) -> str:
        if not _BUCKET.fullmatch(bucket):
            raise ValueError("must be a bucket's name: small letters, digits, dots, hyphens, underscores")
        return bucket

    @field_validator("prefix")
    @classmethod
    def _folder(cls, prefix: str) -> str:
        prefix = prefix.strip("/")
        if prefix and any(part in ("", ".", "..") or "\0" in part for part in prefix.split("/")):
            raise ValueError("must be a folder's path, without empty parts")
        return prefix

    @field_validator("credentials")
    @classmethod
    def _key_file(cls, credentials: SecretStr | None) -> SecretStr | None:
        if credentials is None or not credentials.get_secret_value().strip():
            return None
        ServiceAccount.parse(credentials.get_secret_value())
        return credentials

    @field_validator("ca")
    @classmethod
    def _certificates(cls, ca: str | None) -> str | None:
        if ca:
            try:
                ssl.create_default_context(cadata=ca)
            except ssl.SSLError:
                raise ValueError("must be PEM certificates (-----BEGIN CERTIFICATE-----)") from None
        return ca or None

    def service_account(self) -> ServiceAccount | None:
        """Whom the account acts as; None for nobody."""
        if self.credentials is None:
            return None
        return ServiceAccount.parse(self.credentials.get_secret_value(), checked=True)

    def display_name(self) -> str:
        """`bucket` or `bucket/prefix`."""
        return f"{self.bucket}/{self.prefix}" if self.prefix else self.bucket
