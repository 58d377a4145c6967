"""What refusals mean, signatures, settings, and what is shown of them."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from connectors.conformance.kit import FullConnector, put, whole
from connectors.gcs.credentials import ServiceAccount
from connectors.gcs.errors import meaning
from connectors.gcs.settings import GcsSettings
from connectors.gcs.signing import presigned
from connectors.interface import (
    BadAnswer,
    BadCredential,
    BadSpan,
    Connector,
    InvalidName,
    NotFound,
    NotPermitted,
    Origin,
    OutOfSpace,
    PreconditionFailed,
    StoreError,
    Throttled,
    Unavailable,
    Unsupported,
)
from tests.connectors.gcs.doubles import account
from tests.servers.gcs_double import GcsDouble


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (400, "invalid", InvalidName),
        (400, "userProjectMissing", NotPermitted),
        (401, "authError", BadCredential),
        (403, "forbidden", NotPermitted),
        (403, "insufficientPermissions", NotPermitted),
        (403, "rateLimitExceeded", Throttled),
        (403, "userRateLimitExceeded", Throttled),
        (403, "quotaExceeded", Throttled),
        (403, "retentionPolicyNotMet", NotPermitted),
        (403, "accountDisabled", NotPermitted),
        (403, "UserProjectAccountProblem", NotPermitted),
        (404, "notFound", NotFound),
        (405, "methodNotAllowed", Unsupported),
        (408, "uploadBrokenConnection", Unavailable),
        (412, "conditionNotMet", PreconditionFailed),
        (412, "orgPolicyConstraintFailed", NotPermitted),
        (413, "uploadTooLarge", OutOfSpace),
        (416, "requestedRangeNotSatisfiable", BadSpan),
        (429, "rateLimitExceeded", Throttled),
        (500, "backendError", Unavailable),
        (502, "", Unavailable),
        (503, "backendError", Unavailable),
        (418, "", BadAnswer),
    ],
)
async def test_what_refusals_mean(
    double: GcsDouble, gcs: FullConnector, status: int, reason: str, error: type[StoreError]
) -> None:
    double.fail("GET", "/o/file", status, reason, times=99)
    with pytest.raises(error) as told:
        await gcs.stat("file")
    assert type(told.value) is error
    assert "secret" not in str(told.value)
    assert "localhost" not in str(told.value)


def test_a_busy_store_says_when() -> None:
    busy = meaning(503, "backendError", retry_after=7)
    assert (type(busy), busy.retry_after) == (Throttled, 7)


async def test_retry_after_is_handed_on(double: GcsDouble, gcs: FullConnector) -> None:
    double.fail("GET", "/o/file", 429, "rateLimitExceeded", headers={"Retry-After": "30"})
    with pytest.raises(Throttled) as told:
        await gcs.stat("file")
    assert told.value.retry_after == 30
    assert len(double.requests("GET", "/o/file")) == 1


async def test_a_look_is_repeated_when_the_store_fails_for_the_moment(
    double: GcsDouble, gcs: FullConnector
) -> None:
    await put(gcs, "", "file")
    double.fail("GET", "/o/file", 503, "backendError", times=2)
    await gcs.stat("file")
    double.fail("DELETE", "/o/file", 503, "backendError")
    with pytest.raises(Unavailable):  # what changes something is not
        await gcs.delete("file")


async def test_answers_that_are_none(double: GcsDouble) -> None:
    answers = [b"<html>", b"[]", b'{"items": 3}', b'{"items": [{}]}', b'{"name": "file"}', b"\xff"]
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = left.pop(0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with account(double, endpoint=endpoint, credentials="").opened() as connector:
            for answer in answers:
                verb = connector.stat("file" if b"name" in answer else "")
                with pytest.raises(BadAnswer):
                    await verb
    assert left == []


def test_signatures_as_in_the_vendors_conformance_tests() -> None:
    """googleapis/conformance-tests, storage/v1/v4_signatures.json, "Simple GET": what is signed there."""
    signed: list[bytes] = []

    class Signer(ServiceAccount):
        def sign(self, text: bytes) -> bytes:
            signed.append(text)
            return b"\xab"

    email = "test-iam-credentials@dummy-project-id.iam.gserviceaccount.com"
    account = Signer(email, "", "", cast("rsa.RSAPrivateKey", None))
    now, origin = datetime(2019, 2, 1, 9, tzinfo=UTC), Origin.of("https://storage.googleapis.com")
    url = presigned(account, origin, "GET", "test-bucket", "test-object", 10, now)
    assert signed == [
        b"GOOG4-RSA-SHA256\n20190201T090000Z\n20190201/auto/storage/goog4_request\n"
        b"00e2fb794ea93d7adb703edaebdd509821fcc7d4f1a79ac5c8d2b394df109320"
    ]
    assert url == (
        "https://storage.googleapis.com/test-bucket/test-object?X-Goog-Algorithm=GOOG4-RSA-SHA256"
        "&X-Goog-Credential=test-iam-credentials%40dummy-project-id.iam.gserviceaccount.com%2F20190201"
        "%2Fauto%2Fstorage%2Fgoog4_request&X-Goog-Date=20190201T090000Z&X-Goog-Expires=10"
        "&X-Goog-SignedHeaders=host&X-Goog-Signature=ab"
    )


async def test_a_presigned_url_is_for_its_own_request(double: GcsDouble, gcs: FullConnector) -> None:
    await put(gcs, "", "file")
    signed = await gcs.download_url("file", expires=60)
    path = signed.url.removeprefix(double.endpoint)
    client = cast("Any", gcs)._bucket._client
    for method, target, status in (
        ("GET", path, 200),
        ("PUT", path, 403),
        ("GET", path.replace("/file?", "/other?"), 403),
        ("GET", path.replace("Expires=60", "Expires=600"), 403),
    ):
        answer = await client.request(method, target, body=b"" if method == "PUT" else None)
        assert answer.status == status
        await answer.aclose()
    for expires in (0, 7 * 24 * 3600 + 1):
        with pytest.raises(Unsupported):
            await gcs.download_url("file", expires=expires)


async def test_headers_go_along_but_for_our_own(double: GcsDouble, gcs: FullConnector) -> None:
    other = gcs.with_headers({"X-Goog-User-Project": "payer"}).with_headers({"X-Trace": "abc"})
    await put(other, "", "file", b"bytes")
    assert await whole(other, "file") == b"bytes"
    mine = [one for one in double.sent if "grant_type" not in one and one.get("x-trace") == "abc"]
    assert len(mine) == len([one for one in double.seen if "/token" not in one])
    assert {one["x-goog-user-project"] for one in mine} == {"payer"}
    count = len(double.seen)
    await gcs.stat("file")
    assert "x-trace" not in double.sent[count]
    for name in ("Authorization", "HOST", "Content-Length", "Range", "x-goog-if-generation-match", "a b", ""):
        with pytest.raises(Unsupported):
            gcs.with_headers({name: "x"})
    with pytest.raises(Unsupported):
        gcs.with_headers({"X-Trace": "a\r\nX-Other: b"})


@pytest.mark.parametrize(
    "endpoint", ["storage", "ftp://x", "https://u:p@x", "https://x/a", "https://x:99999"]
)
def test_endpoints_that_can_not_be(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        GcsSettings(endpoint=endpoint, bucket="plain")


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket": "a/b"},
        {"bucket": "Ab"},
        {"bucket": "plain", "prefix": "a//b"},
        {"bucket": "plain", "prefix": "../b"},
        {"bucket": "plain", "ca": "none"},
    ],
)
def test_settings_that_can_not_be(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        GcsSettings.model_validate(changes)


def test_settings_as_they_are_filled_in() -> None:
    settings = GcsSettings.model_validate({"bucket": "plain", "prefix": "/a/b/", "credentials": " "})
    assert (settings.prefix, settings.credentials) == ("a/b", None)
    assert settings.endpoint == "https://storage.googleapis.com"
    assert settings.display_name() == "plain/a/b"


def test_key_files_that_are_none(double: GcsDouble) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    curve = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    good = double.credentials()
    for text, told in (
        ("secret", "JSON"),
        ("[]", "service_account"),
        (json.dumps({**json.loads(good), "type": "authorized_user"}), "service_account"),
        (double.credentials(client_email=""), "client_email"),
        (double.credentials(token_uri="secret"), "token_uri"),
        (double.credentials(private_key="secret"), "PEM"),
        (double.credentials(private_key=curve), "RSA"),
    ):
        with pytest.raises(ValueError, match=told) as refused:
            ServiceAccount.parse(text)
        assert "secret" not in str(refused.value)
        with pytest.raises(ValidationError):
            GcsSettings.model_validate({"bucket": "plain", "credentials": text})


def test_what_is_shown_has_no_secret(double: GcsDouble) -> None:
    settings = GcsSettings.model_validate({"bucket": "plain", "credentials": double.credentials()})
    assert "PRIVATE" not in repr(settings) + repr(settings.service_account()) + settings.display_name()


async def test_what_the_store_says_names_no_host(gcs: FullConnector) -> None:
    connector: Connector = gcs
    raw = (await put(connector, "", "file")).raw
    assert raw is not None
    assert "inner.example" not in json.dumps(dict(raw))
    assert raw["bucket"] == "plain"
