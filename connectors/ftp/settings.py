"""What an account of the FTP connector needs."""

import codecs
from enum import StrEnum
from typing import Any

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.interface import Settings
from connectors.interface.values import Certificates

_IMPLICIT_PORT = 990


class Tls(StrEnum):
    """How the connections are encrypted."""

    NONE = "none"
    EXPLICIT = "explicit"
    IMPLICIT = "implicit"


class FtpSettings(Settings):
    """An FTP server and one of its users."""

    host: str = Field(min_length=1, description="Name or address of the server, as its network knows it.")
    port: int = Field(
        default=21,
        ge=1,
        le=65535,
        description="Empty: 21, or 990 where TLS is implicit. Data goes elsewhere.",
    )
    tls: Tls = Field(
        default=Tls.EXPLICIT,
        description="explicit: begun by AUTH TLS; implicit: from the first byte; none: password and files in "
        "the clear.",
    )
    username: str = Field(min_length=1, description="'anonymous' where the server asks nobody.")
    password: SecretStr | None = Field(default=None, description="Empty for anonymous.")
    root: str = Field(
        default="", description="The folder to serve; empty: where the server logs the user in."
    )
    ca: Certificates = None
    encoding: str = Field(
        default="utf-8", description="Of names, for servers from before UTF-8, such as 'cp1252'."
    )
    connections: int = Field(
        default=8, ge=1, le=64, description="At most so many logins at a time; servers limit them as well."
    )

    @model_validator(mode="before")
    @classmethod
    def _port_of_implicit_tls(cls, given: Any) -> Any:  # whatever was handed to the model
        if isinstance(given, dict) and given.get("tls") == Tls.IMPLICIT and given.get("port") is None:
            return {**given, "port": _IMPLICIT_PORT}
        return given

    @field_validator("host", "username", "root")
    @classmethod
    def _one_line(cls, text: str) -> str:
        if any(character in text for character in "\r\n\0"):
            raise ValueError("must be one line")
        return text

    @field_validator("password")
    @classmethod
    def _secret_of_one_line(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            cls._one_line(secret.get_secret_value())
        return secret

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            plain = "/\r\nA".encode(encoding)
        except (LookupError, UnicodeError):
            raise ValueError("is no encoding that is known here") from None
        if plain != b"/\r\nA":
            raise ValueError("must have ASCII in it, as FTP's commands are written in that")
        return codecs.lookup(encoding).name

    def display_name(self) -> str:
        """`user@host`."""
        return f"{self.username}@{self.host}"
