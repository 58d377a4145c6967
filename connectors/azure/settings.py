"""What an account of the Azure connector needs."""

import binascii
import re
from base64 import b64decode
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.interface import Settings
from connectors.interface.values import Certificates, Prefix, checked_url

_ACCOUNT = re.compile(r"[a-z0-9-]{3,64}")
# Microsoft's page "Naming and referencing containers, blobs, and metadata"
_CONTAINER = re.compile(r"\$root|\$web|\$logs|(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")


class AzureSettings(Settings):
    """A container of Azure Blob Storage, and a key or token that may use it."""

    model_config = ConfigDict(hide_input_in_errors=True)  # what is wrong together has secrets in it

    account_name: str = Field(description="The storage account's name.")
    account_key: SecretStr | None = Field(
        default=None, description="One of the account's two keys, in Base64. Either this or a SAS token."
    )
    sas_token: SecretStr | None = Field(
        default=None, description="A shared access signature for the container: sv=...&sig=..."
    )
    container: str = Field(description="The container's name.")
    prefix: Prefix = Field(
        default="",
        description="A folder in the container that becomes the account's root; empty: the container.",
    )
    url: str = Field(
        default="",
        description="Only for another address than https://ACCOUNT.blob.core.windows.net: "
        "https://HOST[:PORT][/ACCOUNT]",
    )
    ca: Certificates = None

    @field_validator("account_name")
    @classmethod
    def _one_account(cls, name: str) -> str:
        if not _ACCOUNT.fullmatch(name):
            raise ValueError("must be a storage account's name: lower-case letters and digits")
        return name

    @field_validator("account_key")
    @classmethod
    def _base64(cls, key: SecretStr | None) -> SecretStr | None:
        text = key.get_secret_value().strip() if key else ""
        try:
            b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("must be Base64, as Azure's portal shows it") from None
        return SecretStr(text) if text else None

    @field_validator("sas_token")
    @classmethod
    def _signed(cls, token: SecretStr | None) -> SecretStr | None:
        text = token.get_secret_value().strip().removeprefix("?") if token else ""
        if text and ("sig" not in parse_qs(text) or not text.isascii() or set(text) & set(" #\r\n")):
            raise ValueError("must be a query with a signature: sv=...&sig=...")
        return SecretStr(text) if text else None

    @field_validator("container")
    @classmethod
    def _one_container(cls, name: str) -> str:
        if not _CONTAINER.fullmatch(name):
            raise ValueError("must be a container's name: lower-case letters, digits, single hyphens")
        return name

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        return checked_url(url, "https://HOST[:PORT][/ACCOUNT]", with_path=True).rstrip("/") if url else url

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if (self.account_key is None) == (self.sas_token is None):
            raise ValueError("needs either account_key or sas_token")
        return self

    def endpoint(self) -> str:
        """The blob service's address, without a slash at its end."""
        return self.url or f"https://{self.account_name}.blob.core.windows.net"

    def path(self) -> str:
        """The container's path at the endpoint, percent-encoded."""
        return f"{quote(unquote(urlsplit(self.endpoint()).path))}/{quote(self.container)}"

    def display_name(self) -> str:
        """`account/container` or `account/container/prefix`."""
        return "/".join(filter(None, (self.account_name, self.container, self.prefix)))
