"""Answers that no server of ours gives: they are scripted."""

from datetime import UTC, datetime

import pytest

from connectors.conformance.kit import pieces, whole
from connectors.interface import (
    BadAnswer,
    NotPermitted,
    Quota,
    Span,
    StoreError,
    Unavailable,
    Unsupported,
)
from connectors.webdav import WebdavConnector
from connectors.webdav.multistatus import failure, parse, plain_etag
from tests.connectors.webdav.stores import folder, listing, resource, scripted


async def test_names_in_a_listing_lead_nowhere() -> None:
    hrefs = ["/dav/good", "/dav/..", "/dav/a%2Fb", "/dav/deep/er", "/other/x", "/dav/%00", "/dav/.isthmus-1"]
    async with scripted(listing(folder("/dav/"), *map(resource, hrefs))) as connector:
        assert [e.name for e in (await connector.list("", None, 99)).entries] == ["good"]


async def test_a_proxy_that_renames_the_prefix() -> None:
    answer = listing(folder("http://inner.example/share/"), resource("http://inner.example/share/f"))
    async with scripted(answer) as connector:
        assert [e.raw_id for e in (await connector.list("", None, 99)).entries] == ["f"]


async def test_a_server_without_ranges() -> None:
    size = "<D:getcontentlength>10</D:getcontentlength>"
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    for span, part in ((Span(2, 4), b"234"), (Span(7), b"789"), (Span(0, 99), b"0123456789")):
        async with scripted(listing(resource("/dav/f", size)), body) as connector:
            assert await whole(connector, "f", span) == part


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nsecret", NotPermitted),
        (b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n", Unsupported),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", Unavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", BadAnswer),
        (b"HTTP/1.1 207 OK\r\nContent-Length: 2\r\n\r\nhi", BadAnswer),
        (b"HTTP/1.1 207 OK\r\nContent-Length: 200\r\n\r\nhi", Unavailable),
        (b"SSH-2.0-OpenSSH\r\n\r\n", BadAnswer),
        (b"", Unavailable),
        (listing(), BadAnswer),
        (b"HTTP/1.1 302 No\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", BadAnswer),
    ],
)
async def test_answers_that_are_none(answer: bytes, error: type[StoreError]) -> None:
    answers = [answer, answer] if b" 302 " in answer else [answer]
    async with scripted(*answers) as connector:
        with pytest.raises(error) as told:
            await connector.stat("x")
        assert "secret" not in str(told.value)
        assert "127.0.0.1" not in str(told.value)


async def test_a_download_that_is_cut_is_no_end() -> None:
    size = "<D:getcontentlength>10</D:getcontentlength>"
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123"
    async with scripted(listing(resource("/dav/f", size)), cut) as connector:
        with pytest.raises(Unavailable):
            await whole(connector, "f")


async def test_entities_are_not_expanded() -> None:
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        b'<multistatus xmlns="DAV:">&b;</multistatus>'
    )
    with pytest.raises(BadAnswer):
        parse(bomb)


def test_dates_and_tags() -> None:
    text = resource(
        "/dav/f",
        '<D:getlastmodified>Mon, 02 Nov 2026 10:00:00 GMT</D:getlastmodified><D:getetag>W/"a-b"</D:getetag>'
        "<D:creationdate>2026-11-01T10:00:00Z</D:creationdate><D:getcontentlength>x</D:getcontentlength>",
    )
    found = parse(listing(text).partition(b"\r\n\r\n")[2])[0]
    assert found.modified == datetime(2026, 11, 2, 10, tzinfo=UTC)
    assert found.created == datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert found.etag == "a-b" == plain_etag('"a-b"')
    assert found.size is None


async def test_an_early_refusal_ends_the_upload() -> None:
    """The server says no after the first bytes: the rest of the source is not waited for."""
    refused = b"HTTP/1.1 507 Full\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with scripted(
        listing(folder("/dav/")), refused, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
    ) as c:
        with pytest.raises(StoreError):
            await c.write("", "f", pieces(b"x" * 50_000_000), size=50_000_000, replace=False)


@pytest.mark.parametrize(
    ("inside", "quota"),
    [
        (
            "<D:quota-available-bytes>900</D:quota-available-bytes><D:quota-used-bytes>100</D:quota-used-bytes>",
            Quota(total=1000, used=100, free=900),
        ),
        ("<D:quota-used-bytes>100</D:quota-used-bytes>", Quota(total=None, used=100, free=None)),
        ("<D:quota-available-bytes>-3</D:quota-available-bytes>", None),  # ownCloud's "not known"
        ("<D:quota-available-bytes/>", None),
        ("", None),
    ],
)
async def test_room_as_the_server_says_it(inside: str, quota: Quota | None) -> None:
    """RFC 4331; neither Apache 2.4 nor rclone says it."""
    async with scripted(listing(resource("/dav/", inside))) as other:
        assert isinstance(other, WebdavConnector)
        if quota is None:
            with pytest.raises(Unsupported, match="room"):
                await other.quota()
        else:
            assert await other.quota() == quota


def test_what_failed_in_a_multistatus() -> None:
    def body(*codes: str) -> bytes:
        return listing(*(resource("/x", "", f"HTTP/1.1 {code}") for code in codes)).partition(b"\r\n\r\n")[2]

    assert failure(body("200 OK", "204 No Content")) is None
    assert failure(body("200 OK", "424 Failed Dependency", "423 Locked")) == 423
    assert failure(body("424 Failed Dependency")) == 424
    assert failure(body("nonsense")) is None


async def test_properties_that_a_server_turns_down() -> None:
    refused = resource("/dav/f", '<p-a xmlns="urn:isthmus:properties"/>', "HTTP/1.1 403 Forbidden")
    async with scripted(listing(resource("/dav/f")), listing(refused)) as other:
        assert isinstance(other, WebdavConnector)
        with pytest.raises(Unsupported, match="properties"):
            await other.set_properties("f", {"a": "b"})
