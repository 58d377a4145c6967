"""Basic, Digest and TLS: who asks, and who answers."""

import asyncio
import secrets
from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.conformance.kit import pieces, put, whole
from connectors.interface import (
    BadCredential,
    UntrustedHost,
)
from connectors.webdav import WebdavConnector
from connectors.webdav.auth import Authentication, Digest, parse_challenges
from connectors.webdav.settings import WebdavSettings
from tests.connectors.webdav.stores import store
from tests.servers.apache import PASSWORD, USER, Apache, apache


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
