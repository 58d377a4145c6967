"""What an account of the WebDAV connector needs."""

import ssl
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from connectors.interface import Settings


class WebdavSettings(Settings):
    """A folder of a WebDAV server, and a user who may see it."""

    url: str = Field(description="The folder's address, as its network knows it: https://files.example/dav/")
    username: str | None = Field(default=None, description="Empty for a server that asks nobody.")
    password: SecretStr | None = Field(default=None, description="Of the user.")
    ca: str | None = Field(
        default=None, description="PEM certificates to trust for https; empty: the gateway machine's own."
    )

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be like https://HOST[:PORT]/PATH/")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must have no user, query or fragment: username and password are settings")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("has a port that is no number from 0 to 65535") from None
        return url

    @field_validator("ca")
    @classmethod
    def _certificates(cls, ca: str | None) -> str | None:
        if ca:
            try:
                ssl.create_default_context(cadata=ca)
            except ssl.SSLError:
                raise ValueError("must be PEM certificates (-----BEGIN CERTIFICATE-----)") from None
        return ca or None

    def display_name(self) -> str:
        """`user@host`, or the host."""
        host = urlsplit(self.url).hostname or ""
        return f"{self.username}@{host}" if self.username else host
