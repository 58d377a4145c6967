"""What an account of the local connector needs."""

from pathlib import Path

from pydantic import Field, field_validator

from connectors.interface import Settings


class LocalSettings(Settings):
    """A folder of the gateway's own machine, or one mounted there."""

    root: str = Field(description="Absolute path of the folder; nothing outside it can be reached.")

    @field_validator("root")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not Path(value).is_absolute():
            raise ValueError("must be an absolute path")
        return value

    def display_name(self) -> str:
        """The folder's name."""
        return Path(self.root).name or "/"
