"""What a store's own program shows of a refusal: the reason in words, in the form that it reads errors in."""

import sys
from subprocess import CompletedProcess

import pytest

from tests.gateway.proxy.behind_a_firewall.conftest import BUCKET, CONTAINER, MARKS, Office
from tests.gateway.proxy.proxied import ISTHMUS, Account

pytestmark = MARKS
READ_ONLY = "isthmus proxy: this token is read-only"

AZURE = """
import sys
from azure.storage.blob import BlobClient
BlobClient(*sys.argv[1:], "refused", max_single_put_size=1).upload_blob(b"content", overwrite=True)
"""
GOOGLE = """
import sys
from google.cloud import storage
storage.Client().bucket(sys.argv[1]).blob("refused").upload_from_string(b"content")
"""


def refused(
    office: Office, account: Account, *command: str, env: dict[str, str] | None = None
) -> CompletedProcess[str]:
    """The command with a token that only reads."""
    words = ("exec", "--account", str(account.id), "--data", str(office.proxied.data), "--read-only", "--")
    return office.proxied.run(*ISTHMUS, *words, *command, env=env)


def test_aws_says_why(office: Office) -> None:
    words = ("--endpoint-url", office.s3.endpoint, "s3", "cp", __file__, f"s3://{BUCKET}/refused")
    done = refused(office, office.objects, "aws", *words)
    assert done.returncode == 1
    assert "(AccessDenied)" in done.stderr
    assert READ_ONLY in done.stderr


def test_azures_sdk_says_why(office: Office) -> None:
    done = refused(office, office.blobs, sys.executable, "-c", AZURE, office.azure.url, CONTAINER)
    assert done.returncode == 1
    assert "ErrorCode:AuthorizationFailure" in done.stderr
    assert READ_ONLY in done.stderr


def test_googles_sdk_says_why(office: Office) -> None:
    env = {"STORAGE_EMULATOR_HOST": office.gcs.endpoint}
    done = refused(office, office.google, sys.executable, "-c", GOOGLE, BUCKET, env=env)
    assert done.returncode == 1
    assert "Forbidden" in done.stderr
    assert READ_ONLY in done.stderr


S3 = ("s3_compatible", "endpoint={place}", "bucket=boxes", "access_key_id=a", "secret_access_key=b")
AZURE_BLOB = ("azure", "url={place}/devstore", "account_name=devstore", "container=boxes", "account_key=YQ==")


@pytest.mark.parametrize(
    ("settings", "path", "expected"),
    [
        (S3, "/boxes/x", "<Code>BadGateway</Code>"),
        (AZURE_BLOB, "/devstore/boxes/x", "x-ms-error-code: BadGateway"),
    ],
    ids=["s3", "azure"],
)
def test_what_an_agent_refuses_is_said_in_that_form_too(
    office: Office, settings: tuple[str, ...], path: str, expected: str
) -> None:
    """The request was let through; there is no connection for it."""
    place = f"http://objects.internal:{office.webdav.port + 1}"
    service, *pairs = (one.format(place=place) for one in settings)
    words = [word for pair in pairs for word in ("--set", pair)]
    app = office.proxied.app["id"]
    made = office.proxied.isthmus("account", "add", service, "--app", app, "--network", "office", *words)
    account = Account(made["id"], made["access_token"])
    code, said = office.proxied.curl(account, "-i", f"{place}{path}")
    assert code == 502
    assert expected in said
    assert "isthmus proxy: the agent's allow-list" in said
