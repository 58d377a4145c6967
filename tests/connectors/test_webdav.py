"""What only WebDAV has: Digest's nonces, trust in certificates, servers that answer oddly."""

import asyncio
import http.client
import os
import secrets
import shutil
from base64 import b64encode
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
    AlreadyExists,
    BadAnswer,
    BadCredential,
    Connector,
    InvalidName,
    NotPermitted,
    Quota,
    Span,
    StoreError,
    Unavailable,
    Unsupported,
    UntrustedHost,
)
from connectors.webdav import WebdavConnector
from connectors.webdav.auth import Authentication, Digest, parse_challenges
from connectors.webdav.multistatus import failure, parse, plain_etag
from connectors.webdav.settings import WebdavSettings
from tests.servers import rclone as other_servers
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


# locks: another program's, on Apache's mod_dav_fs


@pytest.fixture(scope="module")
def basic_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("basic")) as server:
        yield server


@pytest.fixture
async def connector(basic_server: Apache) -> AsyncIterator[WebdavConnector]:
    async with store(basic_server.url).opened() as opened:
        assert isinstance(opened, WebdavConnector)
        yield opened


LOCK = (
    '<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


def locked(server: Apache, path: str) -> str:
    """What another program does: LOCK, by another client than ours. The lock's token."""
    return other_program(server, "LOCK", path, LOCK, {"Timeout": "Second-60", "Depth": "infinity"})


def unlocked(server: Apache, path: str, token: str) -> None:
    other_program(server, "UNLOCK", path, None, {"Lock-Token": token})


def other_program(server: Apache, method: str, path: str, body: str | None, headers: dict[str, str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    login = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    connection.request(method, path, body, {"Authorization": f"Basic {login}", **headers})
    answer = connection.getresponse()
    assert answer.status in (200, 204), answer.status
    connection.close()
    return answer.headers.get("Lock-Token", "")


async def test_a_locked_file_is_left_alone(basic_server: Apache, connector: WebdavConnector) -> None:
    await connector.mkdir("", "desk")
    await put(connector, "desk", "locked", b"theirs")
    await put(connector, "desk", "free", b"ours")
    token = locked(basic_server, "/desk/locked")
    for verb in (
        put(connector, "desk", "locked", b"overwritten", replace=True),
        connector.delete("desk/locked"),
        connector.delete("desk", recursive=True),
        connector.move("desk/locked", "", "elsewhere"),
        connector.move("desk/free", "desk", "locked", replace=True),
        connector.set_properties("desk/locked", {"colour": "blue"}),
    ):
        with pytest.raises(NotPermitted, match="locked"):
            await verb
    assert await whole(connector, "desk/locked") == b"theirs"
    assert await whole(connector, "desk/free") == b"ours"
    assert sorted(path.name for path in (basic_server.data / "desk").iterdir() if path.is_file()) == [
        "free",
        "locked",
    ]
    unlocked(basic_server, "/desk/locked", token)
    await put(connector, "desk", "locked", b"overwritten", replace=True)
    await connector.delete("desk", recursive=True)


async def test_a_locked_folder_takes_no_file(basic_server: Apache, connector: WebdavConnector) -> None:
    await connector.mkdir("", "cabinet")
    token = locked(basic_server, "/cabinet")
    for verb in (put(connector, "cabinet", "file"), connector.mkdir("cabinet", "below")):
        with pytest.raises(NotPermitted, match="locked"):
            await verb
    assert [path for path in (basic_server.data / "cabinet").iterdir() if path.is_file()] == []
    unlocked(basic_server, "/cabinet", token)
    await put(connector, "cabinet", "file")


async def test_the_holder_of_a_lock_may_send_its_token(
    basic_server: Apache, connector: WebdavConnector
) -> None:
    """By a header of the caller's own: the lock is the caller's, not ours."""
    entry = await put(connector, "", "mine", b"before")
    token = locked(basic_server, "/mine")
    holder = connector.with_headers({"If": f"<{basic_server.url}mine> ({token})"})
    with pytest.raises(NotPermitted, match="locked"):
        await connector.delete(entry.raw_id)
    await holder.delete(entry.raw_id)


# copies and moves


async def test_a_folder_is_not_copied_into_itself(connector: WebdavConnector) -> None:
    await connector.mkdir("", "itself")
    for to in ("itself", "itself/below"):
        with pytest.raises(InvalidName):
            await connector.copy("itself", to, "copy")


async def test_a_copy_that_fails_half_way_leaves_nothing(
    basic_server: Apache, connector: WebdavConnector
) -> None:
    """One file of the folder can't be read by the server."""
    await connector.mkdir("", "partly")
    for name in ("a", "b", "c"):
        await put(connector, "partly", name)
    hidden = basic_server.data / "partly" / "b"
    hidden.chmod(0)
    if os.getuid() == 0:  # as root we start it as another user
        shutil.chown(hidden, "root", "root")
    with pytest.raises(StoreError):
        await connector.copy("partly", "", "copy")
    left = [path.name for path in basic_server.data.iterdir()]
    assert not [name for name in left if "copy" in name or "isthmus" in name]


async def test_a_file_is_not_moved_onto_a_folder(connector: WebdavConnector) -> None:
    await connector.mkdir("", "kept folder")
    inside = await put(connector, "kept folder", "inside")
    await put(connector, "", "mover", replace=True)
    with pytest.raises(AlreadyExists):
        await connector.move("mover", "", "kept folder", replace=True)
    assert await whole(connector, inside.raw_id) == b"x"


# properties


async def test_new_bytes_keep_the_properties(connector: WebdavConnector) -> None:
    await put(connector, "", "kept", b"one")
    await connector.set_properties("kept", {"colour": "blue"})
    await put(connector, "", "kept", b"two", replace=True)
    assert await connector.properties("kept") == {"colour": "blue"}
    await connector.copy("kept", "", "copied")
    await connector.move("copied", "", "moved")
    assert await connector.properties("moved") == {"colour": "blue"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a b:c/d<e>", "x"),
        ("_5f_p-", "%41 %"),
        ("世界", "\t leading and trailing \r\n"),
        ("0", "\0\x1b\x7f\u0085"),
        ("k" * 253, "v" * 20_000),
        ("markup", "<I:p-other>]]>&amp;</I:p-other>"),
    ],
)
async def test_keys_and_values_are_any_text(connector: WebdavConnector, key: str, value: str) -> None:
    await put(connector, "", "any", replace=True)
    assert (await connector.set_properties("any", {key: value}))[key] == value
    assert key not in await connector.set_properties("any", {key: None})


@pytest.mark.parametrize(("key", "value"), [("", "x"), ("k" * 254, "x"), ("\udc80", "x"), ("k", "\udc80")])
async def test_what_is_no_text_is_refused(connector: WebdavConnector, key: str, value: str) -> None:
    await put(connector, "", "refused", replace=True)
    with pytest.raises(InvalidName):
        await connector.set_properties("refused", {key: value})


async def test_a_server_that_keeps_no_properties(tmp_path: Path) -> None:
    """rclone answers that all is well, and keeps nothing."""
    with other_servers.rclone(tmp_path / "rclone", "webdav") as server:
        async with store(server.url, other_servers.USER, other_servers.PASSWORD).opened() as other:
            assert isinstance(other, WebdavConnector)
            await put(other, "", "file")
            with pytest.raises(Unsupported, match="properties"):
                await other.set_properties("file", {"colour": "blue"})
            assert await other.properties("file") == {}
            with pytest.raises(Unsupported, match="room"):
                await other.quota()


# headers of the caller's


async def test_every_request_has_the_callers_headers(
    basic_server: Apache, connector: WebdavConnector
) -> None:
    await connector.with_headers({"X-Trace": "begin"}).stat("")
    traced = connector.with_headers({"X-Trace": "abc", "Authorization": "Basic bm8=", "Host": "elsewhere"})
    await put(traced, "", "traced", b"one")
    await put(traced, "", "traced", b"two", replace=True)
    await traced.list("", None, 10)
    assert await whole(traced, "traced") == b"two"
    await traced.delete("traced")
    await connector.with_headers({"X-Trace": "end"}).stat("")
    lines = await _logged_between(basic_server, "begin", "end")
    assert {"PUT", "MOVE", "PROPFIND", "GET", "DELETE"} <= {
        method for method, _, trace in lines if trace == "abc"
    }
    assert {trace for _, _, trace in lines} == {"abc"}


async def _logged_between(server: Apache, begin: str, end: str) -> list[list[str]]:
    """Method, path and trace of each request; Apache writes a line after its answer is out."""
    async with asyncio.timeout(10):
        while True:
            lines = [line.split() for line in server.log.read_text().splitlines()]
            traces = [trace for _, _, trace in lines]
            if end in traces:
                return [one for one in lines[traces.index(begin) : traces.index(end)] if one[2] != begin]
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "headers",
    [{"X": "a\r\nY: b"}, {"X\r\nY": "b"}, {"X Y": "b"}, {"": "b"}, {"X": "\0"}, {"X": "世"}, {"X:": "b"}],
)
async def test_what_is_no_header_is_refused(connector: WebdavConnector, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidName, match="header"):
        connector.with_headers(headers)


async def test_framing_and_ranges_stay_ours() -> None:
    """What the request looks like on the wire."""
    seen: list[bytes] = []
    answers = [
        listing(resource("/dav/f", "<D:getcontentlength>10</D:getcontentlength>")),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    ]
    async with scripted(*answers, seen=seen) as other:
        assert isinstance(other, WebdavConnector)
        theirs = {
            "Content-Length": "99",
            "Transfer-Encoding": "chunked",
            "Connection": "close",
            "Expect": "100-continue",
            "Range": "bytes=5-",
            "Accept-Encoding": "gzip",
            "Depth": "infinity",
            "Host": "elsewhere",
            "Authorization": "Basic eDp5",
            "X-Kept": " yes ",
        }
        assert await whole(other.with_headers(theirs), "f") == b"0123456789"
    find, get = (head.lower() for head in seen)
    for head in (find, get):
        assert b"x-kept: yes\r\n" in head
        assert head.count(b"host:") == 1
        for theirs_alone in (b"elsewhere", b"authorization", b"chunked", b"expect", b"bytes=5-", b"gzip"):
            assert theirs_alone not in head
        assert b"content-length: 99\r" not in head
    assert b"depth: 0\r\n" in find
    assert b"infinity" not in find


# servers that answer oddly: scripted, no real server answers like this on demand


@asynccontextmanager
async def scripted(*answers: bytes, seen: list[bytes] | None = None) -> AsyncIterator[Connector]:
    """A connector whose server gives these answers, one a request; `seen` takes the requests' heads."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                head = await reader.readuntil(b"\r\n\r\n")
                if seen is not None:
                    seen.append(head)
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
