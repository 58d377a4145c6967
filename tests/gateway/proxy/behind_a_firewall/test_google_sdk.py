"""Google's own SDK for Python through the proxy, without credentials."""

import os
import sys
from pathlib import Path

from tests.gateway.proxy.behind_a_firewall.conftest import BUCKET, MARKS, Office

pytestmark = MARKS

SDK = """
import filecmp, sys
from google.cloud import storage
bucket, file, back = sys.argv[1:]
there = storage.Client().bucket(bucket)
blob = there.blob("sdk/a b+c 100% \u00e4", chunk_size=4 << 20)
blob.upload_from_filename(file)
blob.download_to_filename(back)
with open(file, "rb") as content:
    content.seek(1000)
    print(blob.download_as_bytes(start=1000, end=2999) == content.read(2000))
there.blob("sdk/small").upload_from_string(b"content")
there.copy_blob(blob, there, "sdk/copy")
print([one.name for one in there.list_blobs(prefix="sdk/")])
there.blob("sdk/copy").delete()
print(there.blob("sdk/copy").exists(), filecmp.cmp(file, back, shallow=False))
"""

OTHERS = """
from google.api_core.exceptions import Forbidden
from google.cloud import storage
there = storage.Client()
def batch():
    with there.batch():
        there.bucket("plain").blob("a").delete()
        there.bucket("plain").blob("b").delete()
other = there.bucket("other").blob("file")
buckets = lambda: list(there.list_buckets(project="p"))
for refused in (lambda: other.upload_from_string(b""), buckets, batch):
    try:
        refused()
    except Forbidden as error:
        print("not of account" in str(error))
"""


def test_the_sdk_moves_a_file_in_parts_copies_and_lists(office: Office, tmp_path: Path) -> None:
    """Parts of a resumable upload, and ranges; `storage.Client()` finds no credentials and needs none."""
    (tmp_path / "file").write_bytes(os.urandom(24 * 1024 * 1024))
    words = (BUCKET, str(tmp_path / "file"), str(tmp_path / "back"))
    env = {"STORAGE_EMULATOR_HOST": office.gcs.endpoint}
    done = office.proxied.exec(office.google, sys.executable, "-c", SDK, *words, env=env)
    said = ["True", "['sdk/a b+c 100% ä', 'sdk/copy', 'sdk/small']", "False True"]
    assert (done.stdout.splitlines(), done.returncode) == (said, 0), done.stderr


def test_other_buckets_and_what_names_none_are_refused(office: Office) -> None:
    env = {"STORAGE_EMULATOR_HOST": office.gcs.endpoint}
    done = office.proxied.exec(office.google, sys.executable, "-c", OTHERS, env=env)
    assert (done.stdout, done.returncode) == ("True\n" * 3, 0), done.stderr


def test_a_key_file_is_not_looked_for(office: Office) -> None:
    env = {"GOOGLE_APPLICATION_CREDENTIALS": "a folder/key.json"}
    done = office.proxied.exec(office.google, "env", env=env)
    assert "key.json" not in done.stdout
    assert "STORAGE_EMULATOR_HOST=https://storage.googleapis.com\n" in done.stdout
