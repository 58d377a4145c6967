"""A WebDAV server, an S3 server and the emulators of Azure's and Google's blobs in one private network.

Each is an account; an agent in there dials out.

They have names of their own in there: Go's programs take no proxy to `localhost` or 127.0.0.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.gateway.proxy.agents import agent
from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.tunnel.tunnels import certified
from tests.servers import azurite_blob
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.azurite_blob import Azurite, azurite_inside
from tests.servers.fake_gcs import FakeGcs, fake_gcs_inside
from tests.servers.private_network import PrivateNetwork, private_network
from tests.servers.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFS, seaweedfs

FILES, OBJECTS, GOOGLE = "files.internal", "objects.internal", "google.internal"
BUCKET = "plain"
CONTAINER = azurite_blob.CONTAINER
MARKS = [
    *(pytest.mark.server, pytest.mark.journey, pytest.mark.netns, pytest.mark.slow),
    pytest.mark.timeout(300),  # the first test of the folder waits for all that `office` starts
]


@dataclass(frozen=True)
class Office:
    """`files`, `objects`, `blobs` and `google` are the accounts of the four stores."""

    proxied: Proxied
    network: PrivateNetwork
    webdav: Apache
    s3: SeaweedFS
    azure: Azurite
    gcs: FakeGcs
    files: Account
    objects: Account
    blobs: Account
    google: Account


@pytest.fixture(scope="package")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    proxied = Proxied(folder, host="0.0.0.0", settings={"ISTHMUS_PROXY_PRIVATE": "[]"})
    (folder / "azure").mkdir()
    (folder / "google").mkdir()
    azure_ca = certified(folder / "azure", azurite_blob.HOST_INSIDE).ca_file
    google_ca = certified(folder / "google", GOOGLE).ca_file
    with (
        private_network(FILES, OBJECTS, GOOGLE, azurite_blob.HOST_INSIDE) as network,
        apache(folder / "webdav", tls=True, network=network, name=FILES) as webdav,
        seaweedfs(folder / "s3", network=network, name=OBJECTS) as s3,
        azurite_inside(
            network, folder / "azure/data", folder / "azure/server.pem", azure_ca.read_text()
        ) as azure,
        fake_gcs_inside(network, folder / "google/data", GOOGLE, BUCKET, folder / "google") as gcs,
    ):
        proxied.set_up()
        with proxied.serving(), agent(proxied, network, webdav.port, s3.port, azure.port, gcs.port):
            ca = f"@{folder / 'webdav/cert.pem'}"
            inside = ("--network", "office")
            files = proxied.add("webdav", *inside, url=webdav.url, username=USER, password=PASSWORD, ca=ca)
            objects = _account_without_a_bucket(proxied, s3)
            made = proxied.exec(objects, "aws", "--endpoint-url", s3.endpoint, "s3", "mb", f"s3://{BUCKET}")
            assert made.returncode == 0, made.stderr
            blobs = _account_without_a_container(proxied, azure, f"@{azure_ca}")
            url = f"{azure.url}/{CONTAINER}?restype=container"
            made = proxied.exec(blobs, "curl", "-sSf", "-X", "PUT", "-d", "", url)
            assert made.returncode == 0, made.stderr
            google = proxied.add("gcs", *inside, endpoint=gcs.endpoint, bucket=BUCKET, ca=f"@{google_ca}")
            yield Office(proxied, network, webdav, s3, azure, gcs, files, objects, blobs, google)


def _account_without_a_bucket(proxied: Proxied, s3: SeaweedFS) -> Account:
    """The bucket is made through the account: nothing else reaches the store."""
    settings = {
        "endpoint": s3.endpoint,
        "bucket": BUCKET,
        "path_style": "true",
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
    }
    return _unchecked(proxied, "s3_compatible", settings)


def _account_without_a_container(proxied: Proxied, azure: Azurite, ca: str) -> Account:
    settings = {
        "url": azure.url,
        "account_name": azurite_blob.ACCOUNT,
        "account_key": azurite_blob.KEY,
        "container": CONTAINER,
        "ca": ca,
    }
    return _unchecked(proxied, "azure", settings)


def _unchecked(proxied: Proxied, service: str, settings: dict[str, str]) -> Account:
    pairs = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    words = ("account", "add", service, "--app", proxied.app["id"], "--network", "office")
    made = proxied.isthmus(*words, *pairs)
    return Account(made["id"], made["access_token"])
