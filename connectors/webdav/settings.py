"""What an account of the WebDAV connector needs."""

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from connectors.interface import Settings
from connectors.interface.identity import ClientCertificate, ClientKey
from connectors.interface.values import Certificates, checked_url


class WebdavSettings(Settings):
    """A folder of a WebDAV server, and a user who may see it."""

    url: str = Field(description="The folder's address, as its network knows it: https://files.example/dav/")
    username: str | None = Field(default=None, description="Empty for a server that asks nobody.")
    password: SecretStr | None = Field(default=None, description="Of the user.")
    ca: Certificates = None
    client_certificate: ClientCertificate = None
    client_key: ClientKey = None

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        return checked_url(url, "https://HOST[:PORT]/PATH/", with_path=True)

    def display_name(self) -> str:
        """`user@host`, or the host."""
        host = urlsplit(self.url).hostname or ""
        return f"{self.username}@{host}" if self.username else host
