"""Every store behind one agent, through the published client; and from one store to another."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kloudless
import pytest

from tests.journeys.product import Gateway
from tests.servers import apache, azurite_blob, proftpd, samba, seaweedfs
from tests.servers.fake_gcs import fake_gcs
from tests.servers.sshd import sshd

pytestmark = [pytest.mark.journey, pytest.mark.server, pytest.mark.slow]
NAME = "Bericht №1 (50% + mehr).pdf"

type Start = Callable[[Path, ExitStack], tuple[int, dict[str, Any]]]


def on_webdav(folder: Path, stack: ExitStack) -> tuple[int, dict[str, Any]]:
    server = stack.enter_context(apache.apache(folder))
    url = f"http://127.0.0.1:{server.port}/"
    return server.port, {"url": url, "username": apache.USER, "password": apache.PASSWORD}


def on_smb(folder: Path, stack: ExitStack) -> tuple[int, dict[str, Any]]:
    server = stack.enter_context(samba.samba(folder))
    known = {"host": "127.0.0.1", "port": server.port, "share": "share", "username": server.user}
    return server.port, known | {"password": server.password}


def on_ftp(folder: Path, stack: ExitStack) -> tuple[int, dict[str, Any]]:
    server = stack.enter_context(proftpd.proftpd(folder))
    known = {"host": "127.0.0.1", "port": server.port, "tls": "none", "username": proftpd.USER}
    return server.port, known | {"password": proftpd.PASSWORD}


def on_s3(folder: Path, stack: ExitStack) -> tuple[int, dict[str, Any]]:
    server = stack.enter_context(seaweedfs.seaweedfs(folder))
    seaweedfs.make_bucket(server, "files")
    keys = {"access_key_id": seaweedfs.ACCESS_KEY, "secret_access_key": seaweedfs.SECRET_KEY}
    return server.port, {"endpoint": f"http://127.0.0.1:{server.port}", "bucket": "files"} | keys


def on_azure(folder: Path, stack: ExitStack) -> tuple[int, dict[str, Any]]:
    server = stack.enter_context(azurite_blob.azurite(folder))
    known = {"account_name": azurite_blob.ACCOUNT, "account_key": azurite_blob.KEY}
    url = f"http://127.0.0.1:{server.port}/{azurite_blob.ACCOUNT}"
    return server.port, known | {"url": url, "container": azurite_blob.CONTAINER}


def on_gcs(folder: Path, stack: ExitStack) -> tuple[int, dict[str, Any]]:
    server = stack.enter_context(fake_gcs("files"))
    return server.port, {"endpoint": server.endpoint, "bucket": "files"}


STORES: dict[str, Start] = {
    "webdav": on_webdav,
    "smb": on_smb,
    "ftp": on_ftp,
    "s3_compatible": on_s3,
    "azure": on_azure,
    "gcs": on_gcs,
}


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The published client on an account of each store; all are reached by the agent."""
    folder = tmp_path_factory.mktemp("every")
    with ExitStack() as stack:
        server = stack.enter_context(sshd(folder / "ssh"))
        gateway = Gateway(folder, server)
        stack.callback(gateway.stop)
        started = {name: start(folder / name, stack) for name, start in STORES.items()}
        # an FTP server opens ports of its own for content
        gateway.allowed += [f"127.0.0.1:{port}" for port, _ in started.values()] + ["127.0.0.1:1024-65535"]
        gateway.set_up()
        kloudless.configuration["base_url"] = f"http://127.0.0.1:{gateway.port}"
        tokens = {"sftp": gateway.account["access_token"]}
        for name, (_, settings) in started.items():
            tokens[name] = gateway.connect(name, **settings)["access_token"]
        yield {name: kloudless.Account(token=token) for name, token in tokens.items()} | {
            "key": kloudless.Client(api_key=gateway.app["api_key"])
        }


def put(account: Any, content: bytes, name: str = NAME, parent: str = "root") -> Any:
    metadata = json.dumps({"name": name, "parent_id": parent})
    headers = {"X-Kloudless-Metadata": metadata}
    return account.post("storage/files", data=io.BytesIO(content), headers=headers).data


def content_of(account: Any, file: Any) -> bytes:
    return bytes(account.get(f"storage/files/{file['id']}/contents", get_raw_response=True).content)


@pytest.mark.parametrize("service", ["sftp", *STORES])
def test_the_published_client_does_its_calls(accounts: dict[str, Any], service: str) -> None:
    account = accounts[service]
    made = account.post("storage/folders", json={"name": "Ordner", "parent_id": "root"}).data
    content = os.urandom(1_500_000)
    file = put(account, content, parent=made["id"])
    assert (file["name"], file["size"], file["parent"]["id"]) == (NAME, len(content), made["id"])
    listed = account.get(f"storage/folders/{made['id']}/contents").data["objects"]
    assert [one["name"] for one in listed] == [NAME]
    assert hashlib.sha256(content_of(account, file)).digest() == hashlib.sha256(content).digest()
    renamed = account.patch(f"storage/files/{file['id']}", json={"name": "neu.pdf"}).data
    copied = account.post(f"storage/files/{renamed['id']}/copy", json={"parent_id": "root"}).data
    assert content_of(account, copied) == content
    found = account.get("storage/search", params={"q": "NEU"}).data["objects"]
    assert sorted(one["id"] for one in found) == sorted([renamed["id"], copied["id"]])
    account.delete(f"storage/files/{copied['id']}")
    account.delete(f"storage/folders/{made['id']}", params={"recursive": "true"})
    assert account.get("storage/folders/root/contents").data["objects"] == []


@pytest.mark.parametrize("target", STORES)
def test_a_file_goes_from_one_store_to_another_and_back(accounts: dict[str, Any], target: str) -> None:
    key, source, other = accounts["key"], accounts["sftp"], accounts[target]
    here, there = (one.get("").data["id"] for one in (source, other))
    content = os.urandom(700_001)
    file = put(source, content, name=f"to {target}.bin")
    asked = {"account": there, "parent_id": "root"}
    moved = key.patch(f"accounts/{here}/storage/files/{file['id']}", json=asked).data
    assert (moved["account"], moved["size"]) == (there, len(content))
    back = key.post(
        f"accounts/{there}/storage/files/{moved['id']}/copy", json={"account": here, "parent_id": "root"}
    ).data
    assert content_of(source, back) == content
    source.delete(f"storage/files/{back['id']}")
    other.delete(f"storage/files/{moved['id']}")
    assert [one.get("storage/folders/root/contents").data["objects"] for one in (source, other)] == [[], []]
