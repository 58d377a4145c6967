"""S3's protocol without a real store: published signatures, settings, and answers of a scripted double."""

import asyncio
import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
from pydantic import ValidationError

import connectors.s3
from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, pieces, whole
from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    BadCredential,
    Connector,
    InvalidName,
    Kind,
    NotFound,
    NotPermitted,
    OutOfSpace,
    Span,
    StoreError,
    Throttled,
    TimedOut,
    Unavailable,
    Unsupported,
)
from connectors.objects import Source, parent_of
from connectors.s3 import S3CompatibleConnector, S3Connector, properties, uploads
from connectors.s3.documents import Document, listing
from connectors.s3.keys import NAMING
from connectors.s3.settings import S3CompatibleSettings, S3Settings
from connectors.s3.signing import Signer

# signatures: the examples in S3's API reference of signing by header and by query

PAGE = Path(connectors.s3.__file__).parents[2] / "docs" / "connectors" / "s3.md"
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


# settings


def settings(**more: Any) -> dict[str, Any]:
    return {"bucket": "reports", "access_key_id": "AK", "secret_access_key": "S3CR3T", **more}


@pytest.mark.parametrize(
    ("region", "origin"),
    [
        ("us-east-1", "https://s3.us-east-1.amazonaws.com"),
        ("cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "https://s3.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_the_endpoint_of_a_region(region: str, origin: str) -> None:
    assert S3Settings.model_validate(settings(region=region)).origin() == origin


@pytest.mark.parametrize(
    ("bucket", "path_style", "in_host"),
    [
        ("reports", False, True),
        ("reports", True, False),
        ("my.reports", False, False),
        ("Reports", False, False),
    ],
)
def test_where_the_bucket_stands(bucket: str, path_style: bool, in_host: bool) -> None:
    made = S3Settings.model_validate(settings(bucket=bucket, path_style=path_style))
    assert made.in_host() is in_host


def test_a_compatible_store_has_an_endpoint_and_paths() -> None:
    with pytest.raises(ValidationError, match="endpoint"):
        S3CompatibleSettings.model_validate(settings())
    made = S3CompatibleSettings.model_validate(settings(endpoint="http://files.inside:9000/", prefix="/a/b/"))
    assert (made.endpoint, made.prefix, made.in_host()) == ("http://files.inside:9000", "a/b", False)
    assert made.display_name() == "reports/a/b@files.inside"
    assert "S3CR3T" not in repr(made)


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "files.inside"},
        {"endpoint": "https://u:p@files.inside"},
        {"endpoint": "https://files.inside/path"},
        {"endpoint": "https://files.inside:99999"},
        {"bucket": "a/b"},
        {"bucket": "?x="},
        {"region": "eu west"},
        {"prefix": "a//b"},
        {"prefix": "../b"},
        {"access_key_id": ""},
        {"ca": "not a certificate"},
    ],
)
def test_settings_that_can_not_be(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        S3Settings.model_validate(settings(**wrong))


@pytest.mark.parametrize("name", sorted(S3CompatibleSettings.model_fields))
def test_every_setting_is_on_its_page(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text()


def test_botocore_is_imported_only_for_an_account() -> None:
    """Its import takes long, and the list of connectors loads all of them."""
    code = (
        "import sys, connectors.s3; assert 'connectors.s3' in sys.modules and 'botocore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_botocore_the_connector_is_missing_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError) as told:
        importlib.reload(connectors.s3)
    assert told.value.name == "botocore"


# ids


def test_ids_of_folders_end_with_a_slash() -> None:
    assert (
        S3Connector.normal_id("/docs/", Kind.FOLDER) == "docs/" == S3Connector.normal_id("docs", Kind.FOLDER)
    )
    assert S3Connector.normal_id("/docs/a/", Kind.FILE) == "docs/a"
    assert S3Connector.normal_id("/", Kind.FOLDER) == ""
    assert [parent_of(one) for one in ("", "a", "a/", "a/b", "a/b/")] == [None, "", "", "a/", "a/"]


@pytest.mark.parametrize("raw_id", ["/", "a//b", "a//", "../b", "a/./b", "a/..", "\0", "a/\ud800"])
def test_ids_that_no_entry_has(raw_id: str) -> None:
    assert not NAMING.nameable(raw_id)
    with pytest.raises(NotFound):
        NAMING.check_id(raw_id)


async def test_an_id_that_no_entry_has_reaches_no_key() -> None:
    """Not even by what looks for older versions, or by a name that is none."""
    async with scripted() as (connector, heads):
        for raw_id in ("", "/", "a//", "../"):
            with pytest.raises(NotFound):
                await connector.purge(raw_id, recursive=True)
            with pytest.raises(NotFound):
                await connector.delete(raw_id, recursive=True)
        for name in ("", "..", "a/b"):
            with pytest.raises(NotFound):
                await connector.child("docs/", name)
        assert heads == []


# parts


def test_parts_hold_the_largest_files() -> None:
    assert uploads.part_size(None) == uploads.UNKNOWN_PART
    assert uploads.part_size(1) == 8 * 1024**2
    for size in (10**11, 5 * 1024**4, 5 * 1024**4 + 1):
        assert uploads.part_size(size) * 10_000 >= size
        assert uploads.part_size(size) % 1024**2 == 0
    grown = [uploads.growing_part(number) for number in range(1, 10_001)]
    assert grown[:1000] == [8 * 1024**2] * 1000
    assert grown == sorted(grown)
    assert sum(grown) > 3.8 * 1024**4


async def test_a_source_is_taken_in_portions() -> None:
    async def source() -> AsyncIterator[bytes]:
        for piece in (b"abc", b"", b"defgh", b"i"):
            yield piece

    taken = Source(source())
    assert b"".join([piece async for piece in taken.take(4)]) == b"abcd"
    assert await taken.fill(3) == [b"efg"]
    assert not taken.ended
    assert b"".join(await taken.fill(99)) == b"hi"
    assert taken.ended


def test_a_ticket_is_short_ascii_whatever_the_key() -> None:
    for raw_id in ("\x01" * 1023, "ü" * 511, "🦊" * 255):
        ticket = uploads.Ticket("u" * 400, raw_id, replace=True)
        assert len(ticket.written()) <= 4096
        assert ticket.written().isascii()
        assert uploads.Ticket.read(ticket.written()) == ticket
    with pytest.raises(NotFound):
        uploads.Ticket.read("bm9uZSBvZiBvdXJz")


# properties


@pytest.mark.parametrize(
    "text", ["red & white", " spaces ", "   ", "a=b=26", "Grüße, 世界 🦊", "", "=3D", "50%\n"]
)
def test_properties_hold_any_text(text: str) -> None:
    tags = properties.to_tags({f"k{text}": text})
    assert properties.from_tags(tags) == {f"k{text}": text}
    for part in (*tags, *tags.values()):
        assert re.fullmatch(r"[\w +\-=.:/@]*", part)
        assert part == part.strip()


@pytest.mark.parametrize(
    "given", [{"": "x"}, {"aws:x": "y"}, {"k" * 129: ""}, {"k": "&" * 86}, dict.fromkeys("abcdefghijk", "")]
)
def test_properties_that_tags_can_not_hold(given: dict[str, str]) -> None:
    with pytest.raises(InvalidName):
        properties.to_tags(given)


# answers: scripted, since no real server gives these on demand


class ToHead(bytes):
    """An answer to HEAD."""


@asynccontextmanager
async def scripted(*answers: bytes, **more: Any) -> AsyncIterator[tuple[FullConnector, list[bytes]]]:
    """A connector whose server gives these answers in turn, and the heads that it got.

    HEAD gets those that are `ToHead`, whatever else is asked the others: looks are sent at the same time.
    """
    left, heads = list(answers), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                head = await reader.readuntil(b"\r\n\r\n")
                heads.append(head)
                if length := re.search(rb"\r\ncontent-length: (\d+)", head.lower()):
                    await reader.readexactly(int(length[1]))
                fit = [one for one in left if isinstance(one, ToHead) is head.startswith(b"HEAD")]
                left.remove(fit[0])
                writer.write(fit[0])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    store = Store(S3CompatibleConnector, settings(endpoint=endpoint, **more), Direct(), idle_timeout=5.0)
    try:
        async with store.opened() as connector:
            yield connector, heads  # type: ignore[misc]  # it has what the tests use
    finally:
        server.close()
        await server.wait_closed()


def answer(status: int, body: str = "", *fields: str) -> bytes:
    head = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 {status} X\r\n{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()


def refused(status: int, code: str, inside: str = "") -> bytes:
    return answer(status, f"<Error><Code>{code}</Code><Message>inner-host said</Message>{inside}</Error>")


def page(*keys: str, more: str = "", encoding: str = "") -> str:
    inside = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    return f"<ListBucketResult>{more}{encoding}{inside}</ListBucketResult>"


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (refused(404, "NoSuchBucket"), NotFound, "bucket"),
        (refused(403, "AccessDenied"), NotPermitted, "permit"),
        (refused(403, "InvalidAccessKeyId"), BadCredential, "access key"),
        (refused(403, "SignatureDoesNotMatch"), BadCredential, "secret"),
        (refused(400, "ExpiredToken"), BadCredential, "token"),
        (refused(403, "RequestTimeTooSkewed"), Unavailable, "clock"),
        (refused(503, "SlowDown"), Throttled, "fewer"),
        (answer(503, "", "Retry-After: 7"), Throttled, "overloaded"),
        (answer(429, "", "Retry-After: 7"), Throttled, "fewer"),
        (refused(400, "EntityTooLarge"), OutOfSpace, "larger"),
        (refused(403, "QuotaExceeded"), OutOfSpace, "room"),
        (refused(507, "XMinioStorageFull"), OutOfSpace, "room"),
        (refused(501, "NotImplemented"), Unsupported, "does not do"),
        (refused(400, "KeyTooLongError"), InvalidName, "longer"),
        (refused(400, "RequestTimeout"), TimedOut, "waited"),
        (refused(500, "InternalError"), Unavailable, "failed"),
        (refused(301, "PermanentRedirect"), BadCredential, "another region"),
        (answer(301, "", "x-amz-bucket-region: eu-west-3"), BadCredential, "region eu-west-3"),
        (
            refused(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
            BadCredential,
            "region eu-west-1",
        ),
        (refused(400, "SomethingNew"), BadAnswer, "SomethingNew"),
        (answer(403, "<html>a proxy's page"), NotPermitted, "permit"),
        (answer(502, "<html>a proxy's page"), Unavailable, "502"),
    ],
)
async def test_refusals(reply: bytes, error: type[StoreError], words: str) -> None:
    async with scripted(reply, reply, reply) as (connector, _):
        with pytest.raises(error, match=words) as told:
            await connector.stat("")
        assert type(told.value) is error
        for secret in ("inner-host", "127.0.0.1", "S3CR3T", "AK"):
            assert secret not in str(told.value)
        assert (told.value.retry_after == 7) is (b"Retry-After" in reply)


async def test_a_refused_head_is_explained() -> None:
    """HEAD has no body: the code is asked for by a GET of one byte."""
    reply = refused(403, "SignatureDoesNotMatch")
    async with scripted(ToHead(answer(403)), reply) as (connector, heads):
        with pytest.raises(BadCredential, match="secret"):
            await connector.stat("file")
    assert [head.split()[0] for head in heads] == [b"HEAD", b"GET"]


async def test_a_safe_request_is_repeated_a_writing_one_is_not() -> None:
    failed = refused(503, "SlowDown")
    async with scripted(failed, failed, answer(200, page("f/x"))) as (connector, heads):
        assert (await connector.stat("f/")).kind is Kind.FOLDER
        assert len(heads) == 3
    empty = answer(200, page())
    async with scripted(empty, ToHead(answer(404)), failed, answer(200)) as (connector, heads):
        with pytest.raises(Throttled):
            await connector.write("", "f", pieces(b"x"), size=1, replace=False)
        assert sorted(head.split()[0] for head in heads) == [b"GET", b"HEAD", b"PUT"]


async def test_a_failure_after_a_good_status_is_one() -> None:
    """CopyObject and CompleteMultipartUpload may say 200 first and fail then."""
    described = answer(200, "", 'ETag: "e"').replace(b"Content-Length: 0", b"Content-Length: 9")
    empty, missing, failed = answer(200, page()), ToHead(answer(404)), refused(200, "InternalError")
    async with scripted(ToHead(described), empty, missing, ToHead(described), failed) as (connector, _):
        with pytest.raises(Unavailable):
            await connector.copy("a", "", "b")


async def test_a_name_that_is_taken_meanwhile() -> None:
    for reply in (refused(412, "PreconditionFailed"), refused(409, "ConditionalRequestConflict")):
        async with scripted(answer(200, page()), ToHead(answer(404)), reply) as (connector, heads):
            with pytest.raises(AlreadyExists):
                await connector.write("", "f", pieces(b"x"), size=1, replace=False)
        assert b"if-none-match: *" in heads[-1]
        assert b"x-amz-content-sha256: UNSIGNED-PAYLOAD" in heads[-1]


async def test_a_store_that_refuses_conditions_is_not_told_any() -> None:
    looks = (answer(200, page()), ToHead(answer(404)))
    written = ToHead(answer(200, "", 'ETag: "e"'))
    async with scripted(*looks, answer(200), written, conditional_writes=False) as (connector, heads):
        await connector.write("", "f", pieces(b"x"), size=1, replace=False)
        assert not [head for head in heads if b"if-none-match" in head.lower()]
    async with scripted(answer(200, page()), written, conditional_writes=False) as (connector, _):
        with pytest.raises(AlreadyExists):
            await connector.write("", "f", pieces(b"x"), size=1, replace=False)


async def test_what_no_id_can_name_is_not_listed() -> None:
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{p}</Prefix></CommonPrefixes>" for p in ("/", "../", "good/")
    )
    body = page("a", "./x", "..", more=prefixes)
    async with scripted(answer(200, body)) as (connector, _):
        assert [e.raw_id for e in (await connector.list("", None, 99)).entries] == ["a", "good/"]


async def test_a_token_that_xml_could_not_hold_is_not_used() -> None:
    """As SeaweedFS writes a token: the last key, whose control character became U+FFFD."""
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>b\ufffd</NextContinuationToken>"
    body = page("a", "b%01", more=more, encoding="<EncodingType>url</EncodingType>")
    async with scripted(answer(200, body), answer(200, page("c"))) as (connector, heads):
        first = await connector.list("", None, 2)
        assert [e.name for e in first.entries] == ["a", "b\x01"]
        rest = await connector.list("", first.next_cursor, 2)
        assert ([e.name for e in rest.entries], rest.next_cursor) == (["c"], None)
        assert b"start-after=b%01" in heads[-1]


async def test_a_store_without_ranges() -> None:
    reply = answer(200, "0123456789", 'ETag: "e"')
    for span, part in ((Span(2, 4), b"234"), (Span(7), b"789"), (Span(0, 99), b"0123456789")):
        async with scripted(reply) as (connector, _):
            assert await whole(connector, "f", span) == part


async def test_another_span_than_asked_for_is_refused() -> None:
    reply = answer(206, "345", "Content-Range: bytes 3-5/10")
    async with scripted(reply) as (connector, _):
        with pytest.raises(BadAnswer, match="span"):
            await whole(connector, "f", Span(2, 4))


@pytest.mark.parametrize(
    "body", ["hi", "<html></html>", '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "<open>"]
)
async def test_answers_that_are_no_listing(body: str) -> None:
    async with scripted(answer(200, body)) as (connector, _):
        with pytest.raises(BadAnswer):
            await connector.stat("")


def test_keys_are_decoded_only_when_they_are_encoded() -> None:
    plain = listing(Document.parse(page("a+b%20c").encode()))
    encoded = page("a+b%2B%0A%C3%BC", encoding="<EncodingType>url</EncodingType>")
    assert plain.objects[0].key == "a+b%20c"
    assert listing(Document.parse(encoded.encode())).objects[0].key == "a b+\nü"


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Host", "x-amz-date", "X-Amz-Copy-Source", "Range", "If-Match", "Content-Length"],
)
async def test_headers_that_are_ours(name: str) -> None:
    async with scripted() as (connector, _):
        with pytest.raises(Unsupported, match=name.lower()):
            connector.with_headers({name: "x"})
        for bad in ({"a b": "x"}, {"": "x"}, {"x-trace": "a\r\nHost: b"}, {"x-trace": "ü"}):
            with pytest.raises(Unsupported):
                connector.with_headers(bad)


async def test_headers_of_the_stores_kind_are_signed() -> None:
    async with scripted(answer(200, page("f/x")), answer(200, page("f/x"))) as (connector, heads):
        await connector.with_headers({"X-Trace": "1", "x-amz-request-payer": "requester"}).stat("f/")
        signed = re.search(rb"SignedHeaders=([^,]+)", heads[0])
        assert signed is not None
        assert signed[1] == b"host;x-amz-content-sha256;x-amz-date;x-amz-request-payer"
        assert b"x-trace: 1" in heads[0]
        await connector.stat("f/")
        assert b"x-trace" not in heads[1]


async def test_a_session_token_goes_along() -> None:
    async with scripted(answer(200, page()), session_token="T0KEN") as (connector, heads):
        await connector.stat("")
        assert b"x-amz-security-token: T0KEN" in heads[0]


async def test_presigned_for_too_long() -> None:
    async with scripted(answer(200, page())) as (connector, _):
        with pytest.raises(Unsupported, match="seven days"):
            await connector.upload_url("", "x", expires=7 * 24 * 3600 + 1)


async def test_a_port_where_nothing_listens() -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    store = Store(S3CompatibleConnector, settings(endpoint=f"http://127.0.0.1:{port}"), Direct())
    async with store.opened() as connector:
        assert isinstance(connector, Connector)
        with pytest.raises(Unavailable) as told:
            await connector.stat("")
        assert str(port) not in str(told.value)


async def test_a_store_that_says_nothing() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1")
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    store = Store(S3CompatibleConnector, settings(endpoint=endpoint), Direct(), idle_timeout=0.2)
    async with store.opened() as connector:
        with pytest.raises(TimedOut):
            await connector.stat("")
    server.close()
    await server.wait_closed()
