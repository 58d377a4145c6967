"""The HTTP connector's own claims, on an Apache that demands each kind of authorisation."""

import asyncio
import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import pieces, whole
from connectors.http import HttpConnector
from connectors.http.settings import HttpSettings
from connectors.http1.authorisation import basic, header, parameter, spellings
from connectors.interface import (
    BadCredential,
    BadSpan,
    Kind,
    NotAFolder,
    NotFound,
    NotPermitted,
    Origin,
    PreconditionFailed,
    Request,
    Span,
    Unsupported,
    UntrustedHost,
    implemented,
    settings_schema,
)
from tests.connectors.leaving import MOMENTS, Verb, leave
from tests.servers.guarded import KINDS, TOKEN, Guarded, guarded

API = "https://api.example/v1/"


def store(settings: dict[str, Any]) -> Store:
    return Store(HttpConnector, settings, Direct(), idle_timeout=5.0)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Guarded]]:
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield {
            kind: stack.enter_context(guarded(tmp_path_factory.mktemp(kind), kind, tls=kind == "header"))
            for kind in KINDS
        }


@pytest.fixture
def server(servers: dict[str, Guarded]) -> Guarded:
    return servers["bearer"]


# settings


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"auth": "basic"}, "needs username"),
        ({"auth": "bearer"}, "needs token"),
        ({"auth": "header", "token": "t"}, "needs header_name"),
        ({"auth": "query", "token": "t"}, "needs parameter"),
        ({"auth": "oauth"}, "needs token_url, client_id"),
        ({"auth": "none", "token": "t"}, "auth none does not take token"),
        ({"auth": "bearer", "token": "t", "password": "p"}, "auth bearer does not take password"),
        ({"auth": "oauth", "token_url": API, "client_id": "c"}, "needs client_secret, or the refresh_token"),
        ({"auth": "header", "token": "t", "header_name": "Host"}, "says who asks, not how"),
        ({"auth": "header", "token": "t", "header_name": "X Key"}, "must be a header's name"),
        ({"auth": "bearer", "token": "two\r\nHost: lines"}, "without an end of line"),
        ({"auth": "basic", "username": "a:b"}, "no colon"),
        ({"auth": "oauth", "token_url": "ftp://x", "client_id": "c", "client_secret": "s"}, "must be like"),
        ({"auth": "none", "url": "https://api.example/?key=1"}, "no user, query or fragment"),
        ({"auth": "kerberos"}, "'none', 'basic', 'bearer', 'header', 'query' or 'oauth'"),
    ],
)
def test_what_does_not_fit_together_is_said(given: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError) as error:
        HttpSettings.model_validate({"url": API, **given})
    assert told in str(error.value)


def test_what_a_form_left_empty_was_not_given() -> None:
    empty = dict.fromkeys(("password", "header_name", "parameter", "token_url", "client_secret", "ca"), "")
    settings = HttpSettings.model_validate({"url": API, "auth": "bearer", "token": TOKEN, **empty})
    assert settings == HttpSettings.model_validate(settings.revealed())
    assert settings.display_name() == "api.example"


def test_each_setting_is_described_and_secrets_are_write_only() -> None:
    fields = settings_schema(HttpConnector)["properties"]
    assert all(field["description"] for field in fields.values())
    assert {name for name, field in fields.items() if field.get("writeOnly")} == {
        *("password", "token", "client_secret", "refresh_token", "client_key")
    }


# the declaration


def asked(target: str, *fields: tuple[str, str]) -> Request:
    return Request("GET", Origin.of("https://api.example/"), target, fields)


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/a", "/a?api_key=k%26y"),
        ("/a?", "/a?api_key=k%26y"),
        ("/a?x=1&y=%2B+2&flag", "/a?x=1&y=%2B+2&flag&api_key=k%26y"),
        ("/a?api_key=mine&x=1", "/a?x=1&api_key=k%26y"),
        ("/a?x=1&API_Key=mine&y", "/a?x=1&y&api_key=k%26y"),
        ("/a?x=1;api%5Fkey=mine", "/a?x=1&api_key=k%26y"),
        ("/a?+api_key=mine&api_key", "/a?api_key=k%26y"),
        ("/a?api_keys=1", "/a?api_keys=1&api_key=k%26y"),
    ],
)
def test_a_parameter_takes_the_place_of_the_callers(target: str, sent: str) -> None:
    assert parameter("api_key", "k&y").put(asked(target)).target == sent


