"""Requests that are odd rather than malformed, many wrong tokens, and heads made up at random."""

import contextlib
import time
from base64 import b64encode

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.speaking import (
    Double,
    asked,
    basic,
    connection,
    head,
    received,
    status,
    tunnel,
)
from tests.servers.apache import PASSWORD, USER, Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]

SECRET = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def last(store: Double) -> dict[bytes, bytes]:
    return dict(store.requests[-1][0].headers)


@pytest.mark.parametrize(
    "lines",
    [
        ("Connection: authorization, host, close",),
        ("Connection: Authorization", "Connection: close"),
        ("Connection: close, content-length, accept-encoding",),
        ("Proxy-Connection: authorization", "Connection: close"),
        ("Authorization: Basic ZXZpbDpldmls", "authorization: Bearer evil", "Connection: close"),
    ],
    ids=repr,
)
def test_hop_by_hop_names_do_not_take_off_what_is_put_in(
    guarded: Proxied, lied_to: Account, lying: Double, lines: tuple[str, ...]
) -> None:
    sent = head(lied_to, "PUT", f"{lying.url}hop", *lines, "Content-Length: 4") + b"body"
    assert status(asked(guarded, sent)) == 200
    said = last(lying)
    assert said[b"authorization"].decode() == SECRET
    assert said[b"host"] == f"localhost:{lying.port}".encode()
    assert said[b"accept-encoding"] == b"identity"
    assert lying.requests[-1][1] == b"body"
    assert not {b"connection", b"proxy-connection", b"proxy-authorization"} & set(said)


def test_an_upgrade_to_http2_in_the_clear_is_dropped(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    with connection(guarded) as sock:
        sock.sendall(head(lied_to, "GET", f"{lying.url}h2c", *lines))
        sock.settimeout(10)
        assert status(sock.recv(65536)) == 200
    assert not {b"upgrade", b"http2-settings", b"connection"} & set(last(lying))
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    assert status(asked(guarded, preface)) == 400


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "trace"])
def test_a_store_is_not_asked_to_show_what_was_put_in(
    guarded: Proxied, guarded_account: Account, store: Apache, method: str
) -> None:
    direct = guarded.run(
        *("curl", "-sS", "-X", "TRACE", "-u", f"{USER}:{PASSWORD}", "--cacert", _ca(store), store.url)
    )
    assert SECRET in direct.stdout, "the store does show it"
    code, why = guarded.curl(guarded_account, "-X", method, store.url)
    assert code == 403, why
    assert SECRET not in why


def _ca(store: Apache) -> str:
    return str(store.data.parent / "cert.pem")


