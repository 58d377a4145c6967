"""Who runs a gateway: the command line, and a gateway that is served with one account."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import requests

from tests.servers.gateway import serving
from tests.servers.sshd import free_port


@dataclass(frozen=True)
class Served:
    """A served gateway and one of its accounts."""

    url: str
    app: str
    account: dict[str, Any]

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        bearer = {"Authorization": f"Bearer {self.account['access_token']}"}
        headers = bearer | more.pop("headers", {})
        return requests.request(method, f"{self.url}/v1{path}", headers=headers, timeout=60, **more)

    def storage(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.call(method, f"/accounts/me/storage/{path}", **more)

    def upload(self, name: str, content: Any) -> Any:
        said = {"X-Kloudless-Metadata": json.dumps({"name": name, "parent_id": "root"})}
        said["Content-Type"] = "application/octet-stream"
        answer = self.storage("POST", "files", data=content, headers=said)
        assert answer.status_code == 201, answer.text
        return answer.json()


@dataclass(frozen=True)
class Operator:
    """The command `isthmus` in a folder, with an environment."""

    command: list[str]
    folder: Path
    environment: dict[str, str]

    def isthmus(self, *words: str) -> Any:
        done = self._run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *words: str) -> str:
        """What a command says that fails."""
        done = self._run(*words)
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        return done.stderr

    def _run(self, *words: str) -> CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words],
            cwd=self.folder,
            env={**self.environment, "ISTHMUS_DATA": str(self.folder / "data")},
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def serving(self, service: str, **settings: str) -> Iterator[Served]:
        """A new gateway with an account of the service."""
        self.isthmus("init")
        self.isthmus("developer", "create", "dev@example.com")
        app = self.isthmus("app", "create", "demo", "--developer", "dev@example.com")["id"]
        port = free_port()
        command = [*self.command, "serve", "--data", str(self.folder / "data"), "--port", str(port)]
        with serving(command, self.folder / "log", self.environment, port, folder=self.folder):
            given = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
            account = self.isthmus("account", "add", service, "--app", app, *given)
            yield Served(f"http://127.0.0.1:{port}", app, account)
