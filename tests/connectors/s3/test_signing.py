"""Signatures: the examples in S3's API reference of signing by header and by query."""

from datetime import UTC, datetime

import botocore.auth
import pytest

from connectors.s3.settings import S3Settings
from connectors.s3.signing import Signer

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def signer(monkeypatch: pytest.MonkeyPatch) -> Signer:
    """The examples' key and day."""
    day = datetime(2013, 5, 24, tzinfo=UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: day)
    settings = S3Settings.model_validate(
        {
            "bucket": "examplebucket",
            "access_key_id": "AKIAIOSFODNN7EXAMPLE",
            "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        }
    )
    return Signer(settings)


@pytest.mark.parametrize(
    ("target", "fields", "signature"),
    [
        (
            "test.txt",
            {"range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        ("?lifecycle=", {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("?max-keys=2&prefix=J", {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_signatures_as_published(signer: Signer, target: str, fields: dict[str, str], signature: str) -> None:
    host = "examplebucket.s3.amazonaws.com"
    signed = signer.signed("GET", f"https://{host}/{target}", {"host": host, **fields}, EMPTY)
    assert signed["authorization"].endswith(f"Signature={signature}")
    assert signed["x-amz-date"] == "20130524T000000Z"


def test_a_presigned_url_as_published(signer: Signer) -> None:
    url = signer.presigned("GET", "https://examplebucket.s3.amazonaws.com/test.txt", 86400)
    signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert url.endswith(f"&X-Amz-Signature={signature}")
    assert "X-Amz-Expires=86400" in url
