"""What an account of the SMB connector needs."""

from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.interface import Settings


class SmbSettings(Settings):
    """A Windows or Samba file server, and one of its users."""

    host: str = Field(min_length=1, description="Name or address of the server, as its network knows it.")
    port: int = Field(default=445, ge=1, le=65535, description="The server's SMB port.")
    share: str = Field(
        default="", description="The share to serve, such as 'team'; empty: every share, as a folder each."
    )
    domain: str = Field(default="", description="The user's Windows domain; empty: the server's own users.")
    username: str = Field(min_length=1, description="The user's name, without the domain.")
    password: SecretStr = Field(description="The user's password.")
    encryption: bool = Field(
        default=False,
        description="Refuse a connection that can't be encrypted; a share that demands it gets it anyway.",
    )
    root: str = Field(default="", description="A folder of the share to serve; empty: all of the share.")

    @field_validator("share")
    @classmethod
    def _one_name(cls, share: str) -> str:
        share = share.strip("/\\")
        if "/" in share or "\\" in share:
            raise ValueError("share is one name: give the folder below it as root")
        return share

    @field_validator("root")
    @classmethod
    def _a_path(cls, root: str) -> str:
        parts = root.replace("\\", "/").strip("/").split("/")
        if any(part in (".", "..") for part in parts) or (len(parts) > 1 and "" in parts):
            raise ValueError("root is a path below the share, such as 'projects/2024'")
        return "/".join(parts)

    @model_validator(mode="after")
    def _root_of_a_share(self) -> Self:
        if self.root and not self.share:
            raise ValueError("root is a folder of a share: give the share too")
        return self

    def display_name(self) -> str:
        """`user@host/share`."""
        return f"{self.username}@{self.host}" + (f"/{self.share}" if self.share else "")
