"""A store that lies: what it sends is one answer to one request, or none, and takes no memory."""

import gzip
import socket
import time
from collections.abc import Callable

import pytest

from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.speaking import Double, Lie, asked, connection, head, received, status, until
from tests.gateway.proxy.test_large import resident
from tests.servers.apache import PASSWORD, USER

pytestmark = [pytest.mark.server, pytest.mark.journey]

MIB = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\n"


def get(proxied: Proxied, account: Account, store: Double, lie: Lie) -> bytes:
    """What a client gets of a lie."""
    store.lies["/lie"] = lie
    return asked(proxied, head(account, "GET", f"{store.url}lie", "Connection: close"))


def endless(begin: bytes, more: bytes, sent: list[int] | None = None) -> Callable[[socket.socket], None]:
    """Begins, and goes on and on: 64 MiB at most, as long as it is read."""

    def lie(sock: socket.socket) -> None:
        sock.sendall(begin)
        piece = more * (65536 // len(more) + 1)
        for _ in range(64 * MIB // len(piece)):
            sock.sendall(piece)
            if sent is not None:
                sent.append(len(piece))

    return lie


MALFORMED = {
    "a bare CR in the reason": b"HTTP/1.1 200 OK\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
    "a bare CR in a value": OK + b"X-A: b\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
    "a NUL in a value": OK + b"X-A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "a space before a colon": OK + b"Content-Length : 0\r\n\r\n",
    "no colon": OK + b"nothing\r\nContent-Length: 0\r\n\r\n",
    "a name with a space": OK + b"X A: b\r\nContent-Length: 0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "a length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a signed length": OK + b"Content-Length: +2\r\n\r\nab",
    "chunked twice": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunks without end of name": OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a line before": b"\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    "an upgrade that nobody asked for": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\nhello",
    "another upgrade": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nhello",
    "a head of 100 KiB": OK + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n",
    "100,000 headers": OK + b"".join(b"X-%d: a\r\n" % n for n in range(100_000)) + b"\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_an_answer_that_parsers_read_in_several_ways_is_a_502(
    guarded: Proxied, lied_to: Account, lying: Double, kind: str
) -> None:
    answer = get(guarded, lied_to, lying, MALFORMED[kind])
    assert status(answer) == 502, answer[:300]
    head, _, why = answer.partition(b"\r\n\r\n")
    assert b"text/plain" in head
    assert why.startswith(b"isthmus proxy: ")
    assert b"mitmproxy" not in answer
    assert b"Set-Cookie" not in answer
    assert b"hello" not in answer


def test_what_is_wrong_with_an_answer_is_said_without_what_it_echoes(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    from base64 import b64encode

    secret = b64encode(f"{USER}:{PASSWORD}".encode())
    for lie in (b"%s HTTP/1.1 200 OK\r\n\r\n" % secret, OK + b"%s : x\r\n\r\n" % secret, OK + secret):
        answer = get(guarded, lied_to, lying, lambda sock, lie=lie: sock.sendall(lie))  # type: ignore[misc]
        assert status(answer) == 502
        assert secret not in answer
    answer = get(guarded, lied_to, lying, OK + b"%s[]: x\r\nContent-Length: 0\r\n\r\n" % secret)
    assert status(answer) == 502
    assert secret not in answer


def test_a_folded_line_is_joined_and_begins_no_header(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    answer = get(guarded, lied_to, lying, OK + b"X-A: b\r\n Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
    assert status(answer) == 200
    assert b"X-A: b Set-Cookie: a=b\r\n" in answer


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (OK + b"X-A: ", b"a"),
        (OK, b"X-A: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    ],
    ids=["a header", "headers", "100s", "103s"],
)
def test_a_head_without_end_is_a_502_and_is_not_read_on(
    guarded: Proxied, lied_to: Account, lying: Double, begin: bytes, more: bytes
) -> None:
    sent: list[int] = []
    assert status(get(guarded, lied_to, lying, endless(begin, more, sent))) == 502
    assert sum(sent) < 16 * MIB


@pytest.mark.parametrize(
    ("begin", "more"),
    [(b"", b"1"), (b"5;", b"a"), (b"5\r\nhello\r\n0\r\n", b"X-A: b\r\n")],
    ids=["a chunk's size", "a chunk's extension", "trailers"],
)
def test_what_stands_between_chunks_without_end_ends_the_connection(
    guarded: Proxied, lied_to: Account, lying: Double, begin: bytes, more: bytes
) -> None:
    sent: list[int] = []
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = get(guarded, lied_to, lying, endless(chunked + begin, more, sent))
    assert status(answer) == 200
    assert not answer.endswith(b"0\r\n\r\n"), "the client must notice"
    assert sum(sent) < 16 * MIB


def test_early_hints_are_dropped_and_the_answer_comes(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    answer = get(guarded, lied_to, lying, hints + OK + b"Content-Length: 2\r\n\r\nab")
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\nab")


def test_trailers_are_dropped_and_the_answer_comes(guarded: Proxied, lied_to: Account, lying: Double) -> None:
    chunked = OK + b"Transfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n"
    answer = get(
        guarded, lied_to, lying, chunked + b"2;x=y\r\nab\r\n0\r\nX-A: b\r\nContent-Length: 9\r\n\r\n"
    )
    assert status(answer) == 200
    assert answer.endswith(b"2\r\nab\r\n0\r\n\r\n")
    assert b"X-A" not in answer


def test_a_body_that_is_too_short_is_noticed(guarded: Proxied, lied_to: Account, lying: Double) -> None:
    def lie(sock: socket.socket) -> None:
        sock.sendall(OK + b"Content-Length: 10\r\n\r\nabc")

    lying.lies["/lie"] = lie
    done = guarded.run("curl", "-sS", "-x", guarded.url(lied_to), f"{lying.url}lie")
    assert done.returncode in (18, 56), done
    chunks = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"
    lying.lies["/lie"] = lambda sock: sock.sendall(chunks)
    assert guarded.run("curl", "-sS", "-x", guarded.url(lied_to), f"{lying.url}lie").returncode in (18, 56)


@pytest.mark.parametrize(
    "lie",
    [
        OK + b"Content-Length: 2\r\n\r\nab" + OK + b"Content-Length: 6\r\n\r\npoison",
        OK + b"Content-Length: 2\r\n\r\nabpoison",
        b"HTTP/1.1 204 No Content\r\n\r\n" + OK + b"Content-Length: 6\r\n\r\npoison",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison",
    ],
    ids=["two answers", "a longer body", "a 204 and another", "a 304 with a body"],
)
def test_what_follows_an_answer_is_not_given_to_the_next_request(
    guarded: Proxied, lied_to: Account, lying: Double, lie: bytes
) -> None:
    lying.lies["/lie"] = lie
    with connection(guarded) as sock:
        sock.sendall(head(lied_to, "GET", f"{lying.url}lie"))
        sock.settimeout(10)
        first = sock.recv(65536)
        assert b"poison" not in first
        if b"Content-Length: 2" in first and not first.endswith(b"ab"):
            until(sock, b"ab")
        sock.sendall(head(lied_to, "GET", f"{lying.url}next", "Connection: close"))
        answer = received(sock)
    assert b"poison" not in answer
    assert answer.endswith(b"\r\n\r\nok")


def test_what_an_idle_connection_sends_is_not_given_to_the_next_request(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    def lie(sock: socket.socket) -> None:
        sock.sendall(OK + b"Content-Length: 2\r\n\r\nab")
        time.sleep(0.3)  # so that it comes when nobody asks
        sock.sendall(OK + b"Content-Length: 6\r\n\r\npoison")
        received(sock)

    lying.lies["/lie"] = lie
    with connection(guarded) as sock:
        sock.sendall(head(lied_to, "GET", f"{lying.url}lie"))
        sock.settimeout(10)
        until(sock, b"ab")
        time.sleep(0.6)
        sock.sendall(head(lied_to, "GET", f"{lying.url}next", "Connection: close"))
        assert received(sock).endswith(b"\r\n\r\nok")


def test_an_answer_before_the_requests_end_is_passed_on(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    early = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    lying.hasty["/early"] = lambda sock: sock.sendall(early)
    with connection(guarded) as sock:
        sock.sendall(head(lied_to, "PUT", f"{lying.url}early", "Content-Length: 1000000") + b"begin")
        sock.settimeout(10)
        assert status(sock.recv(65536)) == 413


def test_a_body_that_unpacks_to_a_gibibyte_passes_as_it_is(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    bomb = gzip.compress(bytes(64 * MIB)) * 16
    said = b"Content-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    before = resident(guarded)
    answer = get(guarded, lied_to, lying, OK + said + bomb)
    assert resident(guarded) - before < 16 * MIB
    assert answer.partition(b"\r\n\r\n")[2] == bomb
    assert len(bomb) < 2 * MIB
    request, _ = next(r for r in reversed(lying.requests) if r[0].target == b"/lie")
    assert (b"accept-encoding", b"identity") in list(request.headers)
