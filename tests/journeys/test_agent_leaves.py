"""An agent is stopped, revoked or killed while accounts have connections through it: idle ones and running ones."""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.product import AGENT, Gateway
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.sshd import sshd

pytestmark = [pytest.mark.journey, pytest.mark.server]
BIG = 64 * 1024 * 1024
AT_ONCE = 5.0  # seconds; an agent waits 30 for connections that nobody closes


class Office:
    """A gateway with two agents of one network, of which either may run, and an account on each store."""

    def __init__(self, gateway: Gateway, webdav: Apache) -> None:
        self.gateway = gateway
        url = webdav.url.replace("localhost", "127.0.0.1")
        dav = gateway.connect("webdav", url=url, username=USER, password=PASSWORD)
        self.accounts = {"sftp": gateway.account, "webdav": dav}
        self.data = {"sftp": gateway.server.data, "webdav": webdav.data}
        self.second = str(gateway.folder / "second.toml")
        token = gateway.isthmus("network", "invite", "office", "--url", f"http://127.0.0.1:{gateway.port}")
        allowed = [word for rule in gateway.allowed for word in ("--allow", rule)]
        gateway.agent("join", token["token"], "--config", self.second, *allowed)
        for name, folder in self.data.items():
            content = os.urandom(1024 * 1024) * (BIG // 2**20)
            (folder / "big.bin").write_bytes(content)
            (folder / "small.txt").write_text(name)
        self.streams_end()

    def run_second(self) -> subprocess.Popen[bytes]:
        started = self.gateway.start(*AGENT, "run", "--config", self.second)
        self.gateway.until(lambda: self.agents()[1]["connected"])
        return started

    def agents(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.gateway.isthmus("network", "status")["networks"][0]["agents"]
        return found

    def streams(self) -> list[int]:
        """Of each agent, none where it is away."""
        return [agent.get("streams", 0) for agent in self.agents()]

    def streams_end(self) -> None:
        """Returns when no connection is left through either agent."""
        self.gateway.until(lambda: self.streams() == [0, 0], within=AT_ONCE)

    def use(self, service: str) -> None:
        """The account as whoever asks next uses it."""
        self.gateway.account = self.accounts[service]

    def look(self) -> int:
        """The status of a listing, which leaves a connection for later."""
        return self.gateway.call("GET", "/accounts/me/storage/folders/root/contents")[0]

    def look_once(self) -> None:
        """A listing through one agent alone."""
        before = self.streams()
        assert self.look() == 200
        assert self.streams() != before, "the account keeps a connection for later"
