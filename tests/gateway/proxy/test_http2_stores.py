"""A store that speaks HTTP/2: the same requests, the same rules, and one that lies in it."""

import hashlib
from pathlib import Path

import pytest
from hyperframe.frame import DataFrame

from tests.gateway.proxy.conftest import HTTP2_STORE
from tests.gateway.proxy.lying_http2 import Http2Store, say_ok
from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.speaking import http2
from tests.gateway.proxy.test_large import resident
from tests.servers.apache import PASSWORD, USER, Apache, apache

pytestmark = [pytest.mark.server, pytest.mark.journey]

MIB = 1024 * 1024


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_reads_and_writes(
    guarded: Proxied, http2_account: Account, http2_store: Apache, tmp_path: Path, version: str
) -> None:
    content = bytes(range(256)) * 4096 * 8
    (tmp_path / "up").write_bytes(content)
    url = f"{http2_store.url}curl{version}"
    sent = guarded.curl(http2_account, version, "-T", str(tmp_path / "up"), url)
    assert sent[0] in (201, 204)
    assert (http2_store.data / f"curl{version}").read_bytes() == content
    code, _ = guarded.curl(http2_account, version, "-o", str(tmp_path / "down"), url)
    assert code == 200
    assert hashlib.sha256((tmp_path / "down").read_bytes()).digest() == hashlib.sha256(content).digest()
    assert guarded.curl(http2_account, version, f"{http2_store.url}missing")[0] == 404


def test_http2_is_what_the_store_is_spoken_to_in(
    guarded: Proxied, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("version")
    extra = f"{HTTP2_STORE}\nCustomLog {folder}/versions.log %H"
    with apache(folder, tls=True, extra=extra) as server:
        ca = folder / "ca.pem"
        ca.write_text(server.ca or "")
        made = guarded.add("webdav", url=server.url, username=USER, password=PASSWORD, ca=f"@{ca}")
        guarded.curl(made, "--http2", server.url)
        assert (folder / "versions.log").read_text().split()[-1] == "HTTP/2.0"
        guarded.curl(made, "--http1.1", server.url)
        assert (folder / "versions.log").read_text().split()[-1] == "HTTP/1.1"


def test_many_at_a_time_on_one_connection(
    guarded: Proxied, http2_account: Account, http2_store: Apache
) -> None:
    for number in range(50):
        (http2_store.data / f"many-{number}").write_bytes(b"%d" % number * 10_000)
    with http2(guarded, http2_account, http2_store) as client:
        for number in range(50):
            client.send(client.headers(2 * number + 1, client.request("GET", f"/many-{number}")))
        for number in range(50):
            assert client.answer(2 * number + 1) == 200
            assert client.bodies[2 * number + 1] == b"%d" % number * 10_000


def test_a_request_that_is_refused_is_authorised_and_sent_once_more(
    guarded: Proxied, lying_in_http2: Http2Store, lied_to_in_http2: Account
) -> None:
    """A 401 in HTTP/2: the worker answers its challenge on a new stream, and the program sees no refusal."""
    asked: list[bytes | None] = []

    def guard(store: Http2Store, stream: int, fields: dict[bytes, bytes]) -> None:
        asked.append(fields.get(b"authorization"))
        if len(asked) == 1:
            challenge = b'Digest realm="x", nonce="abc", qop="auth", algorithm=MD5'
            store.connection.send_headers(stream, [(b":status", b"401"), (b"www-authenticate", challenge)])
            store.connection.send_data(stream, b"no", end_stream=True)
        else:
            say_ok(store, stream, fields)

    lying_in_http2.answers["/guarded"] = guard
    assert guarded.curl(lied_to_in_http2, "--http2", f"{lying_in_http2.url}guarded") == (200, "ok")
    assert len(asked) == 2
    assert (asked[1] or b"").startswith(b"Digest ")


def test_an_upload_to_a_store_whose_window_is_closed_is_not_kept(
    guarded: Proxied, lying_in_http2: Http2Store, lied_to_in_http2: Account
) -> None:
    def wait(store: Http2Store, stream: int, _: dict[bytes, bytes]) -> None:
        store.takes = False  # no window is opened any more

    lying_in_http2.answers["/never"] = wait
    before = resident(guarded)
    with http2(guarded, lied_to_in_http2, lying_in_http2) as client:
        client.send(client.headers(1, client.request("PUT", "/never"), end=False))
        client.tls.settimeout(2)
        for _ in range(64):  # what our own window allows: a client that heeds none is ended
            client.send(*[DataFrame(1, bytes(16384))] * 16)
        assert resident(guarded) - before < 24 * MIB
    lying_in_http2.takes = True


@pytest.mark.parametrize(
    "headers",
    [
        [(b":status", b"200"), (b"x-a", b"b\r\nset-cookie: a=b")],
        [(b":status", b"200"), (b"x-a", b"b\0c")],
        [(b":status", b"200"), (b"X-A", b"b")],
        [(b":status", b"200"), (b"transfer-encoding", b"chunked")],
        [(b":status", b"200"), (b"connection", b"close")],
        [(b":status", b"200"), (b":status", b"204")],
        [(b"x-a", b"b"), (b":status", b"200")],
        [(b":status", b"200 OK\r\nx: y")],
        [(b":status", b"200"), *[(b"x-%d" % n, b"a") for n in range(5000)]],
        [(b"x-a", b"b")],
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_head_that_http1_reads_otherwise_is_no_answer(
    guarded: Proxied,
    lying_in_http2: Http2Store,
    lied_to_in_http2: Account,
    headers: list[tuple[bytes, bytes]],
) -> None:
    def lie(store: Http2Store, stream: int, _: dict[bytes, bytes]) -> None:
        store.connection.send_headers(stream, headers, end_stream=True)

    lying_in_http2.answers["/lie"] = lie
    assert guarded.curl(lied_to_in_http2, "--http2", f"{lying_in_http2.url}lie")[0] == 502
    del lying_in_http2.answers["/lie"]
    assert guarded.curl(lied_to_in_http2, "--http2", f"{lying_in_http2.url}lie") == (200, "ok")


def test_trailers_of_an_answer_are_dropped(
    guarded: Proxied, lying_in_http2: Http2Store, lied_to_in_http2: Account
) -> None:
    def answer(store: Http2Store, stream: int, _: dict[bytes, bytes]) -> None:
        store.connection.send_headers(stream, [(b":status", b"200"), (b"trailer", b"x-trailer")])
        store.connection.send_data(stream, b"body")
        store.connection.send_headers(stream, [(b"x-trailer", b"a")], end_stream=True)

    lying_in_http2.answers["/trailers"] = answer
    for version in ("--http2", "--http1.1"):
        code, body = guarded.curl(lied_to_in_http2, "-i", version, f"{lying_in_http2.url}trailers")
        assert (code, body.endswith("body") or "--http1" in version) == (200, True)
        assert "x-trailer: a" not in body


def test_informational_answers_without_end_are_a_502(
    guarded: Proxied, lying_in_http2: Http2Store, lied_to_in_http2: Account
) -> None:
    def lie(store: Http2Store, stream: int, _: dict[bytes, bytes]) -> None:
        for _again in range(20_000):
            store.connection.send_headers(stream, [(b":status", b"103"), (b"link", b"</x>")])
            store.flush()

    lying_in_http2.answers["/early"] = lie
    assert guarded.curl(lied_to_in_http2, "--http2", f"{lying_in_http2.url}early")[0] == 502
