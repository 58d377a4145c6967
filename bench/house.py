"""Our side of a comparison: a gateway as its users run it, agents, accounts; and a bare forwarded port."""

import json
import subprocess
import sys
import time
import urllib.request
from typing import Any

import psutil

from bench.fleet import Fleet, free_port, wait_for_port
from bench.loads import Target

ISTHMUS = (sys.executable, "-m", "gateway.cli.main")
AGENT = (sys.executable, "-c", "from connect_agent.cli import main; main()")


class House:
    """`isthmus init`, `serve`, an application; accounts and agents on demand.

    Args:
        fleet: gets the processes.
        name: of the folder.
        proxied: with the native proxy, for stores on the loopback too.
        api_processes: how many.
    """

    def __init__(
        self, fleet: Fleet, name: str = "house", *, proxied: bool = False, api_processes: int = 1
    ) -> None:
        self.fleet = fleet
        self.name = name
        self.data = fleet.folder / name
        self.port = free_port()
        self.tunnel_port = free_port()
        self.isthmus("init")
        self.isthmus("developer", "create", "bench@example.com")
        self.app = self.isthmus("app", "create", "bench", "--developer", "bench@example.com")
        ports = ["--port", str(self.port), "--tunnel-port", str(self.tunnel_port)]
        self.proxy_port = free_port()
        environment = ["env", f"ISTHMUS_API_PROCESSES={api_processes}"]
        if proxied:
            ports += ["--proxy-port", str(self.proxy_port)]
            environment += ['ISTHMUS_PROXY_PRIVATE=["127.0.0.0/8"]']
        self.gateway = fleet.start(
            name, *environment, *ISTHMUS, "serve", "--data", self.data, *ports, port=self.port
        )
        if proxied:
            wait_for_port(self.proxy_port)
        self.agent: psutil.Process | None = None

    def isthmus(self, *words: str) -> Any:
        """A command's JSON."""
        done = subprocess.run(
            [*ISTHMUS, *words, "--data", str(self.data), "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)

    def start_agent(self, *allow: str, through: int | None = None) -> None:
        """Network `inside` with one agent; `through` is another port to find the tunnel on."""
        self.isthmus("network", "create", "inside")
        url = f"http://127.0.0.1:{self.port}"
        token = self.isthmus("network", "invite", "inside", "--url", url)["token"]
        config = self.fleet.folder / f"{self.name}-agent.toml"
        rules = [word for rule in allow for word in ("--allow", rule)]
        subprocess.run(
            [*AGENT, "join", token, "--config", str(config), *rules],
            check=True,
            capture_output=True,
        )
        port = through or self.tunnel_port
        wait_for_port(self.tunnel_port)
        config.write_text(
            config.read_text().replace(
                f"ws://127.0.0.1:{self.port}/connect", f"ws://127.0.0.1:{port}/connect"
            )
        )
        self.agent = self.fleet.start(f"{self.name}-agent", *AGENT, "run", "--config", config)
        deadline = time.monotonic() + 20
        while not self.isthmus("network", "status")["networks"][0]["agents"][0]["connected"]:
            if time.monotonic() > deadline:
                raise TimeoutError("the agent did not connect")
            time.sleep(0.1)

    def proxied(self, service: str, *, network: str | None = None, **settings: str) -> str:
        """An account by the native proxy: the proxy's URL for it, with its token."""
        added = self._add(service, network, settings)
        return f"http://{added['id']}:{added['access_token']}@127.0.0.1:{self.proxy_port}"

    def account(self, service: str, *, network: str | None = None, **settings: str) -> "Storage":
        """An account's storage."""
        added = self._add(service, network, settings)
        return Storage(self.port, added["id"], added["access_token"])

    def _add(self, service: str, network: str | None, settings: dict[str, str]) -> Any:
        words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        if network is not None:
            words += ["--network", network]
        return self.isthmus("account", "add", service, "--app", self.app["id"], *words)

    @property
    def processes(self) -> list[psutil.Process]:
        """Everything of ours that runs."""
        return [self.gateway] if self.agent is None else [self.gateway, self.agent]


class Storage:
    """An account through the API."""

    def __init__(self, port: int, account: int, token: str) -> None:
        self._port = port
        self._path = f"/v1/accounts/{account}/storage"
        self._auth = f"Authorization: Bearer {token}"

    def ids(self) -> dict[str, str]:
        """Ids of what is in the root folder, by name."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{self.listing.path}")
        request.add_header(*self._auth.split(": ", 1))
        with urllib.request.urlopen(request) as answer:
            return {entry["name"]: entry["id"] for entry in json.load(answer)["objects"]}

    @property
    def listing(self) -> Target:
        """The root folder's listing."""
        return Target(self._port, f"{self._path}/folders/root/contents", (self._auth,))

    def stat(self, name: str) -> Target:
        """A file's description."""
        return Target(self._port, f"{self._path}/files/{self.ids()[name]}", (self._auth,))

    def content(self, name: str) -> Target:
        """A file's bytes."""
        return Target(self._port, f"{self._path}/files/{self.ids()[name]}/contents", (self._auth,))

    def new_file(self, name: str) -> Target:
        """Where to upload."""
        metadata = json.dumps({"name": name, "parent_id": "root"})
        headers = (self._auth, f"X-Kloudless-Metadata: {metadata}")
        return Target(self._port, f"{self._path}/files?overwrite=true", headers, "POST")


def forwarded(fleet: Fleet, target: int, through: int | None = None) -> tuple[int, list[psutil.Process]]:
    """A local port that leads through a tunnel to the target's: hub and agent alone, as two processes.

    Args:
        fleet: gets the processes.
        target: the port behind the agent.
        through: how many milliseconds of round trip lie between agent and hub; None for none.
    """
    (
        listen,
        hub,
    ) = free_port(), free_port()
    way = hub if through is None else delayed(fleet, hub, through)
    folder = fleet.folder / f"forward{listen}"
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-m", "bench.forward", "prepare", str(folder), str(way), str(target)], check=True
    )
    ours = fleet.start(
        f"hub{listen}",
        sys.executable,
        "-m",
        "bench.forward",
        "run",
        folder,
        str(hub),
        str(listen),
        str(target),
        port=hub,
    )
    agent = fleet.start(f"agent{listen}", *AGENT, "run", "--config", folder / "agent.toml")
    wait_for_port(listen)
    return listen, [ours, agent]


def delayed(fleet: Fleet, target: int, milliseconds: int) -> int:
    """A port that leads to the target over a link of 1 Gbit/s with that round trip."""
    port = free_port()
    fleet.start(
        f"link{port}",
        sys.executable,
        "-m",
        "bench.link",
        str(port),
        str(target),
        str(milliseconds),
        port=port,
    )
    return port
