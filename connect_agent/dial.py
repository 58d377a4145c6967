"""Reaching a store for the hub: resolve, ask the policy about each address, connect.

Texts of `DialError` travel to the gateway and from there to API callers: no address is ever in them.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from ipaddress import ip_address

from connect_agent.policy import Address, Policy, literal_address
from connect_agent.protocol import Code

_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
# When several addresses fail in different ways, the earlier one here says more.
_TELLING = (Code.CONNECTION_REFUSED, Code.TIMED_OUT, Code.FAILED, Code.UNREACHABLE)


class DialError(Exception):
    """The host and port were not reached; `text` may be shown to anyone."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Dialler:
    """Opens connections that the policy allows. `policy` is asked anew for each, so changes count at once."""

    def __init__(self, policy: Callable[[], Policy], timeout: float) -> None:
        self._policy = policy
        self._timeout = timeout

    async def open_socket(self, host: str, port: int) -> socket.socket:
        """A connected, non-blocking socket. The addresses are tried in turn, within one deadline.

        Raises DialError.
        """
        policy = self._policy()
        if not policy.may_resolve(host, port).allowed:
            raise _not_allowed()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        try:
            async with asyncio.timeout_at(deadline):
                found = await resolve(host, port)
        except TimeoutError:
            raise DialError(Code.UNKNOWN_NAME, "the network's DNS did not answer in time") from None
        allowed = [address for address in found if policy.may_dial(host, port, address).allowed]
        if not allowed:
            raise _not_allowed()
        failures: list[DialError] = []
        for left, address in zip(range(len(allowed), 0, -1), allowed, strict=True):
            share = (deadline - loop.time()) / left
            try:
                return await _connect(address, port, share)
            except DialError as failed:
                failures.append(failed)
        raise min(failures, key=lambda failed: _TELLING.index(failed.code))


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host, each once, in the resolver's order. Raises DialError for an unknown name."""
    literal = literal_address(host)
    if literal is not None:
        return [literal]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise DialError(Code.UNKNOWN_NAME, "the store's host name does not resolve in its network") from None
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


async def _connect(address: Address, port: int, within: float) -> socket.socket:
    """Connects to exactly this address: nothing is resolved again after the policy has decided."""
    sock = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(max(within, 0)):
            await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise _failure(error) from None
        raise
    return sock


def _failure(error: OSError) -> DialError:
    if isinstance(error, ConnectionRefusedError):
        return DialError(Code.CONNECTION_REFUSED, "the store's host refused the connection")
    if isinstance(error, TimeoutError):
        return DialError(Code.TIMED_OUT, "the store's host did not answer in time")
    if error.errno in _UNREACHABLE:
        return DialError(Code.UNREACHABLE, "the agent has no route to the store's host")
    return DialError(Code.FAILED, f"the agent could not connect: {os.strerror(error.errno or 0).lower()}")


def _not_allowed() -> DialError:
    return DialError(Code.NOT_ALLOWED, "the agent's allow-list does not have the store's host and port")
