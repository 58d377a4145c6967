"""What only WebDAV has: Digest's nonces, trust in certificates, servers that answer oddly."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import pieces, put, whole
from connectors.interface import (
    BadAnswer,
    BadCredential,
    Connector,
    NotPermitted,
    Span,
    StoreError,
    Unavailable,
    Unsupported,
    UntrustedHost,
)
from connectors.webdav import WebdavConnector
from connectors.webdav.auth import Authentication, Digest, parse_challenges
from connectors.webdav.multistatus import parse, plain_etag
from connectors.webdav.settings import WebdavSettings
from tests.servers.apache import PASSWORD, USER, Apache, apache


def store(url: str, username: str | None = USER, password: str = PASSWORD, **more: Any) -> Store:
    settings = {"url": url, "username": username, "password": password, **more}
    return Store(WebdavConnector, settings, Direct(), idle_timeout=5.0)


@pytest.fixture(scope="module")
def digest_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    """A nonce of one second: every pause makes it stale."""
    extra = "<Location />\nAuthDigestNonceLifetime 1\n</Location>"
    with apache(tmp_path_factory.mktemp("digest"), auth="Digest", extra=extra) as server:
        yield server


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("tls"), tls=True) as server:
        yield server


# authentication


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_as_in_rfc_7616(algorithm: str, response: str) -> None:
    """RFC 7616, 3.9.1."""
    challenge = {
        "realm": "http-auth@example.org",
        "qop": "auth, auth-int",
        "algorithm": algorithm,
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    }
    answer = Digest("Mufasa", "Circle of Life", challenge).answer(
        "GET", "/dir/index.html", cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    )
    assert f'response="{response}"' in answer
    assert 'username="Mufasa"' in answer
    assert "nc=00000001" in answer


def test_digest_without_quality_as_in_rfc_2069() -> None:
    """RFC 2069's example, with the value of its erratum 749."""
    challenge = {"realm": "testrealm@host.com", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"}
    answer = Digest("Mufasa", "CircleOfLife", challenge).answer("GET", "/dir/index.html")
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in answer
    assert "qop" not in answer


def test_challenges_are_told_apart() -> None:
    text = 'Negotiate, Basic realm="a, Digest nonce=1", Digest realm="b\\"c", nonce="n==", stale=TRUE'
    assert parse_challenges(text) == [
        ("negotiate", {}),
        ("basic", {"realm": "a, Digest nonce=1"}),
        ("digest", {"realm": 'b"c', "nonce": "n==", "stale": "TRUE"}),
    ]


def test_the_strongest_digest_is_taken() -> None:
    auth = Authentication("u", "p")
    auth.refused(
        ['Digest realm="r", nonce="1", algorithm=MD5', 'Digest realm="r", nonce="2", algorithm=SHA-256'], None
    )
    assert "algorithm=SHA-256" in (auth.header("GET", "/") or "")


def test_a_scheme_that_we_lack_is_named() -> None:
    with pytest.raises(BadCredential, match="negotiate"):
        Authentication("u", "p").refused(["Negotiate"], None)


async def test_a_stale_nonce_costs_no_upload(digest_server: Apache) -> None:
    """The body is a stream that can't be sent twice: the server is asked before it is."""
    content = secrets.token_bytes(700_000)
    async with store(digest_server.url).opened() as connector:
        assert isinstance(connector, WebdavConnector)
        await connector.stat("")
        await asyncio.sleep(2.1)
        answer = await connector._server.request("PUT", "stale", body=pieces(content))
        assert answer.status == 201
        await answer.aclose()
        assert await whole(connector, "stale") == content
    assert "PUT 401" in digest_server.log.read_text(), "the nonce was not stale: this test showed nothing"


@pytest.mark.parametrize("auth", ["Basic", "Digest"])
@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("nobody", PASSWORD), (None, "")])
async def test_a_wrong_password_is_told(tmp_path: Path, auth: str, user: str | None, password: str) -> None:
    with apache(tmp_path / "apache", auth=auth) as server:
        async with store(server.url, user, password).opened() as connector:
            for verb in (connector.stat(""), put(connector, "", "x"), connector.read("x")):
                with pytest.raises(BadCredential) as told:
                    await verb
                assert password == "" or password not in str(told.value)
        assert list(server.data.iterdir()) == []


# trust


async def test_a_certificate_that_nobody_vouches_for(tls_server: Apache) -> None:
    async with store(tls_server.url).opened() as connector:
        with pytest.raises(UntrustedHost, match="certificate"):
            await connector.stat("")


async def test_a_certificate_of_another_host(tls_server: Apache) -> None:
    url = f"https://127.0.0.1:{tls_server.port}/"
    async with store(url, ca=tls_server.ca).opened() as connector:
        with pytest.raises(UntrustedHost):
            await connector.stat("")


async def test_our_own_authority(tls_server: Apache) -> None:
    async with store(tls_server.url, ca=tls_server.ca).opened() as connector:
        entry = await put(connector, "", "over tls", b"content")
        assert await whole(connector, entry.raw_id) == b"content"


# settings


@pytest.mark.parametrize(
    "url",
    [
        "files.example",
        "ftp://files.example/",
        "https://u:p@files.example/",
        "https://x/?a",
        "http://x:99999/",
    ],
)
def test_urls_that_can_not_be(url: str) -> None:
    with pytest.raises(ValidationError):
        WebdavSettings(url=url)


def test_certificates_that_are_none() -> None:
    with pytest.raises(ValidationError, match="PEM"):
        WebdavSettings(url="https://x/", ca="not a certificate")


async def test_a_folder_below_with_signs_in_its_name(tmp_path: Path) -> None:
    with apache(tmp_path / "apache", auth="None") as server:
        folder = server.data / "a b%c"
        folder.mkdir()
        folder.chmod(0o777)
        async with store(server.url + "a%20b%25c", None).opened() as connector:
            entry = await put(connector, "", "file", b"content")
            assert entry.raw_id == "file"
            assert (folder / "file").read_bytes() == b"content"
            assert [e.name for e in (await connector.list("", None, 9)).entries] == ["file"]


# servers that answer oddly: scripted, no real server answers like this on demand


@asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[Connector]:
    """A connector whose server gives these answers, one a request, whatever is asked."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                head = await reader.readuntil(b"\r\n\r\n")
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        await reader.readexactly(int(line.split(b":")[1]))
                writer.write(left.pop(0))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    try:
        async with store(f"http://127.0.0.1:{port}/dav/", None).opened() as connector:
            yield connector
    finally:
        server.close()


def listing(*responses: str) -> bytes:
    body = f'<D:multistatus xmlns:D="DAV:">{"".join(responses)}</D:multistatus>'.encode()
    return b"HTTP/1.1 207 Multi-Status\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def resource(href: str, inside: str = "", status: str = "HTTP/1.1 200 OK") -> str:
    prop = f"<D:propstat><D:prop>{inside}<D:resourcetype/></D:prop><D:status>{status}</D:status></D:propstat>"
    return f"<D:response><D:href>{href}</D:href>{prop}</D:response>"


def folder(href: str) -> str:
    return (
        f"<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:resourcetype><D:collection/>"
        "</D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )


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
