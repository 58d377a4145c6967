"""The `aws` command and boto3 with placeholder keys, to an S3 that nothing outside reaches."""

import os
import sys
from pathlib import Path

from tests.gateway.proxy.behind_a_firewall.conftest import BUCKET, MARKS, OBJECTS, Office
from tests.gateway.proxy.trees import digests, some_files

pytestmark = MARKS

BOTO3 = """
import filecmp, sys, boto3
from boto3.s3.transfer import TransferConfig
endpoint, bucket, file, back = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
parts = TransferConfig(multipart_threshold=5 * 1024 * 1024, multipart_chunksize=5 * 1024 * 1024)
s3.upload_file(file, bucket, "boto3/parts", Config=parts)
s3.copy({"Bucket": bucket, "Key": "boto3/parts"}, bucket, "boto3/copy", Config=TransferConfig())
s3.download_file(bucket, "boto3/copy", back, Config=parts)
found = boto3.resource("s3", endpoint_url=endpoint, region_name="us-east-1").Bucket(bucket)
keys = sorted(one.key for one in found.objects.filter(Prefix="boto3/"))
print(keys, filecmp.cmp(file, back, shallow=False))
"""

COMMANDS = """
s3() { aws --endpoint-url "$ENDPOINT" --region us-east-1 s3 "$@"; }
s3 cp --quiet "$FILES/large.bin" "$THERE/large.bin"
s3 sync --quiet "$FILES" "$THERE"
s3 ls --recursive "$THERE/"
s3 rm --quiet "$THERE/a.txt"
s3 sync --quiet "$THERE" "$BACK"
! s3 ls s3://other
"""


def test_nothing_reaches_the_store_directly(office: Office) -> None:
    address = office.network.within
    for words in ((), ("--resolve", f"{OBJECTS}:{office.s3.port}:{address}")):
        refused = office.proxied.run("curl", "-sS", "--max-time", "2", *words, office.s3.endpoint)
        assert refused.returncode in (6, 28), refused  # no such name; nobody answers


def test_files_in_parts_and_folders_both_ways(office: Office, tmp_path: Path) -> None:
    """And another bucket of the same store is refused."""
    files, back = some_files(tmp_path / "files", large=24 * 1024 * 1024), tmp_path / "back"
    env = {"ENDPOINT": office.s3.endpoint, "FILES": str(files), "BACK": str(back)}
    env["THERE"] = f"s3://{BUCKET}/aws"
    done = office.proxied.exec(office.objects, "sh", "-ec", COMMANDS, env=env)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(digests(files))
    assert "(AccessDenied)" in done.stderr
    assert "not of account" in done.stderr
    (files / "a.txt").unlink()
    assert digests(back) == digests(files)


def test_boto3_moves_a_file_in_parts_both_ways(office: Office, tmp_path: Path) -> None:
    """It makes parts and ranges side by side, and copies within the store."""
    (tmp_path / "file").write_bytes(os.urandom(24 * 1024 * 1024))
    words = (office.s3.endpoint, BUCKET, str(tmp_path / "file"), str(tmp_path / "back"))
    done = office.proxied.exec(office.objects, sys.executable, "-c", BOTO3, *words)
    assert (done.stdout, done.returncode) == ("['boto3/copy', 'boto3/parts'] True\n", 0), done.stderr
