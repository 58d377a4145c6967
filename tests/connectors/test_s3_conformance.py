"""The S3 connectors against a real SeaweedFS, by the kit that third parties use."""

from collections.abc import Iterator

import pytest

from connectors.conformance import Conformance, Store
from connectors.conformance.direct import Direct
from connectors.s3 import S3CompatibleConnector
from tests.servers.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFS, make_bucket, seaweedfs

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with seaweedfs(tmp_path_factory.mktemp("weed")) as server:
        make_bucket(server, "plain")
        make_bucket(server, "versioned", versioned=True)
        yield server


def compatible(server: SeaweedFS, **more: object) -> Store:
    settings = {
        "endpoint": server.endpoint,
        "bucket": "plain",
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
        **more,
    }
    return Store(S3CompatibleConnector, settings, Direct())


class TestS3Compatible(Conformance):
    unsupported_names = frozenset({"back\\slash.txt"})  # SeaweedFS takes it for a slash

    @pytest.fixture
    def store(self, weed: SeaweedFS) -> Store:
        return compatible(weed)


class TestS3CompatibleVersionedBelowAPrefix(Conformance):
    unsupported_names = frozenset({"back\\slash.txt"})

    @pytest.fixture
    def store(self, weed: SeaweedFS) -> Store:
        return compatible(weed, bucket="versioned", prefix="team files/ä+b")
