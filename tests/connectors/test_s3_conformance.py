"""The S3 connectors against a real SeaweedFS, by the kit that third parties use."""

import asyncio
import ssl
from collections.abc import Callable, Iterator

import pytest

from connectors.conformance import Conformance, Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import NAMES
from connectors.interface import Connector
from connectors.s3 import S3CompatibleConnector, S3Connector
from tests.servers.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFS, make_bucket, seaweedfs

pytestmark = pytest.mark.server

DOMAIN = "s3.test"


class Resolving(Direct):
    """Finds every host on this machine, and remembers which were asked for."""

    def __init__(self) -> None:
        self.hosts: set[str] = set()

    async def connect[P: asyncio.BaseProtocol](
        self,
        factory: Callable[[], P],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> tuple[asyncio.Transport, P]:
        self.hosts.add(host)
        return await super().connect(
            factory, "127.0.0.1", port, tls=tls, server_hostname=server_hostname or host
        )


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with seaweedfs(tmp_path_factory.mktemp("weed"), f"-s3.domainName={DOMAIN}") as server:
        make_bucket(server, "plain")
        make_bucket(server, "versioned", versioned=True)
        yield server


class OnSeaweedFS(Conformance):
    unsupported_names = frozenset({"back\\slash.txt"})  # SeaweedFS takes it for a slash


class TestS3Compatible(OnSeaweedFS):
    @pytest.fixture
    def store(self, weed: SeaweedFS) -> Store:
        settings = {
            "endpoint": weed.endpoint,
            "bucket": "plain",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        }
        return Store(S3CompatibleConnector, settings, Direct())


class TestS3BelowAPrefixOfABucketInTheHostsName(OnSeaweedFS):
    @pytest.fixture
    def store(self, weed: SeaweedFS) -> Store:
        settings = {
            "endpoint": f"http://{DOMAIN}:{weed.port}",
            "bucket": "plain",
            "prefix": "team files/ä+b",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        }
        return Store(S3Connector, settings, Resolving())

    async def test_the_bucket_is_in_the_hosts_name(self, store: Store, connector: Connector) -> None:
        await connector.stat("")
        assert isinstance(store.dialer, Resolving)
        assert store.dialer.hosts == {f"plain.{DOMAIN}"}


class TestS3CompatibleKeepingVersions(OnSeaweedFS):
    @pytest.fixture
    def store(self, weed: SeaweedFS) -> Store:
        settings = {
            "endpoint": weed.endpoint,
            "bucket": "versioned",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        }
        return Store(S3CompatibleConnector, settings, Direct())

    # SeaweedFS keeps a file's versions in a folder of its name and nine bytes more, at most 255: beyond
    # that it answers 500, as for any failure of its own
    @pytest.mark.parametrize("name", [name for name in NAMES if len(name.encode()) <= 246])
    async def test_names_come_back_as_they_went(self, connector: Connector, folder: str, name: str) -> None:
        await super().test_names_come_back_as_they_went(connector, folder, name)
