"""An agent in the private network "office" of a proxied gateway."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.gateway.proxy.proxied import ENVIRONMENT, Proxied
from tests.servers.private_network import PrivateNetwork

_AGENT = [sys.executable, "-c", "from connect_agent.cli import main; main()"]

type Agent = subprocess.Popen[bytes]


@contextmanager
def agent(proxied: Proxied, network: PrivateNetwork, *ports: int) -> Iterator[Agent]:
    """An agent in the network, connected, that goes to these ports of its own machine."""
    with running(proxied, network, join(proxied, network, *ports)) as started:
        yield started


def join(proxied: Proxied, network: PrivateNetwork, *ports: int) -> Sequence[str]:
    """Makes the network, and an agent of it; the words that tell the agent's command of its settings."""
    proxied.isthmus("network", "create", "office")
    url = f"http://{network.outside}:{proxied.port}"
    token = proxied.isthmus("network", "invite", "office", "--url", url)["token"]
    config = ("--config", str(proxied.folder / "agent.toml"))
    loopback = [f"{host}:{port}" for host in ("127.0.0.1", "[::1]") for port in ports]
    allow = [word for rule in loopback for word in ("--allow", rule)]
    joined = proxied.run(*network.inside, *_AGENT, "join", token, *config, *allow)
    assert joined.returncode == 0, joined.stderr
    return config


@contextmanager
def running(proxied: Proxied, network: PrivateNetwork, config: Sequence[str]) -> Iterator[Agent]:
    """The agent that joined, connected; stopped at the end if it still runs."""
    with (proxied.folder / "agent.log").open("ab") as log:
        command = [*network.inside, *_AGENT, "run", *config]
        started = subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT)
    try:
        until_connected(proxied, there=True)
        yield started
    finally:
        started.terminate()
        started.wait(60)


def until_connected(proxied: Proxied, *, there: bool) -> None:
    """Returns when the gateway says that the agent is there, or is not."""
    deadline = time.monotonic() + 30
    while proxied.isthmus("network", "status")["networks"][0]["agents"][0]["connected"] != there:
        assert time.monotonic() < deadline, "the agent did not connect, or did not leave"
