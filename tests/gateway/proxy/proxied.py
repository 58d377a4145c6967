"""A gateway with its native proxy, each part a process, and the programs that go through it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from gateway.cli.main import app
from tests.servers.gateway import processes, serving
from tests.servers.sshd import free_port

ROOT = Path(__file__).parents[3]
ISTHMUS = [sys.executable, "-m", "gateway.cli.main"]
LOOPBACK = '["127.0.0.0/8", "::1/128"]'
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()  # noqa: TID251  what programs get, less any proxy
    if name.lower() not in _PROXIES
} | {"PYTHONPATH": str(ROOT)}


@dataclass(frozen=True)
class Account:
    id: int
    token: str


@dataclass
class Proxied:
    """A running gateway; stores on the loopback are allowed, as every store of the tests is there."""

    folder: Path
    host: str = "127.0.0.1"
    settings: Mapping[str, str] = field(default_factory=dict)
    app: dict[str, str] = field(default_factory=dict)
    port: int = 0
    proxy_port: int = 0

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def ca(self) -> Path:
        return self.data / "keys" / "proxy-ca.pem"

    def isthmus(self, *words: str) -> Any:
        """A command's JSON. It runs in this process: a new one takes a second to import what it needs."""
        done = CliRunner().invoke(app, [*words, "--data", str(self.data), "--json"])
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**ENVIRONMENT, **(env or {})},
        )

    def exec(
        self, account: Account, *command: str | Path, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """The command as `isthmus exec` runs it on the gateway's machine."""
        words = ("exec", "--account", str(account.id), "--data", str(self.data), "--")
        return self.run(*ISTHMUS, *words, *map(str, command), env=env)

    def set_up(self) -> None:
        self.isthmus("init")
        self.isthmus("developer", "create", "dev@example.com")
        self.app = self.isthmus("app", "create", "demo", "--developer", "dev@example.com")

    @contextmanager
    def serving(self) -> Iterator[None]:
        """All of the gateway's processes, from when they answer to when they have ended."""
        self.port, self.proxy_port = free_port(), free_port()
        words = ("--port", str(self.port), "--proxy-port", str(self.proxy_port), "--host", self.host)
        command = [*ISTHMUS, "serve", "--data", str(self.data), *words]
        environment = {**ENVIRONMENT, "ISTHMUS_PROXY_PRIVATE": LOOPBACK, **self.settings}
        with serving(command, self.folder / "log", environment, self.port, self.proxy_port):
            yield

    def processes(self, *roles: str) -> list[Path]:
        """Those of the gateway that play these roles (none given: all), as their folders in /proc."""
        return processes(self.data, *roles)

    def add(self, service: str, *more: str, **settings: str) -> Account:
        pairs = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        made = self.isthmus("account", "add", service, "--app", self.app["id"], *pairs, *more)
        assert made["checked"] == "ok", made
        return Account(made["id"], made["access_token"])

    def url(self, account: Account, token: str | None = None) -> str:
        """The proxy as a program is told of it."""
        return f"http://{account.id}:{token or account.token}@127.0.0.1:{self.proxy_port}"

    def curl(self, account: Account, *words: str, token: str | None = None) -> tuple[int, str]:
        """Status (CONNECT's, where that is all there was) and body of a request by the real curl."""
        done = self.run(
            *("curl", "-sS", "--max-time", "30", "-x", self.url(account, token), "--cacert", str(self.ca)),
            *("--suppress-connect-headers", "-w", "\n%{http_code} %{http_connect}", *words),
        )
        body, _, codes = done.stdout.rpartition("\n")
        status, _, connect = codes.partition(" ")
        return int(status) or int(connect), body
