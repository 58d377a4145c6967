from collections.abc import Iterator
from typing import cast

import pytest

from tests.servers.proftpd import Proftpd, proftpd
from tests.servers.vsftpd import Vsftpd, vsftpd


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proftpd]:
    with proftpd(tmp_path_factory.mktemp("proftpd")) as server:
        yield server


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vsftpd]:
    with vsftpd(tmp_path_factory.mktemp("vsftpd")) as server:
        yield server


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vsftpd]:
    with vsftpd(tmp_path_factory.mktemp("vsftpd"), tls=True) as server:
        yield server


@pytest.fixture(params=["facts", "lines"])
def either(request: pytest.FixtureRequest) -> Proftpd | Vsftpd:
    """A server with MLSD, and one with no more than LIST."""
    return cast("Proftpd | Vsftpd", request.getfixturevalue(request.param))
