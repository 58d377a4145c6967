"""A limit on failed attempts: so many a window for each address, in bounded memory."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Network, ip_address

_MOST_ADDRESSES = 10_000


class Attempts:
    """Counts failures by address; only failures count, so a busy network that does it right is never refused.

    Args:
        most: failures that an address has in a window.
        window: seconds after its first failure at which an address starts anew.
        clock: seconds, monotonic.
    """

    def __init__(self, most: int, window: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._window = window
        self._clock = clock
        self._failed: OrderedDict[str, tuple[float, int]] = OrderedDict()  # address: window's start, failures

    def wait(self, address: str) -> float | None:
        """Seconds until the address may try again; None: now."""
        started, failures = self._failed.get(address, (0.0, 0))
        left = started + self._window - self._clock()
        return left if failures >= self._most and left > 0 else None

    def failed(self, address: str) -> None:
        """Counts a failure; forgets the address that failed longest ago when there are too many."""
        now = self._clock()
        started, failures = self._failed.pop(address, (now, 0))
        if now - started >= self._window:
            started, failures = now, 0
        self._failed[address] = (started, failures + 1)
        if len(self._failed) > _MOST_ADDRESSES:
            self._failed.popitem(last=False)


def neighbours(address: str) -> str:
    """The address; of IPv6 the /64, each address of which one customer may have (RFC 6177)."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address) or found.ipv4_mapped:
        return address
    return str(IPv6Network((found, 64), strict=False))
