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


@pytest.fixture(scope="module")
def openssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("basic")) as server:
        yield server


@pytest.fixture(scope="module")
def digest_over_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("digest"), auth="Digest", tls=True) as server:
        yield server


def webdav(server: Apache) -> Store:
    settings = {"url": server.url, "username": USER, "password": PASSWORD, "ca": server.ca}
    return Store(WebdavConnector, settings, Direct())


class TestLocal(Conformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(LocalConnector, {"root": str(tmp_path)}, Direct())


class TestSftp(Conformance):
    @pytest.fixture
    def store(self, openssh: Sshd) -> Store:
        settings = {
            "host": "127.0.0.1",
            "port": openssh.port,
            "username": openssh.user,
            "private_key": openssh.private_key,
            "root": str(openssh.data),
        }
        return Store(SftpConnector, settings, Direct())


class TestWebdavBasic(Conformance):
    @pytest.fixture
    def store(self, basic: Apache) -> Store:
        return webdav(basic)


class TestWebdavDigestOverTls(Conformance):
    @pytest.fixture
    def store(self, digest_over_tls: Apache) -> Store:
        return webdav(digest_over_tls)
