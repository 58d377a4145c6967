from collections.abc import Iterator

import pytest

from tests.gateway.proxy.lying_http2 import Http2Store, lying_store
from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.speaking import Double, double
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


HTTP2_STORE = "LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so\nProtocols h2 http/1.1"


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """A gateway of its own for what attacks it, with limits that a test can wait for."""
    limits = {"ISTHMUS_PROXY_HEAD_TIMEOUT": "3", "ISTHMUS_PROXY_CONNECTIONS": "640"}
    made = Proxied(tmp_path_factory.mktemp("guarded"), settings=limits)
    made.set_up()
    with made.serving():
        yield made


@pytest.fixture(scope="session")
def lying() -> Iterator[Double]:
    with double() as made:
        yield made


@pytest.fixture(scope="session")
def lied_to(guarded: Proxied, lying: Double) -> Account:
    """An account whose store lies."""
    return guarded.add("webdav", url=lying.url, username=USER, password=PASSWORD)


@pytest.fixture(scope="session")
def guarded_account(guarded: Proxied, store: Apache, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """An account on a store with TLS and HTTP/1.1."""
    return _on(guarded, store, tmp_path_factory)


@pytest.fixture(scope="session")
def http2_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("http2"), tls=True, extra=HTTP2_STORE) as server:
        yield server


@pytest.fixture(scope="session")
def http2_account(guarded: Proxied, http2_store: Apache, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """An account on a store that speaks HTTP/2."""
    return _on(guarded, http2_store, tmp_path_factory)


@pytest.fixture(scope="session")
def lying_in_http2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http2Store]:
    with lying_store(tmp_path_factory.mktemp("lying")) as store:
        yield store


@pytest.fixture(scope="session")
def lied_to_in_http2(guarded: Proxied, lying_in_http2: Http2Store) -> Account:
    """An account whose store lies in HTTP/2."""
    trusted = f"@{lying_in_http2.ca}"
    return guarded.add("webdav", url=lying_in_http2.url, username=USER, password=PASSWORD, ca=trusted)


def _on(proxied: Proxied, store: Apache, folders: pytest.TempPathFactory) -> Account:
    trusted = folders.mktemp("trusted") / "ca.pem"
    trusted.write_text(store.ca or "")
    return proxied.add("webdav", url=store.url, username=USER, password=PASSWORD, ca=f"@{trusted}")