def test_a_header_takes_the_place_of_the_callers_in_every_spelling() -> None:
    request = asked("/a", ("x-api-key", "mine"), ("x_api_key", "mine"), ("authorization", "mine"), ("x", "1"))
    made = header("X-Api-Key", "secret", "Key").put(request)
    assert made.fields == [("host", "api.example"), ("x", "1"), ("x-api-key", "Key secret")]


def test_a_prefix_that_is_no_word_is_followed_by_no_space() -> None:
    assert header("Cookie", "secret", "session=").fields == (("cookie", "session=secret"),)


def test_a_secret_is_known_in_every_spelling() -> None:
    found = spellings('a/b+"ü"&')
    assert {
        'a/b+"ü"&',
        "a%2Fb%2B%22%C3%BC%22%26",
        "a%2fb%2b%22%c3%bc%22%26",
        "a/b%2B%22%C3%BC%22%26",
        'a\\/b+\\"\\u00fc\\"&',
        'a/b+\\"ü\\"&',
        "a/b+&quot;ü&quot;&amp;",
        "YS9iKyLDvCIm",
    } <= set(found)


def test_a_user_name_without_a_password_is_the_secret() -> None:
    assert "the key" in basic("the key", "").secrets
    assert "somebody" not in basic("somebody", "password").secrets


# verbs


@pytest.mark.server
@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_is_read_by_every_kind(servers: dict[str, Guarded], kind: str) -> None:
    running = servers[kind]
    running.put("files/a ü.txt", b"0123456789")
    async with store(running.settings).opened() as connector:
        entry = await connector.stat("files/a ü.txt")
        assert (entry.name, entry.parent, entry.kind, entry.size) == ("a ü.txt", "files", Kind.FILE, 10)
        assert entry.mime_type == "text/plain"
        assert entry.modified is not None
        assert abs(entry.modified - datetime.now(UTC)) < timedelta(minutes=1)
        assert await whole(connector, "files/a ü.txt") == b"0123456789"
        assert await whole(connector, "files/a ü.txt", Span(2, 4)) == b"234"
        assert await whole(connector, "files/a ü.txt", Span(7)) == b"789"
        assert (await connector.stat("")).kind is Kind.FOLDER


@pytest.mark.server
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
async def test_another_secret_is_told_at_once(servers: dict[str, Guarded], kind: str) -> None:
    running = servers[kind]
    running.put("a.txt", b"x")
    wrong = {name: "wrong" for name in running.settings if name in ("password", "token")}
    async with store(running.settings | wrong).opened() as connector:
        for verb in (connector.stat(""), connector.stat("a.txt"), connector.read("a.txt")):
            with pytest.raises(BadCredential) as told:
                await verb
            assert "wrong" not in told.value.message


@pytest.mark.server
async def test_an_account_without_a_credential_is_told_that_one_is_needed(server: Guarded) -> None:
    async with store({"url": server.url, "auth": "none"}).opened() as connector:
        with pytest.raises(BadCredential, match="has no credential"):
            await connector.stat("")


@pytest.mark.server
async def test_a_version_is_what_its_etag_says(server: Guarded) -> None:
    server.put("v.txt", b"first")
    async with store(server.settings).opened() as connector:
        async with asyncio.timeout(10):
            while (entry := await connector.stat("v.txt")).etag is None:  # weak while it is a second old
                await asyncio.sleep(0.1)
        assert await whole(connector, "v.txt", etag=entry.etag) == b"first"
        server.put("v.txt", b"the second")
        with pytest.raises(PreconditionFailed):
            await connector.read("v.txt", etag=entry.etag)


@pytest.mark.server
async def test_what_is_not_there(server: Guarded) -> None:
    server.put("e.txt", b"12345")
    async with store(server.settings).opened() as connector:
        for missing in ("nothing", "../e.txt", "a//b"):
            with pytest.raises(NotFound):
                await connector.stat(missing)
            with pytest.raises(NotFound):
                await connector.read(missing)
        with pytest.raises(BadSpan):
            await connector.read("e.txt", Span(5))
        with pytest.raises(NotAFolder):
            await connector.read("")


