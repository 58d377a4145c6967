"""A transfer takes no memory for its size, in proxy and worker, both ways, also with a slow reader."""

import socket
import time
from pathlib import Path

import pytest

from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.test_attacks import basic
from tests.servers.apache import Apache

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.slow]

MIB = 1024 * 1024
SIZE = 256 * MIB


def resident(proxied: Proxied) -> int:
    """Bytes of memory of the gateway's proxy and worker."""
    total = 0
    for process in proxied.processes("worker", "proxy"):
        status = (process / "status").read_text()
        total += int(status.split("VmRSS:")[1].split()[0]) * 1024
    assert total, "the gateway's processes were not found"
    return total


def test_a_large_file_both_ways(proxied: Proxied, account: Account, store: Apache, tmp_path: Path) -> None:
    with (store.data / "large").open("wb") as file:
        file.truncate(SIZE)
    proxied.curl(account, "-o", "/dev/null", "-r", "0-1000000", f"{store.url}large")  # all is loaded and open
    before = resident(proxied)
    assert proxied.curl(account, "-o", str(tmp_path / "got"), f"{store.url}large")[0] == 200
    assert (tmp_path / "got").stat().st_size == SIZE
    assert proxied.curl(account, "-T", str(tmp_path / "got"), f"{store.url}sent")[0] in (201, 204)
    assert (store.data / "sent").stat().st_size == SIZE
    assert resident(proxied) - before < 48 * MIB


def test_a_reader_that_stops_stops_the_store(proxied: Proxied, other: Account, plain_store: Apache) -> None:
    with (plain_store.data / "large").open("wb") as file:
        file.truncate(SIZE)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect(("127.0.0.1", proxied.proxy_port))
        before = resident(proxied)
        head = f"GET {plain_store.url}large HTTP/1.1\r\nHost: localhost:{plain_store.port}\r\n"
        sock.sendall(f"{head}Proxy-Authorization: Basic {basic(other)}\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:  # as long as a store would take to send all of it
            assert resident(proxied) - before < 32 * MIB
            time.sleep(0.2)


def test_a_client_that_asks_before_it_sends_is_told_to(
    proxied: Proxied, other: Account, plain_store: Apache
) -> None:
    with socket.create_connection(("127.0.0.1", proxied.proxy_port), 30) as sock:
        head = f"PUT {plain_store.url}asked HTTP/1.1\r\nHost: localhost:{plain_store.port}\r\n"
        who = f"Proxy-Authorization: Basic {basic(other)}\r\n"
        sock.sendall(f"{head}{who}Content-Length: 4\r\nExpect: 100-continue\r\n\r\n".encode())
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"sent")
        assert sock.recv(1000).startswith(b"HTTP/1.1 201 ")
    assert (plain_store.data / "asked").read_bytes() == b"sent"


def test_a_client_that_goes_away_ends_the_stores_side(
    proxied: Proxied, other: Account, plain_store: Apache
) -> None:
    def connections() -> int:
        listed = proxied.run("ss", "-H", "-t", "-n", "state", "established", f"sport = :{plain_store.port}")
        return len(listed.stdout.splitlines())

    with (plain_store.data / "large").open("wb") as file:
        file.truncate(SIZE)
    before = connections()
    with socket.create_connection(("127.0.0.1", proxied.proxy_port)) as sock:
        head = f"GET {plain_store.url}large HTTP/1.1\r\nHost: localhost:{plain_store.port}\r\n"
        sock.sendall(f"{head}Proxy-Authorization: Basic {basic(other)}\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        assert connections() == before + 1
    deadline = time.monotonic() + 5
    while connections() > before:
        assert time.monotonic() < deadline, "the store still sends"
        time.sleep(0.05)
