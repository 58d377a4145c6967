"""What an account on an SQLite archive needs."""

from pathlib import Path

from pydantic import Field, field_validator

from connectors.interface import Settings


class SqlarSettings(Settings):
    """An SQLite archive on a disk of the gateway's machine."""

    path: str = Field(description="Absolute path of the archive, such as /srv/files.sqlar.")
    create: bool = Field(default=False, description="Make the archive when there is none.")
    limit: int | None = Field(
        default=None, ge=1024 * 1024, description="Bytes that the archive may grow to; none: the disk's room."
    )

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not Path(value).is_absolute():
            raise ValueError("must be an absolute path")
        return value

    def display_name(self) -> str:
        """The archive's file name."""
        return Path(self.path).name
