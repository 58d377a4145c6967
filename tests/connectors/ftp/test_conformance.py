"""FTP against vsftpd (LIST, anonymous) and ProFTPD (MLSD, a password), in the clear and over TLS."""

from collections.abc import Iterator

import pytest

from connectors.conformance import Conformance, Store
from connectors.conformance.direct import Direct
from connectors.ftp import FtpConnector
from tests.servers import proftpd as pro
from tests.servers import vsftpd as vs
from tests.servers.proftpd import Proftpd, proftpd
from tests.servers.vsftpd import Vsftpd, vsftpd

pytestmark = pytest.mark.server


def store(server: Proftpd | Vsftpd, tls: str) -> Store:
    who = pro if isinstance(server, Proftpd) else vs
    known = {"host": "localhost", "port": server.port, "username": who.USER, "password": who.PASSWORD}
    return Store(FtpConnector, {**known, "tls": tls, "ca": server.ca}, Direct())


@pytest.fixture(scope="module")
def vsftpd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vsftpd]:
    with vsftpd(tmp_path_factory.mktemp("vsftpd")) as server:
        yield server


@pytest.fixture(scope="module")
def vsftpd_explicit_tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vsftpd]:
    with vsftpd(tmp_path_factory.mktemp("vsftpd"), tls=True) as server:
        yield server


@pytest.fixture(scope="module")
def proftpd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proftpd]:
    with proftpd(tmp_path_factory.mktemp("proftpd")) as server:
        yield server


@pytest.fixture(scope="module")
def proftpd_explicit_tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proftpd]:
    with proftpd(tmp_path_factory.mktemp("proftpd"), tls="explicit") as server:
        yield server


@pytest.fixture(scope="module")
def proftpd_implicit_tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proftpd]:
    with proftpd(tmp_path_factory.mktemp("proftpd"), tls="implicit") as server:
        yield server


class TestVsftpd(Conformance):
    @pytest.fixture
    def store(self, vsftpd_server: Vsftpd) -> Store:
        return store(vsftpd_server, "none")


class TestVsftpdExplicitTls(Conformance):
    """It refuses a data connection whose TLS is not the control connection's session."""

    @pytest.fixture
    def store(self, vsftpd_explicit_tls_server: Vsftpd) -> Store:
        return store(vsftpd_explicit_tls_server, "explicit")


class TestProftpd(Conformance):
    @pytest.fixture
    def store(self, proftpd_server: Proftpd) -> Store:
        return store(proftpd_server, "none")


class TestProftpdExplicitTls(Conformance):
    @pytest.fixture
    def store(self, proftpd_explicit_tls_server: Proftpd) -> Store:
        return store(proftpd_explicit_tls_server, "explicit")


class TestProftpdImplicitTls(Conformance):
    @pytest.fixture
    def store(self, proftpd_implicit_tls_server: Proftpd) -> Store:
        return store(proftpd_implicit_tls_server, "implicit")
