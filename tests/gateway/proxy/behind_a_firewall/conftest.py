"""A WebDAV server and an S3 server in one private network, each an account, and the agent that dials out.

They have names of their own in there: Go's programs take no proxy to `localhost` or 127.0.0.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.test_private_network import agent
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.private_network import PrivateNetwork, private_network
from tests.servers.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFS, seaweedfs

FILES, OBJECTS = "files.internal", "objects.internal"
BUCKET = "plain"
MARKS = [
    *(pytest.mark.server, pytest.mark.journey, pytest.mark.netns, pytest.mark.slow),
    pytest.mark.timeout(300),  # the first test of the folder waits for all that `office` starts
]


@dataclass(frozen=True)
class Office:
    """`files` and `objects` are the accounts of the two stores."""

    proxied: Proxied
    network: PrivateNetwork
    webdav: Apache
    s3: SeaweedFS
    files: Account
    objects: Account


@pytest.fixture(scope="package")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    proxied = Proxied(folder, host="0.0.0.0", settings={"ISTHMUS_PROXY_PRIVATE": "[]"})
    with (
        private_network(FILES, OBJECTS) as network,
        apache(folder / "webdav", tls=True, network=network, name=FILES) as webdav,
        seaweedfs(folder / "s3", network=network, name=OBJECTS) as s3,
    ):
        proxied.set_up()
        with proxied.serving(), agent(proxied, network, webdav.port, s3.port):
            ca = f"@{folder / 'webdav/cert.pem'}"
            inside = ("--network", "office")
            files = proxied.add("webdav", *inside, url=webdav.url, username=USER, password=PASSWORD, ca=ca)
            objects = _account_without_a_bucket(proxied, s3)
            made = proxied.exec(objects, "aws", "--endpoint-url", s3.endpoint, "s3", "mb", f"s3://{BUCKET}")
            assert made.returncode == 0, made.stderr
            yield Office(proxied, network, webdav, s3, files, objects)


def _account_without_a_bucket(proxied: Proxied, s3: SeaweedFS) -> Account:
    """The bucket is made through the account: nothing else reaches the store."""
    settings = {
        "endpoint": s3.endpoint,
        "bucket": BUCKET,
        "path_style": "true",
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
    }
    pairs = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    words = ("account", "add", "s3_compatible", "--app", proxied.app["id"], "--network", "office")
    made = proxied.isthmus(*words, *pairs)
    return Account(made["id"], made["access_token"])
