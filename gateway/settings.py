"""Every setting of the gateway, read once: options over environment (`ISTHMUS_*`) over `isthmus.toml`."""

import os
import tomllib
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

# a host's name in lower case, and a port or not: no address, since TLS says no name to one
_PLACE = r"^([a-z0-9_-]+\.)*[a-z]([a-z0-9-]*[a-z0-9])?(:[0-9]{1,5})?$"


class BadSetting(ValueError):
    """A setting that can't be: which, why and where it is set, without what was given."""


class Settings(BaseSettings):
    """The gateway's settings. Times are seconds; paths are absolute after `load`."""

    model_config = SettingsConfigDict(env_prefix="ISTHMUS_", extra="forbid", frozen=True)

    data: Path = Path("isthmus-data")
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    tunnel_port: int | None = Field(default=None, ge=0, le=65535)
    database: str = ""
    public_url: str | None = None
    idle_timeout: float = Field(default=60.0, gt=0)
    session_linger: float = Field(default=60.0, ge=0)
    ping_deadline: float = Field(default=15.0, gt=0)
    drain_timeout: float = Field(default=30.0, ge=0)
    multipart_expiry: float = Field(default=7 * 86400.0, gt=0)
    separation: Literal["off", "enforced"] = "off"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    api_processes: int = Field(default=1, ge=1, le=20)

    # what one search, one page of recent files or one recursive listing may cost
    walk_entries: int = Field(default=100_000, ge=1)
    walk_seconds: float = Field(default=20.0, gt=0)
    recent_entries: int = Field(default=2_000, ge=1, le=10_000)

    # tasks: how many run at once, how many may wait, and for how long a finished one is kept
    tasks_running: int = Field(default=4, ge=1)
    tasks_waiting: int = Field(default=100, ge=0)
    tasks_kept: float = Field(default=7 * 86400.0, gt=0)
    copy_files_at_once: int = Field(default=4, ge=1, le=64)

    # uploads from a URL
    fetch_schemes: list[Literal["http", "https"]] = ["http", "https"]
    fetch_ports: list[int] = [80, 443]
    fetch_private: list[IPv4Network | IPv6Network] = []
    fetch_bytes: int = Field(default=10 * 1024**3, ge=1)
    fetch_timeout: float = Field(default=30.0, gt=0)
    fetch_least_rate: float = Field(default=1024.0, ge=0)

    # events: how often stores are looked through, how far, how many at once; how long events are kept
    events_interval: float = Field(default=300.0, gt=0)
    events_entries: int = Field(default=1_000_000, ge=1)
    events_at_once: int = Field(default=2, ge=1, le=64)
    events_kept: float = Field(default=7 * 86400.0, gt=0)

    # the native proxy; without a port it is not started
    proxy_port: int | None = Field(default=None, ge=0, le=65535)
    proxy_url: str | None = None
    proxy_private: list[IPv4Network | IPv6Network] = []
    proxy_cookies: Literal["strip", "pass"] = "strip"
    proxy_store_tls: Literal["proxy", "worker"] = "proxy"
    proxy_ca_overlap: float = Field(default=30 * 86400.0, ge=0)
    proxy_pass: list[Annotated[str, Field(pattern=_PLACE)]] = []
    proxy_access_log: bool = True
    proxy_processes: int = Field(default=1, ge=1, le=20)
    proxy_head_timeout: float = Field(default=30.0, gt=0)
    proxy_connections: int = Field(default=2000, ge=2)

    @property
    def keys(self) -> Path:
        """Folder of the key files."""
        return self.data / "keys"

    @property
    def worker_socket(self) -> Path:
        """The Unix socket on which the worker takes operations with content."""
        return self.data / "run" / "worker.sock"

    @property
    def calls_socket(self) -> Path:
        """The Unix socket on which the worker takes all other operations."""
        return self.data / "run" / "calls.sock"

    @property
    def hub_socket(self) -> Path:
        """The Unix socket on which the worker takes the agents' websockets that the api relays."""
        return self.data / "run" / "hub.sock"

    @property
    def dial_socket(self) -> Path:
        """The Unix socket on which the worker gives the native proxy its connections to stores."""
        return self.data / "run" / "dial.sock"

    @property
    def proxy_ca(self) -> Path:
        """The certificates that the native proxy's clients trust, the one that signs first."""
        return self.keys / "proxy-ca.pem"

    @property
    def proxy_place(self) -> Path:
        """The file in which a running native proxy says its port."""
        return self.data / "run" / "proxy.port"

    def proxy_report(self, number: int) -> Path:
        """The Unix socket on which a native proxy's process tells what it counted."""
        return self.data / "run" / f"proxy-{number}.sock"

    @property
    def database_url(self) -> str:
        """The state's database; SQLite beside the keys unless set."""
        return self.database or f"sqlite:///{self.data / 'isthmus.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options first, then the environment; `load` adds the file below them."""
        return init_settings, env_settings


def load(data: Path | None = None, **options: Any) -> Settings:
    """The settings for a data folder. Options that are None count as not given.

    Raises BadSetting for the first that is wrong.
    """
    try:
        return _load(data, {name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = ".".join(map(str, fault["loc"]))
        why = "there is no such setting" if fault["type"] == "extra_forbidden" else fault["msg"]
        raise BadSetting(
            f"setting {name}: {why}. Settings are options, ISTHMUS_* in the environment, "
            "and lines of isthmus.toml; 'isthmus config show' lists them"
        ) from None


def _load(data: Path | None, given: dict[str, Any]) -> Settings:
    folder = (data or Settings().data).absolute()
    file = folder / "isthmus.toml"

    class WithFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    try:
        return WithFile(data=folder, **given)
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"{file} is not TOML: {error}") from None
    except OSError as error:
        raise BadSetting(f"{file} can't be read: {error.strerror}") from None


def in_environment(name: str) -> bool:
    """Whether the environment gives this setting."""
    return f"ISTHMUS_{name.upper()}" in os.environ
