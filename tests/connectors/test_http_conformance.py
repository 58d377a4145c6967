"""The kit's part on raw requests, for every kind of authorisation, on an Apache that demands it.

The rest of the kit needs listings and uploads, which HTTP itself lacks: `test_http.py` holds those claims.
"""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector
from connectors.conformance.raw import RawTests
from connectors.http import HttpConnector
from connectors.interface import Connector
from tests.servers.guarded import KINDS, Guarded, guarded
from tests.servers.token_double import token_double

type Guard = tuple[Guarded, Store]

pytestmark = pytest.mark.server


@pytest.fixture(scope="module", params=[*KINDS, "oauth"])
def guard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    kind: str = request.param
    folder = tmp_path_factory.mktemp(kind)
    with guarded(folder, "bearer" if kind == "oauth" else kind, tls=kind == "basic") as running:
        below = {"url": f"{running.url}api/"}
        if kind != "oauth":
            yield running, Store(HttpConnector, running.settings | below, Direct())
            return
        with token_double(running.token) as double:
            yield running, Store(HttpConnector, double.settings(**below), Direct())


class TestHttp(RawTests):
    """The files are put there behind the connector's back."""

    @pytest.fixture
    def store(self, guard: Guard) -> Store:
        self.running = guard[0]
        return guard[1]

    @pytest_asyncio.fixture
    async def folder(self, connector: Connector) -> AsyncIterator[str]:
        yield f"conformance-{secrets.token_hex(6)}"

    async def placed(self, full: FullConnector, folder: str, name: str, content: bytes) -> str:
        self.running.put(f"api/{folder}/{name}", content)
        return f"{folder}/{name}"