def test_a_message_that_echoes_a_secret_is_masked(guarded: Proxied, lied_to: Account, lying: Double) -> None:
    echo = b"GET / HTTP/1.1\r\nAuthorization: %s\r\n\r\n" % SECRET.encode()
    said = b"HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: %d\r\n\r\n" % len(echo)
    lying.lies["/echo"] = said + echo
    answer = asked(guarded, head(lied_to, "GET", f"{lying.url}echo", "Connection: close"))
    assert status(answer) == 200
    assert SECRET.removeprefix("Basic ").encode() not in answer


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("OPTIONS * HTTP/1.1", {400, 403}),
        ("GET /no/absolute/target HTTP/1.1", {200, 403, 421}),
        ("GET ftp://localhost:{port}/x HTTP/1.1", {400}),
        ("GET http://user:pass@localhost:{port}/x HTTP/1.1", {400, 403, 421}),
        ("GET http://localhost:{port} HTTP/1.1", {200}),
        ("GET http://localhost:{port}/" + "a" * 20_000 + " HTTP/1.1", {400}),
        ("GET http://localhost:{port}/\\x HTTP/1.1", {400}),
        ("GET http://localhost:{port}/x#y HTTP/1.1", {400}),
        ("GET http://localhost:{port}/ x HTTP/1.1", {400}),
        ("GET http://localhost:{port}/x HTTP/1.0", {200}),
        ("GET http://localhost:{port}/x HTTP/9.9", {200, 400, 505}),
        ("GET http://localhost:{port}/x", {400}),
        ("G\\x00ET http://localhost:{port}/x HTTP/1.1", {400}),
        ("GÄT http://localhost:{port}/x HTTP/1.1", {400}),
        ("get http://localhost:{port}/x HTTP/1.1", {200}),
        ("CONNECT localhost:{port} HTTP/1.1", {200}),
        ("CONNECT http://localhost:{port}/x HTTP/1.1", {400}),
        ("CONNECT localhost HTTP/1.1", {400}),
        ("CONNECT localhost:0 HTTP/1.1", {400, 403}),
        ("CONNECT localhost:99999 HTTP/1.1", {400, 403}),
        ("CONNECT localhost@evil.example:{port} HTTP/1.1", {400, 403}),
    ],
)
def test_odd_request_lines(
    guarded: Proxied, lied_to: Account, lying: Double, line: str, expected: set[int]
) -> None:
    before = len(lying.requests)
    lying.misread.clear()
    said = line.format(port=lying.port).encode("latin-1")
    rest = f"Host: localhost:{lying.port}\r\nProxy-Authorization: Basic {basic(lied_to)}\r\n"
    answer = asked(guarded, said + b"\r\n" + rest.encode() + b"Connection: close\r\n\r\n", within=4)
    assert status(answer) in expected, answer[:200]
    assert len(lying.requests) - before <= 1
    if status(answer) != 200:
        assert len(lying.requests) == before
        assert b"\r\n\r\nisthmus proxy: " in answer, "in a line of text, whoever wrote the page else"
    assert not lying.misread


def test_connect_within_connect_is_refused(
    guarded: Proxied, guarded_account: Account, store: Apache, lying: Double, lied_to: Account
) -> None:
    before = len(lying.requests)
    for inner in (f"localhost:{store.port}", f"localhost:{lying.port}"):
        with tunnel(guarded, guarded_account, store.port) as tls:
            who = f"Proxy-Authorization: Basic {basic(lied_to)}"
            tls.sendall(f"CONNECT {inner} HTTP/1.1\r\nHost: {inner}\r\n{who}\r\n\r\n".encode())
            assert status(received(tls)) >= 400
    assert len(lying.requests) == before


