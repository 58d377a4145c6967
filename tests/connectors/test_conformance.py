"""Every connector of ours against real servers, by the kit that third parties use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.conformance import Conformance, Store
from connectors.conformance.direct import Direct
from connectors.local import LocalConnector
from connectors.sftp import SftpConnector
from connectors.webdav import WebdavConnector
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.sshd import Sshd, sshd


class TestLocal(Conformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(LocalConnector, {"root": str(tmp_path)}, Direct())


class TestSftp(Conformance):
    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
        with sshd(tmp_path_factory.mktemp("sshd")) as server:
            yield server

    @pytest.fixture
    def store(self, server: Sshd) -> Store:
        settings = {
            "host": "127.0.0.1",
            "port": server.port,
            "username": server.user,
            "private_key": server.private_key,
            "root": str(server.data),
        }
        return Store(SftpConnector, settings, Direct())


class TestWebdav(Conformance):
    """Basic, in the clear."""

    auth, tls = "Basic", False

    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
        with apache(tmp_path_factory.mktemp("apache"), auth=self.auth, tls=self.tls) as server:
            yield server

    @pytest.fixture
    def store(self, server: Apache) -> Store:
        settings = {"url": server.url, "username": USER, "password": PASSWORD, "ca": server.ca}
        return Store(WebdavConnector, settings, Direct())


class TestWebdavDigestOverTls(TestWebdav):
    auth, tls = "Digest", True
