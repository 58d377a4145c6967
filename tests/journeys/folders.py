"""A gateway as its users run it, with accounts that are folders of this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kloudless
import requests

from tests.servers.sshd import free_port, wait_for_port

ISTHMUS = [sys.executable, "-m", "gateway.cli.main"]


@dataclass(frozen=True)
class Account:
    """One connected folder."""

    id: int
    token: str
    folder: Path
    url: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def client(self) -> kloudless.Account:
        """The published client on this account's token."""
        return kloudless.Account(token=self.token)


class Folders:
    """`isthmus serve` with one application."""

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        self.folder, self.data, self.port = folder, folder / "data", free_port()
        given = {f"ISTHMUS_{name.upper()}": json.dumps(value) for name, value in settings.items()}
        self._environment = {**os.environ, **given}  # noqa: TID251  the gateway reads its settings from it
        self._log = (folder / "log").open("wb")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> dict[str, str]:
        return {"Authorization": f"APIKey {self.app['api_key']}"}

    def isthmus(self, *words: str) -> Any:
        command = [*ISTHMUS, *words, "--json"]
        if words[0] != "connectors":
            command += ["--data", str(self.data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self) -> None:
        self.isthmus("init")
        self.developer = self.isthmus("developer", "create", "dev@example.com")
        self.app = self.isthmus("app", "create", "demo", "--developer", "dev@example.com")
        self.serve()
        wait_for_port(self.port, within=60)

    def serve(self) -> None:
        self.serving = subprocess.Popen(
            [*ISTHMUS, "serve", "--data", str(self.data), "--port", str(self.port)],
            stdout=self._log,
            stderr=self._log,
            env=self._environment,
            start_new_session=True,
        )

    def stop(self) -> None:
        self.serving.send_signal(signal.SIGTERM)
        try:
            self.serving.wait(20)
        finally:
            if self.serving.poll() is None:
                os.killpg(self.serving.pid, signal.SIGKILL)
                self.serving.wait()
            self._log.close()

    def add(self, name: str) -> Account:
        """An account on a new folder of that name."""
        root = self.folder / "accounts" / name
        root.mkdir(parents=True)
        made = self.isthmus("account", "add", "local", "--app", self.app["id"], "--set", f"root={root}")
        url = f"{self.url}/v1/accounts/{made['id']}"
        return Account(made["id"], made["access_token"], root, url)

    def switch(self, **flags: bool) -> None:
        """Changes the application, as its developer."""
        url = f"{self.url}/v1/meta/applications/{self.app['id']}"
        headers = {"Authorization": f"Bearer {self.developer['meta_token']}"}
        assert requests.patch(url, json=flags, headers=headers, timeout=10).status_code == 200

    def kill_worker(self) -> None:
        """SIGKILL; the supervisor starts another one."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.serving.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        worker = next(line for line in listed.stdout.splitlines() if "process worker" in line)
        os.kill(int(worker.split()[0]), signal.SIGKILL)

    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def folders(folder: Path, **settings: object) -> Iterator[Folders]:
    """A served gateway; the published client points to it."""
    made = Folders(folder, settings)
    made.start()
    kloudless.configuration["base_url"] = made.url
    try:
        yield made
    finally:
        made.stop()


def until[T](look: Callable[[], T], within: float = 20.0) -> T:
    """What `look` gives once it is true."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
    return found
