"""What comes back of a raw request, and what it holds while it runs."""

import hashlib
import secrets
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator

import pytest
import requests

from gateway.worker.desk import Desk
from tests.gateway.api.raw.accounts import Mine
from tests.gateway.api.served import wait_until
from tests.gateway.api.whole import Whole
from tests.servers.apache import PASSWORD, USER, Apache

pytestmark = pytest.mark.server


def test_a_redirect_is_passed_on(dav: Mine) -> None:
    found = dav.http.post(
        f"{dav.whole.url}/v1/accounts/{dav.connected.account_id}/raw",
        headers={
            **dav.connected.bearer,
            "X-Kloudless-Raw-Method": "GET",
            "X-Kloudless-Raw-URI": "gone",
        },
        allow_redirects=False,
        timeout=30,
    )
    assert found.status_code == 302
    assert found.headers["Location"] == "http://elsewhere.example/"


def test_what_an_answer_echoes_is_masked(dav: Mine) -> None:
    basic = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    for uri in ("note.txt", "nothing"):
        found = dav.send("GET", uri, accept_encoding="gzip", cookie="a=of-the-caller")
        shown = str(found.headers) + found.text
        assert basic not in shown
        assert "*" * len(basic) in found.headers["X-Echo"]
        assert "Set-Cookie" not in found.headers
        assert "Strict-Transport-Security" not in found.headers
        assert found.headers["Access-Control-Allow-Origin"] == "*"
    assert "There is nothing here, ****" in found.text


def test_a_wrong_password_is_a_403_and_no_401(
    whole: Whole, server: Apache, digest_server: Apache, http: requests.Session
) -> None:
    """A 401 would read as ours: the caller's own token is fine."""
    for one in (server, digest_server):
        settings = {"url": one.url, "username": USER, "password": "not this one"}
        refused = Mine(whole, whole.connect_to("webdav", settings), http).send("GET", "x")
        assert (refused.status_code, refused.json()["error_code"]) == (403, "permission_denied")


def test_the_folder_itself_is_the_accounts(dav: Mine) -> None:
    for uri in ("?", "/mine/", "/mine"):
        found = dav.send("PROPFIND", uri, depth="0")
        assert found.status_code in (207, 301)


def test_a_caller_that_leaves_releases_the_store(dav: Mine, server: Apache) -> None:
    with (server.data / "mine/sparse.bin").open("wb") as sparse:
        sparse.truncate(1024**3)
    answer = dav.http.post(
        f"{dav.whole.url}/v1/accounts/{dav.connected.account_id}/raw",
        headers={
            **dav.connected.bearer,
            "X-Kloudless-Raw-Method": "GET",
            "X-Kloudless-Raw-URI": "sparse.bin",
        },
        stream=True,
        timeout=30,
    )
    assert next(answer.iter_content(1000))

    async def busy(desk: Desk) -> int:
        opened = desk.accounts._open[dav.connected.account_id]
        return sum(len(client._busy) for client in opened.senders._clients.values())

    assert dav.whole.inside(busy) == 1
    answer.close()
    wait_until(lambda: dav.whole.inside(busy) == 0)
    (server.data / "mine/sparse.bin").unlink()


def test_a_store_without_an_api_of_its_own_is_named(whole: Whole, http: requests.Session) -> None:
    refused = Mine(whole, whole.connect(), http).send("GET", "x")
    assert refused.status_code == 501
    assert "local connector" in refused.json()["message"]


def test_large_content_streams_both_ways_at_constant_memory(dav: Mine, server: Apache) -> None:
    size, piece = 256 * 1024 * 1024, secrets.token_bytes(1024 * 1024)
    digest = hashlib.sha256(piece * 256).hexdigest()

    def pieces() -> Iterator[bytes]:
        for _ in range(256):
            yield piece

    tracemalloc.start()
    try:
        assert dav.send("PUT", "large.bin", pieces()).status_code == 201
        assert (server.data / "mine/large.bin").stat().st_size == size
        got = hashlib.sha256()
        with dav.http.post(
            f"{dav.whole.url}/v1/accounts/{dav.connected.account_id}/raw",
            headers={
                **dav.connected.bearer,
                "X-Kloudless-Raw-Method": "GET",
                "X-Kloudless-Raw-URI": "large.bin",
            },
            stream=True,
            timeout=30,
        ) as answer:
            for part in answer.iter_content(256 * 1024):
                got.update(part)
        assert got.hexdigest() == digest
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        (server.data / "mine/large.bin").unlink(missing_ok=True)
    assert peak < 16 * 1024 * 1024
