"""What connectors let through of requests that others made, and what they make of them. No server needed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from connectors.azure import AzureConnector
from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, put
from connectors.gcs import GcsConnector
from connectors.interface import (
    BadCredential,
    InvalidName,
    NotPermitted,
    Origin,
    Payload,
    Request,
    Unsupported,
)
from connectors.s3 import S3CompatibleConnector, S3Connector
from connectors.webdav import WebdavConnector
from tests.servers.gcs_double import gcs_double

KEYS = {"access_key_id": "AKID", "secret_access_key": "the secret key"}
AMAZON: dict[str, Any] = {"bucket": "files", "region": "us-east-1", "prefix": "team", **KEYS}
CONTAINER: dict[str, Any] = {"account_name": "acct", "container": "files", "prefix": "team"}
TOKEN = "sv=2021-12-02&sp=r&sig=abc%2Bdef%3D"
GCS: dict[str, Any] = {"endpoint": "http://gcs.test", "bucket": "files", "prefix": "team"}
DAV: dict[str, Any] = {"url": "https://dav.test/mine/"}


@asynccontextmanager
async def opened(kind: Any, settings: dict[str, Any]) -> AsyncIterator[FullConnector]:
    async with Store(kind, settings, Direct()).opened() as connector:
        yield cast("FullConnector", connector)


def request(connector: FullConnector, method: str, target: str, **fields: str) -> Request:
    """For whichever of the origins the target is below, as a sender finds it."""
    below = (one for one in connector.origins() if f"{target.partition('?')[0]}/".startswith(one.path))
    named = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return Request(method, next(below), target, named)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/storage/v1/b/files"),
        ("GET", "/storage/v1/b/files/o?prefix=team%2F"),
        ("GET", "/storage/v1/b/files/o/team%2Fx?alt=media"),
        ("DELETE", "/storage/v1/b/files/o/team%2Fx"),
        ("GET", "/download/storage/v1/b/files/o/team%2Fx?alt=media"),
        ("POST", "/storage/v1/b/files/o/team%2Fx/rewriteTo/b/files/o/team%2Fy"),
        ("POST", "/storage/v1/b/files/o/team%2Fx/moveTo/o/team%2Fy"),
        ("POST", "/upload/storage/v1/b/files/o?uploadType=media&name=team%2Fx"),
        ("PUT", "/upload/storage/v1/b/files/o?uploadType=resumable&upload_id=1"),
    ],
)
async def test_what_gcs_lets_through(method: str, target: str) -> None:
    async with opened(GcsConnector, GCS) as connector:
        made = await connector.authorise(request(connector, method, target))
        assert made.target == target


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("DELETE", "/storage/v1/b/files"),
        ("PATCH", "/storage/v1/b/files"),
        ("GET", "/storage/v1/b/files/iam"),
        ("GET", "/storage/v1/b/files/o"),
        ("GET", "/storage/v1/b/files/o?prefix="),
        ("GET", "/storage/v1/b/files/o?prefix=team%2F&prefix=x"),
        ("GET", "/storage/v1/b/files/o?prefix=team"),
        ("GET", "/storage/v1/b/files/o/outside"),
        ("GET", "/storage/v1/b/files/o//team%2Fx"),
        ("GET", "/storage/v1/b/files/o/team%2F..%2Foutside"),
        ("POST", "/storage/v1/b/files/o/team%2Fx/rewriteTo/b/others/o/team%2Fy"),
        ("POST", "/storage/v1/b/files/o/team%2Fx/copyTo/b/files/o/outside"),
        ("POST", "/storage/v1/b/files/o/team%2Fx/compose"),
        ("POST", "/upload/storage/v1/b/files/o?uploadType=multipart"),
        ("POST", "/upload/storage/v1/b/files/o?uploadType=media&name=team%2Fx&name=outside"),
        ("POST", "/storage/v1/b/files/o?name=team%2Fx"),
    ],
)
async def test_what_gcs_does_not_let_through(method: str, target: str) -> None:
    async with opened(GcsConnector, GCS) as connector:
        with pytest.raises(NotPermitted):
            await connector.authorise(request(connector, method, target))


@pytest.mark.server
async def test_a_token_that_was_refused_is_renewed() -> None:
    with gcs_double() as double:
        settings = {"endpoint": double.endpoint, "bucket": "plain", "credentials": double.credentials()}
        async with opened(GcsConnector, settings) as connector:
            entry = await put(connector, "", "file", b"bytes")
            asked = request(connector, "GET", f"/storage/v1/b/plain/o/{entry.raw_id}")
            first, again = [await connector.authorise(asked) for _ in range(2)]
            assert dict(first.fields)["authorization"] == dict(again.fields)["authorization"]
            renewed = await connector.authorise(asked, refused='Bearer error="invalid_token"')
            assert dict(renewed.fields)["authorization"] != dict(first.fields)["authorization"]
            assert dict(renewed.fields)["authorization"].removeprefix("Bearer ") in renewed.secrets


async def test_amazon_is_found_by_every_name_that_its_programs_use() -> None:
    async with opened(S3Connector, AMAZON) as connector:
        assert [(one.host, one.path) for one in connector.origins()] == [
            ("files.s3.us-east-1.amazonaws.com", "/"),
            ("files.s3.amazonaws.com", "/"),
            ("s3.us-east-1.amazonaws.com", "/files/"),
            ("s3.amazonaws.com", "/files/"),
        ]
    async with opened(S3CompatibleConnector, {"endpoint": "https://s3.test", **AMAZON}) as connector:
        # a server that knows nothing of such hosts would take the path's first part for the bucket
        assert [(one.host, one.path) for one in connector.origins()] == [("s3.test", "/files/")]


async def test_s3_signs_anew() -> None:
    async with opened(S3Connector, {**AMAZON, "session_token": "token/of+session"}) as connector:
        stale = {
            "authorization": "AWS4-HMAC-SHA256 Credential=PLACEHOLDER/x, Signature=00",
            "x_amz_date": "20200101T000000Z",
            "x_amz_security_token": "placeholder",
            "x_amz_meta_colour": "blue",
        }
        made = await connector.authorise(
            request(connector, "PUT", "/team/a+b%2bc?X-Amz-Signature=00&Expires=1&tagging", **stale)
        )
    fields = dict(made.fields)
    assert made.target == "/team/a%2Bb%2Bc?tagging="
    assert fields["host"] == "files.s3.us-east-1.amazonaws.com"
    assert "Credential=AKID/" in fields["authorization"]
    assert "x-amz-meta-colour" in fields["authorization"]
    assert fields["x-amz-date"] != "20200101T000000Z"
    assert fields["x-amz-security-token"] == "token/of+session"
    assert {"token/of+session", "token%2Fof%2Bsession", fields["authorization"]} <= set(made.secrets)
    assert len(made.fields) == len(fields)


@pytest.mark.parametrize(
    ("payload", "digest", "promised", "signed"),
    [
        (Payload.UNSIGNED, None, None, "UNSIGNED-PAYLOAD"),
        (Payload.UNSIGNED, None, "UNSIGNED-PAYLOAD", "UNSIGNED-PAYLOAD"),
        (Payload.UNSIGNED, None, "a" * 64, "a" * 64),
        (Payload.UNSIGNED, None, "nonsense", "UNSIGNED-PAYLOAD"),
        (Payload.DIGEST, "b" * 64, "a" * 64, "b" * 64),
        (Payload.NONE, None, None, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (Payload.UNSIGNED, None, *(["STREAMING-UNSIGNED-PAYLOAD-TRAILER"] * 2)),
    ],
)
async def test_what_s3_signs_for_the_body(
    payload: Payload, digest: str | None, promised: str | None, signed: str
) -> None:
    async with opened(S3Connector, AMAZON) as connector:
        asked = request(
            connector, "PUT", "/team/x", **({"x_amz_content_sha256": promised} if promised else {})
        )
        made = await connector.authorise(replace(asked, payload=payload, digest=digest))
    assert dict(made.fields)["x-amz-content-sha256"] == signed


@pytest.mark.parametrize(
    "kind", ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"]
)
async def test_s3_cannot_sign_chunks_anew(kind: str) -> None:
    async with opened(S3Connector, AMAZON) as connector:
        with pytest.raises(Unsupported):
            await connector.authorise(request(connector, "PUT", "/team/x", x_amz_content_sha256=kind))
        with pytest.raises(BadCredential):
            await connector.authorise(request(connector, "PUT", "/team/x"), refused="AWS")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/outside"),
        ("GET", "/teamwork/x"),
        ("GET", "/"),
        ("GET", "/?list-type=2&prefix=other%2F"),
        ("GET", "/?list-type=2&prefix=team%2F&prefix=other%2F"),
        ("GET", "/?acl&prefix=team%2F"),
        ("PUT", "/?policy"),
        ("POST", "/?delete"),
        ("DELETE", "/"),
    ],
)
async def test_s3_keeps_to_its_folder(method: str, target: str) -> None:
    async with opened(S3Connector, AMAZON) as connector:
        with pytest.raises(NotPermitted):
            await connector.authorise(request(connector, method, target))


@pytest.mark.parametrize(
    "source",
    ["/others/team/x", "/files/outside", "files/team/../outside", "arn:aws:s3:::others/x", "", "/files"],
)
async def test_s3_copies_from_its_folder_alone(source: str) -> None:
    async with opened(S3Connector, AMAZON) as connector:
        with pytest.raises(NotPermitted):
            await connector.authorise(request(connector, "PUT", "/team/x", x_amz_copy_source=source))
        for fine in ("/files/team/x", "files/team/x%20y?versionId=1"):
            await connector.authorise(request(connector, "PUT", "/team/x", x_amz_copy_source=fine))


async def test_azure_puts_its_token_in_place_of_another() -> None:
    async with opened(AzureConnector, {**CONTAINER, "sas_token": TOKEN}) as connector:
        source = "https://acct.blob.core.windows.net/files/team/y?snapshot=1&sig=theirs"
        made = await connector.authorise(
            request(
                connector,
                "PUT",
                "/files/team/x?comp=block&sig=theirs&sv=2019-01-01",
                authorization="SharedKey acct:theirs",
                x_ms_copy_source=source,
            )
        )
        assert made.target == f"/files/team/x?comp=block&{TOKEN}"
        fields = dict(made.fields)
        assert fields["x-ms-copy-source"].endswith(f"/files/team/y?snapshot=1&{TOKEN}")
        assert "theirs" not in str(made.fields)
        assert {"abc%2Bdef%3D", "abc+def="} <= set(made.secrets)
        with pytest.raises(BadCredential):
            await connector.authorise(request(connector, "GET", "/files/team/x"), refused="Bearer")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/files/outside"),
        ("GET", "/files"),
        ("GET", "/files?comp=list&prefix=team/"),
        ("GET", "/files?restype=container&comp=list&prefix=other/"),
        ("GET", "/files?restype=container&comp=list&prefix=team/&Prefix=other/"),
        ("GET", "/files?restype=container&comp=acl"),
        ("DELETE", "/files?restype=container"),
    ],
)
async def test_azure_keeps_to_its_folder(method: str, target: str) -> None:
    async with opened(AzureConnector, {**CONTAINER, "sas_token": TOKEN}) as connector:
        with pytest.raises(NotPermitted):
            await connector.authorise(request(connector, method, target))
        await connector.authorise(request(connector, "HEAD", "/files?restype=container"))


@pytest.mark.parametrize("query", ["restype=container&comp=batch", "COMP=Batch&restype=container"])
async def test_azure_batches_are_refused(query: str) -> None:
    """Each request of one has an authorisation of its own, in the body."""
    for prefix in ("", "team"):
        async with opened(AzureConnector, {**CONTAINER, "prefix": prefix, "sas_token": TOKEN}) as connector:
            with pytest.raises(Unsupported, match="one by one"):
                await connector.authorise(request(connector, "POST", f"/files?{query}"))


@pytest.mark.parametrize(
    "source",
    [
        "https://acct.blob.core.windows.net/others/x",
        "https://other.blob.core.windows.net/files/team/x",
        "https://acct.blob.core.windows.net:444/files/team/x",
        "https://acct.blob.core.windows.net/files/outside",
        "http://metadata.test/",
    ],
)
async def test_azure_copies_from_its_folder_alone(source: str) -> None:
    async with opened(AzureConnector, {**CONTAINER, "sas_token": TOKEN}) as connector:
        with pytest.raises(NotPermitted):
            await connector.authorise(request(connector, "PUT", "/files/team/x", x_ms_copy_source=source))


@pytest.mark.parametrize("method", ["TRACE", "trace", "CONNECT", "BIND", "SEARCH", "REPORT"])
async def test_webdav_methods_that_could_lead_out(method: str) -> None:
    async with opened(WebdavConnector, DAV) as connector:
        with pytest.raises(NotPermitted):
            await connector.authorise(request(connector, method, "/mine/x"))


async def test_a_method_in_a_header_is_dropped() -> None:
    async with opened(WebdavConnector, DAV) as connector:
        made = await connector.authorise(
            request(connector, "POST", "/mine/x", x_http_method_override="TRACE", x_kept="1")
        )
        assert [name for name, _ in made.fields] == ["host", "x-kept"]


@pytest.mark.parametrize(
    "more",
    [
        {"method": "G ET"},
        {"method": ""},
        {"target": "x"},
        {"target": "/x y"},
        {"target": "/x\r\ny"},
        {"target": "/x#y"},
        {"target": "/é"},
        {"fields": [("a b", "c")]},
        {"fields": [("A", "c")]},
        {"fields": [("a", "b\r\nc: d")]},
        {"fields": [("a", "\0")]},
        {"fields": [("a", "b" * 70_000)]},
    ],
)
def test_there_is_no_request_that_is_two(more: dict[str, Any]) -> None:
    given: dict[str, Any] = {"method": "GET", "origin": Origin("http", "a", 80), "target": "/", **more}
    with pytest.raises(InvalidName):
        Request(**given)
