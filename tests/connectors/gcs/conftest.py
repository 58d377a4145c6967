from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest
import pytest_asyncio

from connectors.conformance.kit import FullConnector
from tests.connectors.gcs.doubles import account
from tests.servers.gcs_double import GcsDouble, gcs_double


@pytest.fixture
def double() -> Iterator[GcsDouble]:
    with gcs_double() as made:
        yield made


@pytest_asyncio.fixture
async def gcs(double: GcsDouble) -> AsyncIterator[FullConnector]:
    async with account(double).opened() as connector:
        yield cast("FullConnector", connector)
