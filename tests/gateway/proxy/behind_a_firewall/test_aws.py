"""The `aws` command and its SDK with placeholder keys, to an S3 that nothing outside reaches."""

import sys
from pathlib import Path

from tests.gateway.proxy.behind_a_firewall.conftest import BUCKET, MARKS, OBJECTS, Office
from tests.gateway.proxy.trees import digests, some_files

pytestmark = MARKS

SDK = """
import os, sys, botocore.session
s3 = botocore.session.get_session().create_client("s3", endpoint_url=sys.argv[1], region_name="us-east-1")
bucket, part = sys.argv[2], os.urandom(5 * 1024 * 1024)
upload = dict(Bucket=bucket, Key="sdk/parts")
upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
parts = [
    {"PartNumber": n, "ETag": s3.upload_part(**upload, PartNumber=n, Body=part)["ETag"]} for n in (1, 2)
]
s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
print(s3.get_object(Bucket=bucket, Key="sdk/parts")["Body"].read() == part * 2)
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
    address = office.network.outside.removesuffix(".1") + ".2"
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
    assert "(403)" in done.stderr
    (files / "a.txt").unlink()
    assert digests(back) == digests(files)


def test_the_sdk_uploads_in_parts(office: Office) -> None:
    done = office.proxied.exec(office.objects, sys.executable, "-c", SDK, office.s3.endpoint, BUCKET)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
