"""S3's own programs with placeholder keys: what they sign is signed anew with the account's."""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.proxy.proxied import ISTHMUS, Account, Proxied
from tests.servers.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFS, make_bucket, seaweedfs

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.slow]

SDK = """
import hashlib, sys, botocore.session
s3 = botocore.session.get_session().create_client("s3", endpoint_url=sys.argv[1], region_name="us-east-1")
s3.put_object(Bucket="plain", Key="dir/a b+c 100%.txt", Body=b"from the SDK")
listed = s3.list_objects_v2(Bucket="plain", Prefix="dir/")
read = s3.get_object(Bucket="plain", Key="dir/a b+c 100%.txt")["Body"].read()
print([one["Key"] for one in listed["Contents"]], read)
s3.delete_object(Bucket="plain", Key="dir/a b+c 100%.txt")
"""


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with seaweedfs(tmp_path_factory.mktemp("weed")) as server:
        make_bucket(server, "plain")
        make_bucket(server, "other")
        yield server


@pytest.fixture(scope="module")
def bucket(proxied: Proxied, weed: SeaweedFS) -> Account:
    keys = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    return proxied.add("s3_compatible", endpoint=weed.endpoint, bucket="plain", path_style="true", **keys)


def ran(proxied: Proxied, account: Account, *command: str) -> tuple[int, str, str]:
    words = ("exec", "--account", str(account.id), "--data", str(proxied.data), "--")
    done = proxied.run(*ISTHMUS, *words, *command)
    return done.returncode, done.stdout, done.stderr


def test_the_sdk_writes_lists_reads_and_deletes(proxied: Proxied, bucket: Account, weed: SeaweedFS) -> None:
    status, out, err = ran(proxied, bucket, sys.executable, "-c", SDK, weed.endpoint)
    assert (status, out) == (0, "['dir/a b+c 100%.txt'] b'from the SDK'\n"), err


def test_another_bucket_of_the_same_host_is_refused(
    proxied: Proxied, bucket: Account, weed: SeaweedFS
) -> None:
    status, _, err = ran(
        proxied, bucket, sys.executable, "-c", SDK.replace('"plain"', '"other"'), weed.endpoint
    )
    assert status == 1
    assert "(AccessDenied)" in err
    assert "not of account" in err


def test_aws_s3_cp_of_a_file_in_parts_both_ways(
    proxied: Proxied, bucket: Account, weed: SeaweedFS, tmp_path: Path
) -> None:
    content = os.urandom(1024 * 1024) * 24
    (tmp_path / "in").write_bytes(content)
    aws = ("aws", "--endpoint-url", weed.endpoint, "--region", "us-east-1", "s3", "cp", "--no-progress")
    for source, target in (
        (str(tmp_path / "in"), "s3://plain/parts"),
        ("s3://plain/parts", str(tmp_path / "out")),
    ):
        status, _, err = ran(proxied, bucket, *aws, source, target)
        assert status == 0, err
    copied = (tmp_path / "out").read_bytes()
    assert hashlib.sha256(copied).digest() == hashlib.sha256(content).digest()


def test_a_token_of_some_paths_copies_within_them(proxied: Proxied, bucket: Account, weed: SeaweedFS) -> None:
    """`aws s3 mv` asks for the object, copies it by a header that names it, and deletes it."""
    words = ("proxy", "token", "create", "--account", str(bucket.id))
    made = proxied.isthmus(*words, "--path", "/plain/my+dir")
    env = {
        "HTTP_PROXY": proxied.url(bucket, made["token"]),
        "AWS_ACCESS_KEY_ID": made["aws"]["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": made["aws"]["secret_access_key"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    aws = ("aws", "--endpoint-url", weed.endpoint, "s3")
    sources = ("my+dir/a b.txt", "yours/a.txt", "my dir/a.txt")
    for source in sources:
        written = ran(proxied, bucket, *aws, "cp", __file__, f"s3://plain/{source}")
        assert written[0] == 0, written
    codes = [
        proxied.run(*aws, "mv", f"s3://plain/{source}", "s3://plain/my+dir/moved.txt", env=env).returncode
        for source in sources
    ]
    assert codes == [0, 1, 1]
    assert "my+dir/moved.txt" in ran(proxied, bucket, *aws, "ls", "--recursive", "s3://plain/")[1]
