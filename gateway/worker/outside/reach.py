"""Connecting from this machine to where somebody else says: resolved once, every address checked.

The connection goes to exactly an address that was checked, so a name that answers differently the second time
gains nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address

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
    """A socket connected to the first of the addresses that takes it, within so many seconds for them all.

    Each has its share: where IPv6 leads nowhere, a host's IPv4 is still reached. Raises OSError.
    """
    failure: OSError | None = None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            async with asyncio.timeout((deadline - loop.time()) / left):
                await loop.sock_connect(sock, (str(address), port))
        except OSError as error:  # TimeoutError, too
            sock.close()
            failure = failure or error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or ConnectionRefusedError("no address")


def is_ours(address: Address) -> bool:
    """Whether it is an address of this machine: only those can be bound to."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
