"""The agent's one file of settings, read once into a frozen object; the environment is read here only."""

import dataclasses
import json
import ssl
import tomllib
import urllib.request
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_origin
from urllib.parse import quote, unquote, urlsplit

from connect_agent import identity
from connect_agent.policy import Policy, PolicyError

DEFAULT_PATH = Path("/etc/isthmus-agent/agent.toml")


class SettingsError(Exception):
    """The file, or a value in it, can't be used; the message names the setting and says what to do."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that is asked to CONNECT. `shown` leaves the password out, `url` has it."""

    host: str
    port: int
    username: str | None = None
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Reads `http://[user:password@]host:port`. Raises SettingsError (without the password)."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port or 80
        except ValueError:
            port = 0
        if parts.scheme != "http" or not parts.hostname or not port:
            raise SettingsError("proxy: write it as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT")
        username = None if parts.username is None else unquote(parts.username)
        return cls(parts.hostname, port, username, unquote(parts.password or ""))

    @property
    def shown(self) -> str:
        """The proxy for people: no password."""
        return f"http://{self._host}:{self.port}"

    @property
    def url(self) -> str:
        """The proxy with its name and password."""
        if self.username is None:
            return self.shown
        return (
            f"http://{quote(self.username, safe='')}:{quote(self.password, safe='')}@{self._host}:{self.port}"
        )

    @property
    def authorization(self) -> dict[str, str]:
        """The header that a proxy with Basic authentication wants; nothing without a name."""
        if self.username is None:
            return {}
        word = b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")
        return {"Proxy-Authorization": f"Basic {word}"}

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the agent is told. Times are seconds.

    Attributes:
        gateway: the gateway's URL, as the join token gave it.
        connect: websocket URLs of the hubs; the agent keeps a tunnel to each of the first two.
        hub_public_key: the hub's Ed25519 key, base64url; a hub that can't prove it is refused.
        allow: the allow-list's entries.
        proxy: an HTTP proxy for the way out; empty takes HTTPS_PROXY and NO_PROXY from the environment,
            `none` goes direct.
        ca_file: certificates to trust instead of the system's (a TLS-inspecting proxy's, a company's).
        pin: SHA-256 of the gateway's TLS certificate (DER), in hex; checked on top of the normal checks.
        ping_deadline: a hub silent for longer is taken for dead.
        linger: how long a session waits for its next websocket.
        backoff_cap: the longest wait between two attempts.
        drain_timeout: how long streams may go on after SIGTERM.
    """

    path: Path
    gateway: str
    connect: tuple[str, ...]
    agent_id: int
    network: str
    hub_public_key: str
    name: str = ""
    key_file: str = "agent.key"
    allow: tuple[str, ...] = ()
    proxy: str = ""
    ca_file: str = ""
    pin: str = ""
    ping_deadline: float = 15.0
    linger: float = 60.0
    dial_timeout: float = 10.0
    backoff_cap: float = 30.0
    drain_timeout: float = 30.0
    status_file: str = ""

    @classmethod
    def load(cls, path: Path) -> Self:
        """The settings in the file, every value checked. Raises SettingsError."""
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SettingsError(
                f"{path} does not exist: run 'isthmus-agent join TOKEN --config {path}'"
            ) from None
        except OSError as error:
            raise SettingsError(f"{path} can't be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeError) as error:
            raise SettingsError(f"{path} is not TOML: {error}") from error
        known = {f.name: f for f in dataclasses.fields(cls) if f.name != "path"}
        for name in values:
            if name not in known:
                raise SettingsError(
                    f"{path}: there is no setting '{name}'; there are {', '.join(sorted(known))}"
                )
        for name, described in known.items():
            if name in values:
                values[name] = _checked(path, name, described.type, values[name])
            elif described.default is dataclasses.MISSING:
                raise SettingsError(f"{path}: the setting '{name}' is missing: join again with a new token")
        settings = cls(path=path, **values)
        settings._check()
        return settings

    def save(self) -> None:
        """Writes the file in one step, mode 0600. Comments that someone wrote into it are lost."""
        lines = [
            "# Written by isthmus-agent; see docs/agent.md. 'isthmus-agent allow' changes the allow-list."
        ]
        for described in dataclasses.fields(self):
            value = getattr(self, described.name)
            if described.name != "path" and value != described.default:
                lines.append(f"{described.name} = {_toml(value)}")
        try:
            identity.write_private(self.path, ("\n".join(lines) + "\n").encode())
        except OSError as error:
            raise SettingsError(f"{self.path} can't be written: {error.strerror}") from error

    @property
    def key_path(self) -> Path:
        """The private key's file; a relative name is beside the settings."""
        return self.path.parent / self.key_file

    @property
    def status_path(self) -> Path:
        """Where a running agent leaves its status for `isthmus-agent status`."""
        return self.path.parent / (self.status_file or f"{self.path.stem}.status.json")

    @property
    def hub_key(self) -> bytes:
        """The hub's public key, 32 bytes."""
        return identity.from_base64(self.hub_public_key)

    def policy(self) -> Policy:
        """The allow-list."""
        return Policy.parse(self.allow)

    def proxy_for(self, url: str) -> Proxy | None:
        """The proxy to go through to a URL, from the setting or else from the environment."""
        return choose_proxy(self.proxy, url)

    def tls(self) -> ssl.SSLContext:
        """A context that verifies certificate and name; there is no setting that turns this off."""
        return tls_context(self.ca_file and str(self.path.parent / self.ca_file))

    def _check(self) -> None:
        """Raises SettingsError for values that are of the right type but make no sense."""
        where = str(self.path)
        try:
            if len(self.hub_key) != 32:
                raise ValueError
        except ValueError:
            raise SettingsError(f"{where}: hub_public_key is not an Ed25519 key: join again") from None
        try:
            self.policy()
        except PolicyError as error:
            raise SettingsError(f"{where}: allow: {error}") from error
        if not self.connect or not all(url.startswith(("ws://", "wss://")) for url in self.connect):
            raise SettingsError(f"{where}: connect needs at least one ws:// or wss:// URL: join again")
        for name in ("ping_deadline", "dial_timeout", "backoff_cap"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{where}: {name} must be more than 0 seconds")
        if self.pin and (len(self.pin) != 64 or not set(self.pin.lower()) <= set("0123456789abcdef")):
            raise SettingsError(f"{where}: pin must be a SHA-256 in hex, 64 characters")
        if self.proxy not in {"", "none"}:
            Proxy.parse(self.proxy)


def choose_proxy(setting: str, url: str) -> Proxy | None:
    """The proxy for a URL: the setting (`none`: direct), else HTTPS_PROXY unless NO_PROXY has the host."""
    if setting == "none":
        return None
    if setting:
        return Proxy.parse(setting)
    host = urlsplit(url).hostname or ""
    found = urllib.request.getproxies_environment().get("https")
    if not found or urllib.request.proxy_bypass(host):
        return None
    return Proxy.parse(found)


def tls_context(ca_file: str) -> ssl.SSLContext:
    """A verifying context that trusts the file's certificates, or the system's when it is empty.

    Raises SettingsError when the file holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"ca_file: {ca_file} can't be used: {error.strerror or error}") from error


def _checked(path: Path, name: str, wanted: Any, value: Any) -> Any:
    """The value as the field's type. Raises SettingsError."""
    if get_origin(wanted) is tuple:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise SettingsError(f'{path}: {name} must be a list of texts, such as ["one", "two"]')
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not wanted:
        raise SettingsError(f"{path}: {name} must be a {'text' if wanted is str else 'number'}")
    return value


def _toml(value: object) -> str:
    """A value of one of the types above as TOML."""
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)
