"""Azure's own SDK for Python through the proxy, with the key that opens nothing, and with no key."""

import os
import sys
from pathlib import Path

import pytest

from gateway.cli.placeholders import AZURE_KEY
from tests.gateway.proxy.behind_a_firewall.conftest import CONTAINER, MARKS, Office
from tests.gateway.proxy.proxied import Account
from tests.servers.azurite_blob import ACCOUNT, KEY, account_sas

pytestmark = MARKS

SDK = """
import filecmp, os, sys
from azure.storage.blob import BlobServiceClient
url, container, key, file, back = sys.argv[1:]
cut = dict.fromkeys(("max_block_size", "max_chunk_get_size"), 4 << 20)
whole = dict.fromkeys(("max_single_put_size", "max_single_get_size"), 1 << 20)
credential = {"account_name": "testacct", "account_key": os.environ[key]} if key else None
service = BlobServiceClient(url, credential=credential, **cut, **whole)
there = service.get_container_client(container)
blob = there.get_blob_client("sdk/a b+c 100% \u00e4")
with open(file, "rb") as content:
    blob.upload_blob(content, overwrite=True, max_concurrency=3)
with open(back, "wb") as content:
    blob.download_blob(max_concurrency=3).readinto(content)
with open(file, "rb") as content:
    content.seek(1000)
    print(blob.download_blob(offset=1000, length=2000).readall() == content.read(2000))
copy = there.get_blob_client("sdk/copy")
print(copy.start_copy_from_url(blob.url)["copy_status"])
print([one.name for one in there.list_blobs(name_starts_with="sdk/")])
copy.delete_blob()
print(copy.exists(), filecmp.cmp(file, back, shallow=False))
"""

ASYNC = """
import asyncio, os
from azure.storage.blob.aio import ContainerClient
async def main():
    connection = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    async with ContainerClient.from_connection_string(connection, "files") as there:
        await there.upload_blob("aio/file", b"x" * (6 << 20), overwrite=True, max_concurrency=3)
        read = await (await there.download_blob("aio/file", offset=1 << 20)).readall()
        print(len(read), [one.name async for one in there.list_blobs(name_starts_with="aio/")])
        await there.delete_blob("aio/file")
asyncio.run(main())
"""

OTHERS = """
import sys
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient
for container in sys.argv[2:]:
    try:
        ContainerClient(sys.argv[1], container).upload_blob("file", b"content")
    except HttpResponseError as error:
        print(error.status_code, "not of account" in str(error))
"""

BATCH = """
import sys
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient
there = ContainerClient(*sys.argv[1:])
there.upload_blob("batch/file", b"content", overwrite=True)
try:
    there.delete_blobs("batch/file")
except HttpResponseError as error:
    print(error.status_code, "signed one by one" in str(error), there.get_blob_client("batch/file").exists())
"""

SAS = """
import os, sys, urllib.request
from datetime import UTC, datetime, timedelta
from azure.storage.blob import BlobClient, generate_blob_sas
url, container, account = sys.argv[1:]
BlobClient(url, container, "sas/file").upload_blob(b"content", overwrite=True)
for hours in (1, -1):
    until = datetime.now(UTC) + timedelta(hours=hours)
    key = os.environ["AZURE_STORAGE_KEY"]
    token = generate_blob_sas(account, container, "sas/file", account_key=key, permission="r", expiry=until)
    signed = f"{url}/{container}/sas/file?{token}"
    print(urllib.request.urlopen(signed).read())
print(signed)
"""


@pytest.fixture(scope="module")
def by_token(office: Office) -> Account:
    """An account that has a SAS token, in place of the key."""
    place = {"url": office.azure.url, "account_name": ACCOUNT, "container": CONTAINER}
    ca = office.proxied.folder / "azure/ca.pem"
    inside = ("--network", "office")
    return office.proxied.add("azure", *inside, **place, sas_token=account_sas(), ca=f"@{ca}")


@pytest.mark.parametrize("key", ["AZURE_STORAGE_KEY", ""], ids=["placeholder", "no key"])
def test_the_sdk_moves_a_file_in_blocks_copies_and_lists(office: Office, tmp_path: Path, key: str) -> None:
    moves(office, office.blobs, key, tmp_path)


def test_what_the_sdk_signs_gives_way_to_a_token(office: Office, by_token: Account, tmp_path: Path) -> None:
    moves(office, by_token, "AZURE_STORAGE_KEY", tmp_path)


def moves(office: Office, account: Account, key: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(24 * 1024 * 1024))
    words = (office.azure.url, CONTAINER, key, str(tmp_path / "file"), str(tmp_path / "back"))
    done = office.proxied.exec(account, sys.executable, "-c", SDK, *words)
    said = ["True", "success", "['sdk/a b+c 100% ä', 'sdk/copy']", "False True"]
    assert (done.stdout.splitlines(), done.returncode) == (said, 0), done.stderr


def test_a_connection_string_keeps_its_place_and_loses_its_key(office: Office) -> None:
    """The SDK's other half, on aiohttp, takes the proxy and its authority from the environment too."""
    given = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={office.azure.url}"
    env = {"AZURE_STORAGE_CONNECTION_STRING": given}
    done = office.proxied.exec(office.blobs, sys.executable, "-c", ASYNC, env=env)
    assert (done.stdout, done.returncode) == (f"{5 << 20} ['aio/file']\n", 0), done.stderr
    seen = office.proxied.exec(office.blobs, "env", env=env).stdout
    assert KEY not in seen
    assert f"AZURE_STORAGE_KEY={AZURE_KEY}\n" in seen


def test_other_containers_are_refused(office: Office) -> None:
    words = (office.azure.url, "other", "$root")
    done = office.proxied.exec(office.blobs, sys.executable, "-c", OTHERS, *words)
    assert (done.stdout, done.returncode) == ("403 True\n" * 2, 0), done.stderr


def test_a_batch_is_refused_and_does_nothing(office: Office) -> None:
    """Microsoft's page "Blob Batch": each of its requests has an authorisation of its own, in the body."""
    done = office.proxied.exec(office.blobs, sys.executable, "-c", BATCH, office.azure.url, CONTAINER)
    assert (done.stdout, done.returncode) == ("501 True True\n", 0), done.stderr


def test_what_a_url_with_a_signature_of_the_placeholder_says_of_itself_is_not_looked_at(
    office: Office,
) -> None:
    """It is signed anew as any request, expired or not: the run's token is what limits it.

    Without the proxy it opens nothing.
    """
    words = (office.azure.url, CONTAINER, ACCOUNT)
    done = office.proxied.exec(office.blobs, sys.executable, "-c", SAS, *words)
    *read, signed = done.stdout.splitlines() or [""]
    assert (read, done.returncode) == (["b'content'"] * 2, 0), done.stderr
    inside = office.proxied.run(*office.network.inside, "curl", "-sSk", "-w", "%{http_code}", signed)
    assert inside.stdout.endswith("403"), inside
