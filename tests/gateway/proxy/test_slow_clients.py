"""Clients that take their time: each has a bound, and others are served meanwhile."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from hyperframe.frame import SettingsFrame

from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.speaking import (
    Double,
    Http2,
    asked,
    basic,
    connection,
    head,
    received,
    status,
    tunnel,
    until,
)
from tests.gateway.proxy.test_large import resident
from tests.servers.apache import Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]

MIB = 1024 * 1024
HEAD_TIMEOUT = 3
MANY = 250  # from each of two addresses
LIMIT = 320  # half of the fixture's connections


@contextmanager
def many(proxied: Proxied, count: int, address: str) -> Iterator[list[socket.socket]]:
    with ExitStack() as all_of_them:
        yield [all_of_them.enter_context(connection(proxied, address=address)) for _ in range(count)]


def is_ended(sock: socket.socket) -> bool:
    """Whether the proxy has closed it, whatever it said before."""
    sock.settimeout(0.01)
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    return True


def wait_until_ended(socks: list[socket.socket], within: float) -> None:
    deadline = time.monotonic() + within
    left = list(socks)
    while left := [sock for sock in left if not is_ended(sock)]:
        assert time.monotonic() < deadline, f"{len(left)} are still open"


def test_500_that_send_a_byte_now_and_then_are_ended_and_others_served(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    with many(guarded, MANY, "127.0.0.3") as slow, many(guarded, MANY, "127.0.0.8") as more:
        slow += more
        for piece in (b"G", b"E", b"T", b" "):
            for sock in slow:
                with suppress(BrokenPipeError, ConnectionResetError):  # ended already, if the machine is slow
                    sock.sendall(piece)
            assert status(asked(guarded, head(lied_to, "GET", f"{lying.url}x", "Connection: close"))) == 200
        wait_until_ended(slow, HEAD_TIMEOUT + 20)


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01", b"CONNECT localhost:"])
def test_a_connection_that_says_nothing_whole_is_ended(guarded: Proxied, begun: bytes) -> None:
    with connection(guarded) as sock:
        sock.sendall(begun)
        wait_until_ended([sock], HEAD_TIMEOUT + 10)


def test_a_slow_head_behind_others_is_a_408(guarded: Proxied, lied_to: Account, lying: Double) -> None:
    with connection(guarded) as sock:
        sock.sendall(head(lied_to, "GET", f"{lying.url}x"))
        sock.settimeout(10)
        until(sock, b"ok")
        sock.sendall(b"GET ")
        assert status(received(sock)) == 408


def test_a_handshake_in_a_tunnel_that_does_not_end_is_ended(
    guarded: Proxied, guarded_account: Account, store: Apache
) -> None:
    who = f"Proxy-Authorization: Basic {basic(guarded_account)}"
    with connection(guarded) as sock:
        sock.sendall(f"CONNECT localhost:{store.port} HTTP/1.1\r\n{who}\r\n\r\n".encode())
        assert status(sock.recv(4096)) == 200
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        wait_until_ended([sock], HEAD_TIMEOUT + 10)


def test_an_idle_tunnel_is_left_alone_and_works_later(
    guarded: Proxied, guarded_account: Account, store: Apache
) -> None:
    (store.data / "later.txt").write_text("later")
    with tunnel(guarded, guarded_account, store.port) as tls:
        time.sleep(HEAD_TIMEOUT + 1)  # longer than a head may take: this is the promise
        tls.sendall(
            b"GET /later.txt HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n" % store.port
        )
        assert received(tls).endswith(b"later")


def test_a_slow_body_is_no_slow_head(guarded: Proxied, lied_to: Account, lying: Double) -> None:
    with connection(guarded) as sock:
        sock.sendall(head(lied_to, "PUT", f"{lying.url}slow", "Content-Length: 6", "Connection: close"))
        for piece in (b"s", b"l", b"o", b"w", b"l", b"y"):
            time.sleep((HEAD_TIMEOUT + 1) / 6)
            sock.sendall(piece)
        assert status(received(sock)) == 200
    assert lying.requests[-1][1] == b"slowly"


def test_one_address_does_not_take_all_connections(guarded: Proxied, lied_to: Account, lying: Double) -> None:
    opening = head(lied_to, "CONNECT", f"//{lying.url.split('/')[2]}").replace(b"CONNECT //", b"CONNECT ")
    with ExitStack() as tunnels:
        for _ in range(LIMIT):
            sock = tunnels.enter_context(connection(guarded, address="127.0.0.4"))
            sock.sendall(opening)
            assert status(until(sock, b"\r\n\r\n")) == 200
        with connection(guarded, address="127.0.0.4") as one_more:
            answer = received(one_more)
        assert status(answer) == 503
        assert b"too many connections" in answer
        assert status(asked(guarded, head(lied_to, "GET", f"{lying.url}x", "Connection: close"))) == 200
    deadline = time.monotonic() + 10
    while True:
        with connection(guarded, address="127.0.0.4") as sock:
            sock.sendall(head(lied_to, "GET", f"{lying.url}x", "Connection: close"))
            if (answer := received(sock)) and status(answer) == 200:
                return
        assert time.monotonic() < deadline, "places are not free again"


def test_what_is_sent_ahead_is_not_kept(guarded: Proxied, lied_to: Account, lying: Double) -> None:
    """64 MiB of requests behind one whose answer does not come."""

    def never(sock: socket.socket) -> None:
        received(sock, within=60)

    lying.lies["/never"] = never
    before = resident(guarded)
    with connection(guarded) as sock:
        sock.sendall(head(lied_to, "GET", f"{lying.url}never"))
        sock.settimeout(10)
        ahead = head(lied_to, "GET", f"{lying.url}x") * (MIB // 4)
        with pytest.raises((ConnectionResetError, BrokenPipeError, TimeoutError)):
            sock.sendall(ahead)
    assert resident(guarded) - before < 16 * MIB


@pytest.mark.parametrize("kind", ["http1", "http2"])
def test_a_client_whose_window_is_closed_stops_the_store(
    guarded: Proxied,
    guarded_account: Account,
    http2_account: Account,
    store: Apache,
    http2_store: Apache,
    kind: str,
) -> None:
    """Of 96 MiB from a store with HTTP/1.1, or HTTP/2, the proxy keeps next to nothing, and others go on."""
    account, server = (guarded_account, store) if kind == "http1" else (http2_account, http2_store)
    with (server.data / "large").open("wb") as file:
        file.truncate(96 * MIB)
    (server.data / "small").write_text("small")
    before = resident(guarded)
    with tunnel(guarded, account, server.port, "h2") as tls:
        client = Http2(tls, f"localhost:{server.port}", {SettingsFrame.INITIAL_WINDOW_SIZE: 0})
        client.send(client.headers(1, client.request("GET", "/large")))
        while 1 not in client.statuses:
            client.read()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:  # as long as a store would take to send all of it
            assert resident(guarded) - before < 24 * MIB
            time.sleep(0.2)
        client.send(SettingsFrame(settings={SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1}))
        assert client.ask(3, client.request("GET", "/small")) == 200
        assert client.answer(1) == 200
        assert len(client.bodies[1]) == 96 * MIB
        assert resident(guarded) - before < 48 * MIB


def test_an_upload_to_a_store_that_takes_nothing_waits(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    done = threading.Event()

    def take_nothing(_: socket.socket) -> None:
        done.wait(60)

    lying.hasty["/takes-nothing"] = take_nothing
    before = resident(guarded)
    with connection(guarded) as sock:
        sock.sendall(head(lied_to, "PUT", f"{lying.url}takes-nothing", f"Content-Length: {256 * MIB}"))
        sock.settimeout(2)
        with pytest.raises(TimeoutError):
            sock.sendall(bytes(256 * MIB))
        assert resident(guarded) - before < 24 * MIB
    done.set()


def test_the_proxy_itself_by_tls(guarded: Proxied, guarded_account: Account, store: Apache) -> None:
    """`https://` as the proxy's scheme: HTTP/1.1 even where HTTP/2 is offered, and its name or address."""
    (store.data / "tls.txt").write_text("tls")
    for host in ("127.0.0.1", "localhost"):
        url = guarded.url(guarded_account).replace("http://", "https://").replace("127.0.0.1", host)
        done = guarded.run(
            *("curl", "-sS", "-x", url, "--proxy-cacert", str(guarded.ca), "--cacert", str(guarded.ca)),
            f"{store.url}tls.txt",
        )
        assert (done.stdout, done.returncode) == ("tls", 0), done.stderr
        context = ssl.create_default_context(cafile=str(guarded.ca))
        context.set_alpn_protocols(["h2", "http/1.1"])
        with connection(guarded) as sock, context.wrap_socket(sock, server_hostname=host) as tls:
            assert tls.selected_alpn_protocol() == "http/1.1"


def test_a_program_that_asks_the_proxy_by_tls_for_a_plain_store(
    guarded: Proxied, lied_to: Account, lying: Double
) -> None:
    url = guarded.url(lied_to).replace("http://", "https://")
    done = guarded.run("curl", "-sS", "-x", url, "--proxy-cacert", str(guarded.ca), f"{lying.url}x")
    assert (done.stdout, done.returncode) == ("ok", 0), done.stderr
