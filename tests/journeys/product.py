"""The product as its users run it: a gateway's processes, and an agent, each a process of its own."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.private_network import PrivateNetwork
from tests.servers.sshd import Sshd, free_port, wait_for_port

ISTHMUS = [sys.executable, "-m", "gateway.cli.main"]
AGENT = [sys.executable, "-c", "from connect_agent.cli import main; main()"]


class Gateway:
    """A gateway with one agent, on this machine or inside a private network, beside the SSH server."""

    def __init__(self, folder: Path, server: Sshd, network: PrivateNetwork | None = None) -> None:
        self.folder, self.server = folder, server
        self.host = network.outside if network else "127.0.0.1"
        self._inside = network.inside if network else ()
        self.data = folder / "data"
        self.port = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.allowed = [f"127.0.0.1:{server.port}"]

    def isthmus(self, *words: str) -> Any:
        done = subprocess.run(
            [*ISTHMUS, *words, "--data", str(self.data), "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def agent(self, *words: str) -> str:
        done = subprocess.run([*self._inside, *AGENT, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"log{len(self.processes)}").open("wb")
        started = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        self.processes.append(started)
        return started

    def set_up(self) -> None:
        self.isthmus("init")
        self.isthmus("developer", "create", "dev@example.com")
        self.app = self.isthmus("app", "create", "demo", "--developer", "dev@example.com")
        self.isthmus("network", "create", "office")
        self.serve()
        url = f"http://{self.host}:{self.port}"
        self.invitation = token = self.isthmus("network", "invite", "office", "--url", url)["token"]
        config = str(self.folder / "agent.toml")
        allowed = [word for rule in self.allowed for word in ("--allow", rule)]
        self.agent("join", token, "--config", config, *allowed)
        self.run_agent()
        self.until(self.connected)
        key = self.folder / "key"
        key.write_text(self.server.private_key)
        self.account = self.add_account()

    def run_agent(self) -> None:
        config = str(self.folder / "agent.toml")
        self.running_agent = self.start(*self._inside, *AGENT, "run", "--config", config)

    def serve(self) -> None:
        host = () if self.host == "127.0.0.1" else ("--host", "0.0.0.0")
        words = ("serve", "--data", str(self.data), "--port", str(self.port), *host)
        self.gateway = self.start(*ISTHMUS, *words)
        wait_for_port(self.port, within=60)

    def connected(self) -> bool:
        return bool(self.isthmus("network", "status")["networks"][0]["agents"][0]["connected"])

    def add_account(self, **changed: str) -> Any:
        """An account on the SSH server, but for what is changed."""
        settings = {
            "host": "127.0.0.1",
            "port": str(self.server.port),
            "username": self.server.user,
            "private_key": f"@{self.folder / 'key'}",
            "root": str(self.server.data),
        } | changed
        return self.connect("sftp", **settings)

    def connect(self, service: str, **settings: Any) -> Any:
        """An account on a store that the agent reaches."""
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        return self.isthmus("account", "add", service, "--app", self.app["id"], "--network", "office", *words)

    def until(self, holds: Any, within: float = 20.0) -> None:
        deadline = time.monotonic() + within
        while not holds():
            assert time.monotonic() < deadline, "it did not come true in time"
            time.sleep(0.2)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def opened(self, path: str) -> Any:
        """The answer to a GET below the account's storage, its body not yet read."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/accounts/me/storage/{path}",
            headers={"Authorization": f"Bearer {self.account['access_token']}"},
        )
        return urllib.request.urlopen(request, timeout=90)

    def content(self, name: str) -> Any:
        """The body of a file in the root folder, opened."""
        with self.opened("folders/root/contents") as answer:
            listed = json.load(answer)["objects"]
        found = next(entry["id"] for entry in listed if entry["name"] == name)
        return self.opened(f"files/{found}/contents")

    def upload(self, name: str, content: bytes, token: str | None = None) -> tuple[int, Any]:
        """Status and answer."""
        metadata = json.dumps({"name": name, "parent_id": "root"})
        return self.call(
            "POST", "/accounts/me/storage/files", token=token, body=content, X_Kloudless_Metadata=metadata
        )

    def call(
        self, method: str, path: str, token: str | None = None, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.port}/v1{path}"
        request = urllib.request.Request(url, data=body, method=method)
        if body is not None:
            request.add_header("Content-Type", "application/octet-stream")
        request.add_header("Authorization", f"Bearer {token or self.account['access_token']}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