@pytest.mark.server
async def test_a_span_of_an_answer_without_ranges_is_cut_out(server: Guarded) -> None:
    async with store(server.settings).opened() as connector:  # the script's answers are chunked
        text = await whole(connector, "echo/x")
        assert text.startswith(b"CONTENT_LENGTH=") or b"GATEWAY_INTERFACE=CGI" in text
        content = await connector.read("echo/x", Span(3, 11))
        assert b"".join([piece async for piece in content.chunks]) == text[3:12]


@pytest.mark.server
@pytest.mark.parametrize("kind", ["bearer", "header"], ids=["plain", "TLS"])
async def test_whoever_leaves_at_any_moment_leaves_no_connection_behind(
    servers: dict[str, Guarded], kind: str
) -> None:
    servers[kind].put("large.bin", b"x" * 3_000_000)
    handles = len(os.listdir("/proc/self/fd"))
    verbs: list[Verb] = [lambda api: api.read("large.bin"), lambda api: api.stat("large.bin")]
    for verb, when in itertools.product(verbs, MOMENTS):
        async with store(servers[kind].settings).opened() as connector:
            client = cast("Any", connector)._server._client
            assert await leave(connector, verb, when, 1)
            assert not client._busy
            assert client._places._value == 64
            assert len(await whole(connector, "large.bin")) == 3_000_000
    async with asyncio.timeout(10):
        while len(os.listdir("/proc/self/fd")) > handles:
            await asyncio.sleep(0.01)


@pytest.mark.server
async def test_a_reader_that_leaves_leaves_no_connection_behind(server: Guarded) -> None:
    server.put("large.bin", b"x" * 3_000_000)
    async with store(server.settings).opened() as connector:
        for _ in range(70):  # more than there may be
            content = await connector.read("large.bin")
            await content.chunks.aclose()


@pytest.mark.server
async def test_what_http_has_no_words_for_is_said(server: Guarded) -> None:
    async with store(server.settings).opened() as connector:
        for verb in (
            connector.list("", None, 10),
            connector.write("", "new", pieces(b"x"), size=1, replace=False),
            connector.delete("a"),
        ):
            with pytest.raises(Unsupported, match="raw requests or the native proxy"):
                await verb
    assert implemented(HttpConnector) == HttpConnector.capabilities


@pytest.mark.server
async def test_a_certificate_that_is_not_trusted(servers: dict[str, Guarded]) -> None:
    settings = {**servers["header"].settings, "ca": ""}
    async with store(settings).opened() as connector:
        with pytest.raises(UntrustedHost):
            await connector.stat("")


# requests of others


async def test_nothing_leads_out_of_the_accounts_path() -> None:
    async with store({"url": API, "auth": "bearer", "token": TOKEN}).opened() as connector:
        assert isinstance(connector, HttpConnector)
        origin = connector.origins()[0]
        assert (origin.host, origin.port, origin.path) == ("api.example", 443, "/v1/")
        good = Request("POST", origin, "/v1/things?x=1", [("x-original-url", "/admin"), ("a", "b")])
        made = await connector.authorise(good)
        assert made.fields == [
            ("host", "api.example"),
            ("a", "b"),
            ("authorization", f"Bearer {TOKEN}"),
        ]
        for out in (
            Request("GET", origin, "/v2/things"),
            Request("GET", origin, "/v1/../v2"),
            Request("REPORT", origin, "/v1/things"),
            Request("MOVE", origin, "/v1/things", [("destination", "https://api.example/v2/things")]),
        ):
            with pytest.raises(NotPermitted):
                await connector.authorise(out)


async def test_a_secret_that_was_refused_is_not_tried_again() -> None:
    async with store({"url": API, "auth": "bearer", "token": TOKEN}).opened() as connector:
        assert isinstance(connector, HttpConnector)
        with pytest.raises(BadCredential):
            await connector.authorise(Request("GET", connector.origins()[0], "/v1/"), refused="Bearer")


def test_the_page_names_every_setting() -> None:
    page = (Path(__file__).parents[2] / "docs" / "connectors" / "http.md").read_text()
    assert not [name for name in HttpSettings.model_fields if f"`{name}`" not in page]
