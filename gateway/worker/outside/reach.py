"""Connecting from this machine to where somebody else says: resolved once, every address checked.

The connection goes to exactly an address that was checked, so a name that answers differently the second time
gains nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address

from gateway.tunnel.dial import first_connected
from gateway.worker.outside.addresses import Address, Network, is_public

type Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


async def by_system(host: str, port: int) -> Sequence[Address]:
    """The addresses that the system's resolver gives, whatever spelling of a number the host is."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]


def permitted(address: Address, allowed: Iterable[Network]) -> bool:
    """Whether we go there: it is public and not this machine's own, or it is allowed."""
    networks = list(allowed)
    if any(address in network for network in networks):
        return is_public(address, networks)
    return is_public(address, networks) and not is_ours(address)


async def connected(addresses: Sequence[Address], port: int, within: float) -> socket.socket:
    """A socket connected to the first of the addresses that takes it, as `first_connected`."""
    return await first_connected([(_family(one), (str(one), port)) for one in addresses], within)


def is_ours(address: Address) -> bool:
    """Whether it is an address of this machine: only those can be bound to."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
