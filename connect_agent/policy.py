"""The allow-list: a pure decision on one host, port and address, that explains itself.

Everything is denied unless an entry allows it. An entry is one of

    files.corp.example:445          a name
    *.corp.example:22               any name below a domain, at any depth
    10.1.2.3:22, [fd12::7]:22       an address
    10.1.0.0/16:22, [fd12::]/32:22  a range of addresses

and its port is a number, a range such as `8000-8099`, or `*`.

A name is allowed by its name, then each address that it resolves to is looked at: an address that means this
machine, its link or its cloud's metadata service is refused unless an entry lists it *by address*, so that a
name that suddenly resolves to `127.0.0.1` (DNS rebinding) opens nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

type Address = IPv4Address | IPv6Address
type Range = IPv4Network | IPv6Network

# Ranges that nothing reaches by a name or by a wider range. The second value completes "is a ... address".
_SPECIAL: tuple[tuple[Range, str], ...] = tuple(
    (ip_network(text), kind)
    for text, kind in (
        ("169.254.169.254/32", "cloud metadata"),
        ("100.100.100.200/32", "cloud metadata"),
        ("168.63.129.16/32", "cloud metadata"),
        ("192.0.0.192/32", "cloud metadata"),
        ("fd00:ec2::254/128", "cloud metadata"),
        ("127.0.0.0/8", "loopback"),
        ("::1/128", "loopback"),
        ("0.0.0.0/8", "unspecified"),
        ("::/128", "unspecified"),
        ("169.254.0.0/16", "link-local"),
        ("fe80::/10", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("ff00::/8", "multicast"),
        ("255.255.255.255/32", "broadcast"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_HOW = (
    "write HOST:PORT, where HOST is a name (files.corp.example), *.DOMAIN, an address, or a range such as "
    "10.1.0.0/16 or [fd12::]/32, and PORT is a number, a range such as 8000-8099, or *"
)


class PolicyError(ValueError):
    """An allow-list entry that can't be read; the message says how to write it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it may be dialled, why, and the entry that decided (None where no entry did)."""

    allowed: bool
    why: str
    entry: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the allow-list. Exactly one of `name`, `domain` and `range` is set."""

    first: int
    last: int
    name: str | None = None
    domain: str | None = None
    range: Range | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads an entry. Raises PolicyError."""
        host, colon, port = text.strip().rpartition(":")
        if not colon or not host or (":" in host and not host.startswith("[")):
            raise PolicyError(f"{text!r} has no port: {_HOW}")
        first, last = _ports(text, port)
        if (found := _range(text, host)) is not None:
            return cls(first, last, range=found)
        if host.startswith("*."):
            return cls(first, last, domain=_name(text, host[2:]))
        name = _name(text, host)
        if name == "localhost" or name.endswith(".localhost"):
            raise PolicyError(
                f"{text!r} means this machine, which is allowed by address only: write 127.0.0.1:{port} "
                f"or [::1]:{port}"
            )
        return cls(first, last, name=name)

    def covers_port(self, port: int) -> bool:
        """Whether the port is one of the entry's."""
        return self.first <= port <= self.last

    def covers_name(self, name: str) -> bool:
        """Whether this is a name entry for the (normalised) name."""
        return name == self.name or (self.domain is not None and name.endswith(f".{self.domain}"))

    def covers_address(self, address: Address) -> bool:
        """Whether this is an address entry that holds the address."""
        return self.range is not None and address.version == self.range.version and address in self.range

    def lists(self, special: Range) -> bool:
        """Whether this entry names addresses of the special range on purpose: it lies inside that range."""
        return self.range is not None and _inside(self.range, special)

    def __str__(self) -> str:
        if self.range is not None:
            host = str(self.range.network_address)
            host = f"[{host}]" if self.range.version == 6 else host
            if self.range.prefixlen < self.range.max_prefixlen:
                host = f"{host}/{self.range.prefixlen}"
        else:
            host = self.name or f"*.{self.domain}"
        if (self.first, self.last) == (1, 65535):
            return f"{host}:*"
        return f"{host}:{self.first}" if self.first == self.last else f"{host}:{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Policy:
    """The allow-list of one agent. Asks nobody: the caller resolves names and hands in addresses."""

    entries: tuple[Entry, ...] = field(default=())

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Reads the entries, each once, in their order. Raises PolicyError for the first bad one."""
        return cls(tuple(dict.fromkeys(Entry.parse(text) for text in texts)))

    def texts(self) -> list[str]:
        """The entries as they are written."""
        return [str(entry) for entry in self.entries]

    def may_resolve(self, host: str, port: int) -> Decision:
        """Whether the name is worth resolving; allowed here is not yet allowed to be dialled.

        Names that no entry could ever allow are not even looked up, so that the allow-list also bounds what
        the far side can ask this network's DNS.
        """
        if not 1 <= port <= 65535:
            return Decision(False, f"{port} is not a port")
        literal = literal_address(host)
        if literal is not None:
            return self.may_dial(host, port, literal)
        name = _normalised(host)
        if name is None:
            return Decision(False, f"{host!r} is neither a name nor an address")
        by_name = self._by_name(name, port)
        if by_name is not None:
            return Decision(True, f"{by_name} allows the name", str(by_name))
        if any(entry.range is not None and entry.covers_port(port) for entry in self.entries):
            return Decision(True, "no entry has the name, but one may have the address that it resolves to")
        return Decision(False, self._why_not(name, port))

    def may_dial(self, host: str, port: int, address: Address) -> Decision:
        """Whether this very address may be dialled for the host and port that were asked for."""
        address = unwrapped(address)
        by_address = [e for e in self.entries if e.covers_port(port) and e.covers_address(address)]
        special = _special(address)
        if special is not None:
            extent, kind = special
            listed = next((entry for entry in by_address if entry.lists(extent)), None)
            if listed is not None:
                return Decision(True, f"{listed} lists the {kind} address", str(listed))
            return Decision(
                False,
                f"{address} is a {kind} address, which is refused unless it is listed by address: "
                f"allow {_host(address)}:{port} if you mean it",
            )
        name = None if literal_address(host) is not None else _normalised(host)
        by_name = None if name is None else self._by_name(name, port)
        if by_name is not None:
            return Decision(
                True, f"{by_name} allows the name, and {address} is an ordinary address", str(by_name)
            )
        if by_address:
            return Decision(True, f"{by_address[0]} allows the address {address}", str(by_address[0]))
        return Decision(False, self._why_not(host if name is None else f"{name} ({address})", port))

    def _by_name(self, name: str, port: int) -> Entry | None:
        return next((e for e in self.entries if e.covers_port(port) and e.covers_name(name)), None)

    def _why_not(self, what: str, port: int) -> str:
        if not self.entries:
            return "the allow-list is empty, so everything is denied"
        name = what.partition(" ")[0]
        literal = literal_address(name)
        for entry in self.entries:
            covered = entry.covers_name(name) if literal is None else entry.covers_address(unwrapped(literal))
            if covered:
                return f"{entry} has the host, but not port {port}"
        return f"no entry has {what} with port {port}"


def literal_address(host: str) -> Address | None:
    """The address that the host is, or None for a name. A scoped address (`fe80::1%eth0`) loses its scope."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return ip_address(bare.partition("%")[0])
    except ValueError:
        return None