def test_expect_of_a_refused_upload_is_answered_by_the_refusal(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    lines = ("Expect: 100-continue", "Content-Length: 1000000")
    wrong = head(Account(lied_to.id, "wrong"), "PUT", f"{lying.url}x", *lines)
    with connection(guarded, address="127.0.0.6") as sock:
        sock.sendall(wrong)
        sock.settimeout(3)
        answer = b""
        with contextlib.suppress(TimeoutError):
            answer = sock.recv(65536)
        assert not answer.startswith(b"HTTP/1.1 100")
    with connection(guarded) as sock:
        sock.sendall(head(lied_to, "PUT", f"{lying.url}x", "Expect: 100-continue", "Content-Length: 4"))
        sock.settimeout(10)
        assert status(sock.recv(25)) == 100
        sock.sendall(b"body")
        assert status(sock.recv(65536)) == 200


def test_a_token_that_limits_methods_lets_no_other_one_through_in_a_header(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    before = len(lying.requests)
    names = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
    for limit in (("--read-only",), ("--method", "GET")):
        words = ("proxy", "token", "create", "--account", str(lied_to.id), *limit)
        token = guarded.isthmus(*words)["token"]
        for name in names:
            code, why = guarded.curl(lied_to, "-H", f"{name}: DELETE", f"{lying.url}x", token=token)
            assert (code, name.lower() in why) == (403, True)
    assert len(lying.requests) == before
    assert guarded.curl(lied_to, "-H", f"{names[0]}: DELETE", f"{lying.url}x")[0] == 200


def test_25_wrong_tokens_are_throttled_whatever_address_is_claimed(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    """From an address of its own, so that other tests' are not throttled."""
    statuses = []
    for number in range(25):
        lie = f"X-Forwarded-For: 192.0.2.{number}"
        more = (lie, f"Forwarded: for=192.0.2.{number}", f"X-Real-IP: 192.0.2.{number}", "Connection: close")
        wrong = Account(lied_to.id, f"wrong {number}")
        with connection(guarded, address="127.0.0.5") as sock:
            sock.sendall(head(wrong, "GET", f"{lying.url}x", *more))
            answer = received(sock)
        statuses.append(status(answer))
    assert statuses == [407] * 20 + [429] * 5
    assert b"retry-after: " in answer.lower()
    with connection(guarded, address="127.0.0.5") as sock:
        sock.sendall(head(lied_to, "GET", f"{lying.url}x", "Connection: close"))
        assert status(received(sock)) == 200
    with connection(guarded, address="127.0.0.7") as sock:
        sock.sendall(head(Account(lied_to.id, "wrong"), "GET", f"{lying.url}x", "Connection: close"))
        assert status(received(sock)) == 407


PARTS = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"\x0b", b"\xa0", b"\x85"),
        *(b"GET", b"POST", b"HTTP/1.1", b"HTTP/1.0", b"http://localhost:PORT/a", b"/smuggled", b"\r\n\r\n"),
        *(b"Host: localhost:PORT", b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"identity"),
        *(b"5", b"0", b"hello", b"X-A: b", b"Connection: ", b"close", b"Expect: 100-continue"),
        *(b"0\r\n\r\n", b"5\r\nhello\r\n", b"GET http://localhost:PORT/smuggled HTTP/1.1\r\n"),
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([b"GET", b"POST"]), st.lists(PARTS | st.binary(max_size=4), max_size=8))
def test_any_head_is_refused_or_is_the_one_request_that_h11_reads(
    guarded: Proxied, lied_to: Account, lying: Double, method: bytes, parts: list[bytes]
) -> None:
    """A head of pieces that parsers differ in: the store gets what the strictest reads, or nothing."""
    made_up = b"".join(parts).replace(b"PORT", b"%d" % lying.port)
    begin = b"%s http://localhost:%d/meant HTTP/1.1\r\n" % (method, lying.port)
    begin += b"Host: localhost:%d\r\nProxy-Authorization: Basic %s\r\n" % (
        lying.port,
        basic(lied_to).encode(),
    )
    sent = begin + made_up + b"\r\n\r\n"
    lying.requests.clear()
    lying.misread.clear()
    with connection(guarded) as sock:
        sock.sendall(sent)
        sock.settimeout(5)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            sock.recv(65536)
        sock.shutdown(1)
        received(sock, within=5)
    assert not lying.misread, (sent, lying.misread)
    read = _read_by_h11(sent)
    for request, body in lying.requests:
        assert (request.method, request.target, body) in read, (sent, request, body)
    assert len(lying.requests) <= len(read)


def _read_by_h11(sent: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Method, path and body of each request in these bytes."""
    found: list[tuple[bytes, bytes, bytes]] = []
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(sent)
    request, body = None, b""
    with contextlib.suppress(h11.RemoteProtocolError):
        while True:
            event = reader.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                path = b"/" + request.target.partition(b"://")[2].partition(b"/")[2]
                found.append((request.method, path, body))
                rest = reader.trailing_data[0]
                reader = h11.Connection(h11.SERVER)
                reader.receive_data(rest)
            else:
                break
    return found


def test_the_double_takes_no_liberties(lying: Double) -> None:
    """What the tests above rely on: two requests where one is meant are seen."""
    import socket

    lying.misread.clear()
    with socket.create_connection(("127.0.0.1", lying.port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        received(sock, within=0.5)
    deadline = time.monotonic() + 5
    while not lying.misread:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lying.misread.clear()
