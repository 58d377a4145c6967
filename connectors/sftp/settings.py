"""What an account of the SFTP connector needs."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from connectors.interface import Settings


class SftpSettings(Settings):
    """An SSH server with SFTP, and one of its users."""

    host: str = Field(min_length=1, description="Name or address of the server, as its network knows it.")
    port: int = Field(default=22, ge=1, le=65535, description="TCP port of the server.")
    username: str = Field(min_length=1, description="Who logs in.")
    password: SecretStr | None = Field(default=None, description="Of the user; or give a private key.")
    private_key: SecretStr | None = Field(default=None, description="OpenSSH or PEM text.")
    passphrase: SecretStr | None = Field(default=None, description="Of the private key, if it has one.")
    host_key: str | None = Field(
        default=None,
        description="The server's public key ('ssh-ed25519 AAAA...'); empty: the first one seen is kept.",
    )
    root: str = Field(
        default="", description="The folder to serve; empty: where the server logs the user in."
    )

    @model_validator(mode="after")
    def _some_secret(self) -> Self:
        if self.password is None and self.private_key is None:
            raise ValueError("give a password or a private_key")
        return self

    def display_name(self) -> str:
        """`user@host`."""
        return f"{self.username}@{self.host}"
