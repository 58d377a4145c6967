"""A private network for real: a namespace joined by one link, behind a firewall that lets nothing in."""

import secrets
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

_FIREWALL = """
table inet inside {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
  }
}
"""


@dataclass(frozen=True)
class PrivateNetwork:
    """A namespace.

    Attributes:
        outside: the address of this end of the link, the one thing that can be reached from in there.
        within: the address of the other end, where nothing is let in.
    """

    name: str
    link: str
    outside: str
    within: str

    @property
    def inside(self) -> tuple[str, ...]:
        """In front of a command that is to run in there."""
        return ("ip", "netns", "exec", self.name)

    def set_link(self, state: str) -> None:
        """`up` or `down`: down, packets are lost both ways and nobody is told."""
        _run("ip", "link", "set", self.link, state)

    def wait_for_port(self, port: int, within: float = 15.0) -> None:
        """Returns when something in there listens."""
        deadline = time.monotonic() + within
        while f":{port} " not in _run(*self.inside, "ss", "-H", "-l", "-t", "-n"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing listens on port {port} in there")
            time.sleep(0.05)


@contextmanager
def private_network(*names: str) -> Iterator[PrivateNetwork]:
    """Made and removed. In there the names lead to its own loopback; outside nobody knows them."""
    mark = secrets.token_hex(3)
    network = PrivateNetwork(f"inside-{mark}", f"vo{mark}", *_link())
    inner = f"vi{mark}"
    with ExitStack() as stack:
        _run("ip", "netns", "add", network.name)
        stack.callback(_run, "ip", "netns", "delete", network.name)
        if names:
            stack.enter_context(_hosts(network.name, names))
        _run("ip", "link", "add", network.link, "type", "veth", "peer", inner, "netns", network.name)
        _run("ip", "address", "add", f"{network.outside}/30", "dev", network.link)
        network.set_link("up")
        _run("ip", "-n", network.name, "address", "add", f"{network.within}/30", "dev", inner)
        for link in (inner, "lo"):
            _run("ip", "-n", network.name, "link", "set", link, "up")
        subprocess.run([*network.inside, "nft", "-f", "-"], input=_FIREWALL, text=True, check=True)
        yield network


def _link() -> tuple[str, str]:
    """The two addresses of a link: a /30 of the range for tests (RFC 2544) that no other link has."""
    taken = _run("ip", "-4", "-o", "address")
    while True:
        first = int(IPv4Address("198.18.0.0")) + 4 * secrets.randbelow(2**15)
        ends = str(IPv4Address(first + 1)), str(IPv4Address(first + 2))
        if f" {ends[0]}/" not in taken:
            return ends


@contextmanager
def _hosts(network: str, names: Sequence[str]) -> Iterator[None]:
    """The network's own /etc/hosts, where `ip netns exec` looks for it (ip-netns(8))."""
    folder = Path("/etc/netns") / network
    folder.mkdir(parents=True)
    file = folder / "hosts"
    file.write_text(f"127.0.0.1 localhost {' '.join(names)}\n")
    try:
        yield
    finally:
        file.unlink()
        folder.rmdir()


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
