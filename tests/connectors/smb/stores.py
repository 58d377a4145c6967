"""What the tests beside this share."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.smb import SmbConnector
from tests.servers.samba import Samba

MIB = 1024 * 1024


def store(server: Samba, *, idle_timeout: float = 10.0, **changes: Any) -> Store:
    known = {
        "host": "127.0.0.1",
        "port": server.port,
        "share": "share",
        "username": server.user,
        "password": server.password,
    }
    return Store(SmbConnector, {**known, **changes}, Direct(), idle_timeout)


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


def threads() -> int:
    """How many threads the connector's connections have."""
    return sum(thread.name.startswith(("smb", "msg_worker")) for thread in threading.enumerate())
