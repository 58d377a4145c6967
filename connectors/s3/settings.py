"""What an account of the S3 connectors needs."""

import re
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from connectors.interface import Settings
from connectors.interface.identity import ClientCertificate, ClientKey
from connectors.interface.values import Certificates, Prefix, checked_url

_AMAZON = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


class S3Settings(Settings):
    """A bucket of Amazon S3, and a key that may use it."""

    endpoint: str = Field(
        default="", description="Only for another than the region's own: https://s3.eu-west-1.example[:PORT]"
    )
    region: str = Field(default="us-east-1", description="The bucket's region; requests are signed for it.")
    bucket: str = Field(description="The bucket's name.")
    prefix: Prefix = Field(
        default="", description="A folder in the bucket that becomes the account's root; empty: the bucket."
    )
    access_key_id: str = Field(min_length=1, description="The key's public half.")
    secret_access_key: SecretStr = Field(description="The key's secret half.")
    session_token: SecretStr | None = Field(
        default=None, description="Only for temporary keys: the token that came with them."
    )
    path_style: bool = Field(
        default=False,
        description="Whether the bucket stands in the path (https://HOST/BUCKET/), not in the host's name.",
    )
    conditional_writes: bool = Field(
        default=True,
        description="Whether the store knows If-Match and If-None-Match on writes. Off for one that refuses "
        "them: then only a look beforehand keeps a name that is taken, or the wrong version, from harm.",
    )
    ca: Certificates = None
    client_certificate: ClientCertificate = None
    client_key: ClientKey = None

    @field_validator("endpoint")
    @classmethod
    def _origin(cls, endpoint: str) -> str:
        return (
            checked_url(endpoint, "https://HOST[:PORT]", with_path=False).rstrip("/")
            if endpoint
            else endpoint
        )

    @field_validator("region")
    @classmethod
    def _one_region(cls, region: str) -> str:
        if not _REGION.fullmatch(region):
            raise ValueError("must be a region's name, such as eu-west-1")
        return region

    @field_validator("bucket")
    @classmethod
    def _one_bucket(cls, bucket: str) -> str:
        if not _BUCKET.fullmatch(bucket):
            raise ValueError("must be a bucket's name: letters, digits, dots, hyphens")
        return bucket

    def origin(self) -> str:
        """The endpoint, or the region's own at Amazon."""
        domain = _AMAZON.get(self.region.partition("-")[0], "amazonaws.com")
        return self.endpoint or f"https://s3.{self.region}.{domain}"

    def in_host(self) -> bool:
        """Whether the bucket's name goes in front of the host's.

        It can't where it is no host name; and a dot in it is one too many for the endpoint's certificate.
        """
        return not self.path_style and _HOST_LABEL.fullmatch(self.bucket) is not None

    def display_name(self) -> str:
        """`bucket` or `bucket/prefix`."""
        return f"{self.bucket}/{self.prefix}" if self.prefix else self.bucket


class S3CompatibleSettings(S3Settings):
    """A bucket of a store that speaks S3's protocol: MinIO, Ceph, SeaweedFS, Backblaze B2, R2 and others."""

    endpoint: str = Field(
        min_length=1, description="The store's address, as its network knows it: https://HOST[:PORT]"
    )
    region: str = Field(default="us-east-1", description="What the store calls its region; most take any.")
    path_style: bool = Field(
        default=True,
        description="Whether the bucket stands in the path (https://HOST/BUCKET/), as most want it.",
    )

    def display_name(self) -> str:
        """`bucket@host` or `bucket/prefix@host`."""
        return f"{super().display_name()}@{urlsplit(self.endpoint).hostname}"
