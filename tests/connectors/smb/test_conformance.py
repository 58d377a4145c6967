"""The SMB connector against a real Samba, by the kit that third parties use."""

from collections.abc import Iterator

import pytest

from connectors.conformance import Conformance, Store
from connectors.conformance.direct import Direct
from connectors.smb import SmbConnector
from tests.servers.samba import Samba, samba


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    with samba(tmp_path_factory.mktemp("samba")) as server:
        yield server


def smb(server: Samba, share: str, **more: object) -> Store:
    settings = {
        "host": "127.0.0.1",
        "port": server.port,
        "share": share,
        "username": server.user,
        "password": server.password,
        **more,
    }
    return Store(SmbConnector, settings, Direct())


class SmbConformance(Conformance):
    # [MS-FSCC] 2.1.5: none of " \ / : * ? < > | in a name
    unsupported_names = frozenset(
        {
            "quotes'\"`.txt",
            "question?hash#semi;colon:.txt",
            "[brackets]{braces}<angles>.txt",
            "back\\slash.txt",
        }
    )


class TestSmbSigned(SmbConformance):
    @pytest.fixture
    def store(self, server: Samba) -> Store:
        return smb(server, "share")


class TestSmbEncryptedInAFolder(SmbConformance):
    @pytest.fixture
    def store(self, server: Samba) -> Store:
        (server.data / "Some Team").mkdir(exist_ok=True)
        return smb(server, "encrypted", root="Some Team")
