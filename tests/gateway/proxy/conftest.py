from collections.abc import Iterator

import pytest

from tests.gateway.proxy.proxied import Account, Proxied
from tests.servers.apache import PASSWORD, USER, Apache, apache


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("store"), tls=True) as server:
        yield server


@pytest.fixture(scope="session")
def plain_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("plain")) as server:
        yield server


@pytest.fixture(scope="session")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    made = Proxied(tmp_path_factory.mktemp("proxied"))
    made.set_up()
    with made.serving():
        yield made


@pytest.fixture(scope="session")
def account(proxied: Proxied, store: Apache, tmp_path_factory: pytest.TempPathFactory) -> Account:
    trusted = tmp_path_factory.mktemp("trusted") / "ca.pem"
    trusted.write_text(store.ca or "")
    return proxied.add("webdav", url=store.url, username=USER, password=PASSWORD, ca=f"@{trusted}")


@pytest.fixture(scope="session")
def other(proxied: Proxied, plain_store: Apache) -> Account:
    """Another account, on a store without TLS."""
    return proxied.add("webdav", url=plain_store.url, username=USER, password=PASSWORD)
