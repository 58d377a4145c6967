"""The kit against fake-gcs-server, and against the contract double for what that does not check."""

from collections.abc import Iterator

import pytest

from connectors.conformance import Conformance, Store
from connectors.conformance.direct import Direct
from connectors.gcs import GcsConnector
from tests.servers.fake_gcs import FakeGcs, fake_gcs

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def emulator() -> Iterator[FakeGcs]:
    with fake_gcs("plain") as server:
        yield server


class TestGcs(Conformance):
    @pytest.fixture
    def store(self, emulator: FakeGcs) -> Store:
        return Store(GcsConnector, {"endpoint": emulator.endpoint, "bucket": "plain"}, Direct())
