"""What S3's connector makes of a store's answers, which a double gives."""

import asyncio
import re

import pytest

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import pieces, whole
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
from connectors.s3 import S3CompatibleConnector
from connectors.s3.documents import Document, listing
from tests.connectors.s3.scripted import ToHead, answer, page, refused, scripted, settings


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
