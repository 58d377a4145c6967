from collections.abc import AsyncIterator, Iterator

import pytest

from connectors.webdav import WebdavConnector
from tests.connectors.webdav.stores import store
from tests.servers.apache import Apache, apache


@pytest.fixture(scope="module")
def digest_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    """A nonce of one second: every pause makes it stale."""
    extra = "<Location />\nAuthDigestNonceLifetime 1\n</Location>"
    with apache(tmp_path_factory.mktemp("digest"), auth="Digest", extra=extra) as server:
        yield server


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("tls"), tls=True) as server:
        yield server


@pytest.fixture(scope="module")
def basic_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("basic")) as server:
        yield server


@pytest.fixture
async def connector(basic_server: Apache) -> AsyncIterator[WebdavConnector]:
    async with store(basic_server.url).opened() as opened:
        assert isinstance(opened, WebdavConnector)
        yield opened
