"""What the MCP server is told: where the gateway is, which token it has, what it may do. Read once."""

import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

_MADE = 32  # random bytes


class BadSetting(Exception):
    """A setting that can't be used; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where streamable HTTP is served: `token` is what its clients show, `hosts` what they may call us."""

    host: str
    port: int
    token: str = field(repr=False)
    hosts: frozenset[str] = frozenset()

    @property
    def url(self) -> str:
        """Where it is served, as this machine reaches it."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/mcp"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings.

    Attributes:
        url: the gateway's base URL, without `/v1`.
        authorization: the value of the header that its API wants.
        accounts: ids that may be used; empty for every account that the token has.
        write: whether tools that change something are offered.
        http: None for stdio.
    """

    url: str
    authorization: str = field(repr=False)
    accounts: frozenset[int] = frozenset()
    write: bool = False
    http: Listening | None = None


def gateway_url(given: str) -> str:
    """The gateway's base URL as it is used. Raises BadSetting."""
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise BadSetting("--url must look like https://gateway.example")
    return given.rstrip("/").removesuffix("/v1")


def authorization(token_file: Path | None, accounts: Collection[int]) -> str:
    """The API's `Authorization` from a file, else from `ISTHMUS_TOKEN`. Raises BadSetting.

    A line is an account's token; several lines are several accounts. `APIKey KEY` alone is an application's
    key: it opens every account of the application, so it is taken only together with `--account`.
    """
    text = os.environ.get("ISTHMUS_TOKEN", "") if token_file is None else _read(token_file, "--token-file")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise BadSetting("a token is needed: --token-file FILE, or ISTHMUS_TOKEN in the environment")
    if lines[0].lower().startswith("apikey "):
        if len(lines) > 1 or not accounts:
            raise BadSetting("an API key stands alone, and only with --account: it opens every account")
        value = lines[0]
    else:
        value = f"Bearer {','.join(lines)}"
    if not (value.isascii() and value.isprintable()):
        raise BadSetting("the token has characters that no token has")
    return value


def listening(given: str, token_file: Path | None, hosts: Collection[str]) -> Listening:
    """Where `PORT` or `HOST:PORT` says to listen, loopback unless a host is given. Raises BadSetting.

    The token that clients must show is in the file; one that is not there is made, for its owner's eyes.
    """
    host, _, port = given.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise BadSetting("--http takes PORT or HOST:PORT")
    if token_file is None:
        raise BadSetting("--http needs --http-token-file: every client must show its token")
    if not is_loopback(host) and not hosts:
        raise BadSetting("--http beyond this machine needs --allow-host: the names that clients call it by")
    return Listening(host, int(port), _token(token_file), frozenset(hosts))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(file: Path) -> str:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        found = _read(file, "--http-token-file").strip()
    except OSError as error:
        raise BadSetting(f"--http-token-file {file}: {error.strerror}") from None
    else:
        found = secrets.token_urlsafe(_MADE)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(f"{found}\n")
    if len(found) < 16 or not found.isascii() or not found.isprintable():
        raise BadSetting(f"--http-token-file {file} must hold one line of at least 16 characters")
    return found


def _read(file: Path, option: str) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "this is no text"
        raise BadSetting(f"{option} {file}: {reason}") from None
