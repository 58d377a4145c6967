"""Which hosts the native proxy passes TLS through to as it is: those that the setting names, and no other."""

from collections.abc import Collection
from typing import Final

_TLS: Final = 443


def is_listed(places: Collection[str], host: str, port: int) -> bool:
    """Whether `host:port` is listed; without a port, a place is its TLS port."""
    return f"{host}:{port}" in places or (port == _TLS and host in places)
