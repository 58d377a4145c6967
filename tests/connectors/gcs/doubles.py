"""What the tests beside this share."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.gcs import GcsConnector
from tests.servers.gcs_double import GcsDouble

MIB = 1024 * 1024


def account(double: GcsDouble, **settings: Any) -> Store:
    known = {"endpoint": double.endpoint, "bucket": "plain", "credentials": double.credentials()}
    return Store(GcsConnector, {**known, **settings}, Direct(), idle_timeout=5.0)


async def then(chunks: list[bytes], act: Callable[[], object]) -> AsyncIterator[bytes]:
    """The chunks; before the last one something happens."""
    for chunk in chunks[:-1]:
        yield chunk
    act()
    yield chunks[-1]