def unwrapped(address: Address) -> Address:
    """An IPv4 address that is wrapped in IPv6 (`::ffff:127.0.0.1`) as what it is."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _special(address: Address) -> tuple[Range, str] | None:
    """The special range that an address is in, also when a translator would unpack it into one."""
    for extent, kind in _SPECIAL:
        if address.version == extent.version and address in extent:
            return extent, kind
    if isinstance(address, IPv6Address):
        embedded = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address.sixtofour
        if embedded is not None and (found := _special(embedded)) is not None:
            return IPv6Network(address), found[1]
    return None


def _inside(inner: Range, outer: Range) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def _host(address: Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


def _ports(text: str, port: str) -> tuple[int, int]:
    if port == "*":
        return 1, 65535
    first, dash, last = port.partition("-")
    if not re.fullmatch(r"[0-9]{1,5}", first) or (dash and not re.fullmatch(r"[0-9]{1,5}", last)):
        raise PolicyError(f"{text!r}: {port!r} is not a port; {_HOW}")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65535:
        raise PolicyError(f"{text!r}: ports go from 1 to 65535, the lower one first")
    return low, high


def _range(text: str, host: str) -> Range | None:
    """The address or range that the host part is; None when it is a name."""
    if host.startswith("["):
        inside, closed, prefix = host[1:].partition("]")
        if not closed or (prefix and not prefix.startswith("/")):
            raise PolicyError(
                f"{text!r}: the address is not closed; write [ADDRESS]:PORT or [ADDRESS]/LENGTH:PORT"
            )
        host = inside + prefix
    elif not re.fullmatch(r"[0-9./]+", host):
        return None
    try:
        found = ip_network(host)
    except ValueError as error:
        raise PolicyError(f"{text!r}: {error}; {_HOW}") from None
    if (
        isinstance(found, IPv6Network)
        and found.network_address.ipv4_mapped is not None
        and found.prefixlen >= 96
    ):
        return IPv4Network((found.network_address.ipv4_mapped, found.prefixlen - 96))
    return found


def _name(text: str, host: str) -> str:
    name = _normalised(host)
    if name is None:
        hint = "for any address write 0.0.0.0/0:PORT and [::]/0:PORT; " if "*" in host else ""
        raise PolicyError(f"{text!r}: {host!r} is not a name; {hint}{_HOW}")
    return name


def _normalised(host: str) -> str | None:
    """The name in lower case, in its ASCII form, without a final dot; None when it is not a host name."""
    name = host.rstrip(".").lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        return None
    return name
