"""A whole gateway, the real servers, and an account at each."""

from collections.abc import Iterator

import pytest
import requests

from tests.gateway.api.raw.accounts import BUCKET, OTHER_BUCKET, PREFIX, Mine, s3_settings
from tests.gateway.api.whole import Whole, whole_gateway
from tests.servers import azurite_blob, seaweedfs
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.azurite_blob import Azurite
from tests.servers.seaweedfs import SeaweedFS

# a server that says all that it should not
_TELLTALE = """
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
RedirectMatch 302 ^/mine/gone$ http://elsewhere.example/
ErrorDocument 404 "There is nothing here, %{HTTP:Authorization}."
Header always set X-Echo "expr=%{HTTP:Authorization}"
Header always set Set-Cookie "session=of-the-account"
Header always set Strict-Transport-Security "max-age=31536000"
Header always set Access-Control-Allow-Origin "https://elsewhere.example"
TraceEnable On
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole_gateway(tmp_path_factory.mktemp("whole"), idle_timeout=10.0) as running:
        yield running


@pytest.fixture(scope="module")
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("apache"), extra=_TELLTALE) as running:
        for name in ("mine", "theirs"):
            (running.data / name).mkdir(mode=0o777)
            (running.data / name).chmod(0o777)
        (running.data / "theirs/secret.txt").write_text("not yours")
        (running.data / "mine/note.txt").write_text("a note")
        yield running


@pytest.fixture(scope="module")
def digest_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    """A nonce of one second: every pause makes it stale."""
    extra = "<Location />\nAuthDigestNonceLifetime 1\n</Location>"
    with apache(tmp_path_factory.mktemp("digest"), auth="Digest", extra=extra) as running:
        yield running


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("weed")) as running:
        client = seaweedfs.other_client(running)
        for bucket in (BUCKET, OTHER_BUCKET):
            seaweedfs.make_bucket(running, bucket)
            client.put_object(Bucket=bucket, Key="outside.txt", Body=b"not yours")
        client.close()
        yield running


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with azurite_blob.azurite(tmp_path_factory.mktemp("azurite")) as running:
        assert azurite_blob.request(running, "PUT", "others?restype=container") == 201
        yield running


@pytest.fixture(scope="module")
def dav(whole: Whole, server: Apache, http: requests.Session) -> Mine:
    settings = {"url": f"{server.url}mine/", "username": USER, "password": PASSWORD}
    return Mine(whole, whole.connect_to("webdav", settings), http)


@pytest.fixture(scope="module")
def digest(whole: Whole, digest_server: Apache, http: requests.Session) -> Mine:
    settings = {"url": digest_server.url, "username": USER, "password": PASSWORD}
    return Mine(whole, whole.connect_to("webdav", settings), http)


@pytest.fixture(scope="module")
def s3(whole: Whole, weed: SeaweedFS, http: requests.Session) -> Mine:
    return Mine(whole, whole.connect_to("s3_compatible", s3_settings(weed)), http)


@pytest.fixture(scope="module")
def s3_folder(whole: Whole, weed: SeaweedFS, http: requests.Session) -> Mine:
    return Mine(whole, whole.connect_to("s3_compatible", s3_settings(weed, prefix=PREFIX)), http)


@pytest.fixture(scope="module")
def azure(whole: Whole, blobs: Azurite, http: requests.Session) -> Mine:
    settings = {
        "url": blobs.url,
        "account_name": azurite_blob.ACCOUNT,
        "account_key": azurite_blob.KEY,
        "container": azurite_blob.CONTAINER,
    }
    return Mine(whole, whole.connect_to("azure", settings), http)


@pytest.fixture(scope="module")
def azure_by_token(whole: Whole, blobs: Azurite, http: requests.Session) -> Mine:
    settings = {
        "url": blobs.url,
        "account_name": azurite_blob.ACCOUNT,
        "sas_token": azurite_blob.account_sas(),
        "container": azurite_blob.CONTAINER,
        "prefix": PREFIX,
    }
    return Mine(whole, whole.connect_to("azure", settings), http)
