"""The kit against fake-gcs-server, and against the contract double for what that does not check."""

from collections.abc import Iterator

import pytest

from connectors.conformance import Conformance, Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, put, whole
from connectors.gcs import GcsConnector
from connectors.interface import AlreadyExists, Connector
from tests.servers.fake_gcs import FakeGcs, fake_gcs
from tests.servers.gcs_double import GcsDouble, gcs_double

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def emulator() -> Iterator[FakeGcs]:
    with fake_gcs("plain") as server:
        yield server


@pytest.fixture(scope="module")
def double() -> Iterator[GcsDouble]:
    with gcs_double() as server:
        yield server


class TestGcs(Conformance):
    """fake-gcs-server. The tokens are the double's: the emulator does not look at them."""

    @pytest.fixture
    def store(self, emulator: FakeGcs, double: GcsDouble) -> Store:
        settings = {"endpoint": emulator.endpoint, "bucket": "plain", "credentials": double.credentials()}
        return Store(GcsConnector, settings, Direct())

    async def test_one_of_many_writers_gets_the_name(self, connector: Connector, folder: str) -> None:
        """As the kit's, but one after the other: an upload's ifGenerationMatch=0 is not heeded here.

        The kit's own, at the same time, runs against the double below.
        """
        await put(connector, folder, "name", b"first")
        for number in range(5):
            with pytest.raises(AlreadyExists):
                await put(connector, folder, "name", bytes([number]) * 50_000)
        assert await whole(connector, f"{folder}name") == b"first"

    async def test_properties(self, full: FullConnector, folder: str) -> None:
        """Without removing a key: the emulator makes "" of null. The kit's own runs against the double."""
        entry = await put(full, folder, "file", b"bytes")
        assert await full.properties(entry.raw_id) == {}
        await full.set_properties(entry.raw_id, {"colour": "blue", "size": "XL"})
        after = await full.set_properties(entry.raw_id, {"colour": "red & white"})
        assert after == await full.properties(entry.raw_id) == {"colour": "red & white", "size": "XL"}
        assert (await full.stat(entry.raw_id)).etag == entry.etag


class TestGcsBelowAPrefix(TestGcs):
    @pytest.fixture
    def store(self, emulator: FakeGcs, double: GcsDouble) -> Store:
        settings = {
            "endpoint": emulator.endpoint,
            "bucket": "plain",
            "prefix": "team files/ä+b",
            "credentials": double.credentials(),
        }
        return Store(GcsConnector, settings, Direct())


class TestGcsDouble(Conformance):
    """The double: tokens, preconditions, sessions and signatures are checked."""

    @pytest.fixture(params=["plain", "versioned"])
    def store(self, double: GcsDouble, request: pytest.FixtureRequest) -> Store:
        settings = {
            "endpoint": double.endpoint,
            "bucket": request.param,
            "credentials": double.credentials(),
        }
        return Store(GcsConnector, settings, Direct())
