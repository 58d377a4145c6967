"""TLS as it is, to hosts that the setting lists; everything else stays refused."""

import contextlib
import json
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.interface import NotPermitted
from gateway.access.pass_through import is_listed
from gateway.proxy.grants import Denied, Grant
from gateway.settings import Settings
from gateway.worker.outside.ways import Ways
from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.test_access_log import line
from tests.gateway.proxy.test_large import resident
from tests.gateway.proxy.test_metrics import counted
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.sshd import free_port

MIB = 1024 * 1024
SIZE = 256 * MIB


class TestDecisions:
    @pytest.mark.parametrize(
        ("host", "port", "listed"),
        [
            ("index.example", 443, True),
            ("index.example", 8443, False),
            ("other.example", 8443, True),
            ("other.example", 443, False),
            ("sub.index.example", 443, False),
        ],
    )
    def test_a_place_without_a_port_is_its_tls_port(self, host: str, port: int, listed: bool) -> None:
        assert is_listed(["index.example", "other.example:8443"], host, port) is listed

    @pytest.mark.parametrize(
        "place", ["127.0.0.1", "[::1]:443", "UPPER.example", "a/b", "*.example", "0x7f.1"]
    )
    def test_what_is_no_hosts_name_is_no_setting(self, place: str) -> None:
        with pytest.raises(ValueError, match="proxy_pass"):
            Settings(proxy_pass=[place])

    @pytest.mark.parametrize(
        "limits", [{"read_only": True}, {"methods": ("GET",)}, {"paths": ("/a",)}, {"hosts": ("b.example",)}]
    )
    def test_a_token_with_limits_that_can_not_be_checked_is_refused(self, limits: dict[str, Any]) -> None:
        with pytest.raises(Denied) as denied:
            Grant(1, 1, "token", **limits).require_passing("a.example", 443)
        assert denied.value.status == 403

    async def test_the_worker_asks_its_own_settings(self) -> None:
        nobody: Any = None  # no hub is asked
        ways = Ways(Settings(proxy_pass=["localhost:443"]), nobody)
        with pytest.raises(NotPermitted, match="proxy_pass"):
            ways.past("elsewhere.example", 443)
        loopback = ways.past("localhost", 443)
        with pytest.raises(NotPermitted, match="does not go to"):
            await ways.require_permitted(loopback)
        with pytest.raises(NotPermitted, match="does not go to"):
            await ways.opened(loopback)

    def test_a_token_that_lists_the_host_passes(self) -> None:
        Grant(1, 1, "token", hosts=("a.example",)).require_passing("a.example", 443)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    """A server with TLS of its own that is nobody's account."""
    with apache(tmp_path_factory.mktemp("index"), tls=True, auth="None") as server:
        (server.data / "i.txt").write_text("from the index")
        yield server


@pytest.fixture(scope="module")
def gone() -> int:
    """A port that nobody listens on."""
    return free_port()


@pytest.fixture(scope="module")
def passing(
    index: Apache, plain_store: Apache, store: Apache, gone: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    places = [index.port, store.port, plain_store.port, gone]
    listed = [*(f"localhost:{port}" for port in places), f"localhost.localdomain:{index.port}"]
    made = Proxied(
        tmp_path_factory.mktemp("passing"),
        settings={"ISTHMUS_PROXY_PASS": json.dumps(listed)},
    )
    made.set_up()
    with made.serving():
        yield made


@pytest.fixture(scope="module")
def mine(passing: Proxied, plain_store: Apache) -> Account:
    return passing.add("webdav", url=plain_store.url, username=USER, password=PASSWORD)


@pytest.fixture(scope="module")
def own_ca(index: Apache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    trusted = tmp_path_factory.mktemp("own") / "ca.pem"
    trusted.write_text(index.ca or "")
    return trusted


def curl(
    proxied: Proxied, account: Account, ca: Path, *words: str, token: str | None = None
) -> tuple[str, str, str]:
    """Status, CONNECT's status, and body or error; what is trusted is this CA and not the proxy's."""
    proxy = ("-x", proxied.url(account, token), "--suppress-connect-headers")
    codes = ("-w", "\n%{http_code} %{http_connect}")
    done = proxied.run("curl", "-sS", "--max-time", "30", *proxy, "--cacert", str(ca), *codes, *words)
    body, _, said = done.stdout.rpartition("\n")
    status, _, connect = said.partition(" ")
    return status, connect, body or done.stderr


def through(proxied: Proxied, account: Account, port: int) -> socket.socket:
    """A connection for which the proxy has answered 200 to CONNECT localhost."""
    sock = socket.create_connection(("127.0.0.1", proxied.proxy_port), 20)
    basic = b64encode(f"{account.id}:{account.token}".encode()).decode()
    sock.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\nProxy-Authorization: Basic {basic}\r\n\r\n".encode())
    assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    return sock


@pytest.mark.server
@pytest.mark.journey
class TestServed:
    def test_the_certificate_is_the_servers_own(
        self, passing: Proxied, mine: Account, index: Apache, own_ca: Path
    ) -> None:
        assert curl(passing, mine, own_ca, f"{index.url}i.txt") == ("200", "200", "from the index")
        assert curl(passing, mine, passing.ca, f"{index.url}i.txt")[:2] == ("000", "200")
        found = line(passing, lambda one: one["message"] == "pass" and one["down"] > 1000)
        assert (found["account"], found["method"], found["path"]) == (mine.id, "CONNECT", "")
        assert (found["host"], found["refused"]) == (f"localhost:{index.port}", None)
        row = counted(passing, mine, f"localhost:{index.port}")
        assert row["passed"] == 2
        assert row["down"] > found["down"]
        assert 200 < row["up"] < 20_000

    def test_it_is_in_the_audit_log(
        self, passing: Proxied, mine: Account, index: Apache, own_ca: Path
    ) -> None:
        curl(passing, mine, own_ca, f"{index.url}i.txt")
        deadline = time.monotonic() + 10
        while not any(
            one["detail"]["method"] == "CONNECT"
            for one in passing.isthmus("audit", "list")["rows"]
            if one["action"] == "credential.use"
        ):
            assert time.monotonic() < deadline

    def test_without_the_setting_it_is_refused(
        self, proxied: Proxied, account: Account, index: Apache, own_ca: Path
    ) -> None:
        assert curl(proxied, account, own_ca, f"{index.url}i.txt")[:2] == ("000", "403")

    def test_the_accounts_own_host_is_intercepted_though_listed(
        self, passing: Proxied, store: Apache, own_ca: Path, tmp_path: Path
    ) -> None:
        trusted = tmp_path / "ca.pem"
        trusted.write_text(store.ca or "")
        made = passing.add("webdav", url=store.url, username=USER, password=PASSWORD, ca=f"@{trusted}")
        (store.data / "own.txt").write_text("own")
        assert passing.curl(made, f"{store.url}own.txt") == (200, "own")
        assert curl(passing, made, trusted, f"{store.url}own.txt")[:2] == ("000", "200")  # not its own

    @pytest.mark.parametrize(
        "limit", [["--read-only"], ["--method", "GET"], ["--path", "/"], ["--host", "elsewhere.example"]]
    )
    def test_limited_tokens_are_refused(
        self, passing: Proxied, mine: Account, index: Apache, own_ca: Path, limit: list[str]
    ) -> None:
        made = passing.isthmus("proxy", "token", "create", "--account", str(mine.id), *limit)
        assert curl(passing, mine, own_ca, f"{index.url}i.txt", token=made["token"])[:2] == ("000", "403")

    def test_a_token_for_that_host_is_let_through(
        self, passing: Proxied, mine: Account, index: Apache, own_ca: Path
    ) -> None:
        limit = ("--host", f"localhost:{index.port}")
        made = passing.isthmus("proxy", "token", "create", "--account", str(mine.id), *limit)
        assert curl(passing, mine, own_ca, f"{index.url}i.txt", token=made["token"])[0] == "200"

    def test_another_server_name_than_the_connects_ends(
        self, passing: Proxied, mine: Account, index: Apache, own_ca: Path
    ) -> None:
        for name in ("other.example", None):
            context = ssl.create_default_context(cafile=str(own_ca))
            context.check_hostname = False
            with (
                through(passing, mine, index.port) as sock,
                pytest.raises(ssl.SSLError, match=r"UNRECOGNIZED_NAME|unrecognized name"),
            ):
                context.wrap_socket(sock, server_hostname=name)
        found = line(passing, lambda one: one["message"] == "pass" and one["refused"] is not None)
        assert found["refused"] == "the TLS server name is for another host than the CONNECT line"

    @pytest.mark.parametrize(
        "begun",
        [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01" + b"\xff" * 20_000],
    )
    def test_what_is_no_tls_ends(self, passing: Proxied, mine: Account, index: Apache, begun: bytes) -> None:
        served = index.log.read_text() if index.log.exists() else ""
        with through(passing, mine, index.port) as sock:
            sock.sendall(begun)
            received = b""
            while piece := sock.recv(1000):
                received += piece
        assert received[:2] in (b"", b"\x15\x03")
        assert (index.log.read_text() if index.log.exists() else "") == served

    def test_a_hello_in_pieces_passes(
        self, passing: Proxied, mine: Account, index: Apache, own_ca: Path
    ) -> None:
        context = ssl.create_default_context(cafile=str(own_ca))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        with through(passing, mine, index.port) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            hello = outgoing.read()
            for at in range(0, len(hello), 50):
                sock.sendall(hello[at : at + 50])
            assert sock.recv(5)[0] == 22  # the server's own handshake

    def test_loopback_is_refused_without_proxy_private(
        self, index: Apache, own_ca: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        settings = {"ISTHMUS_PROXY_PASS": f'["localhost:{index.port}"]', "ISTHMUS_PROXY_PRIVATE": "[]"}
        strict = Proxied(tmp_path_factory.mktemp("strict"), settings=settings)
        strict.set_up()
        with strict.serving():
            made = strict.isthmus(
                *("account", "add", "webdav", "--app", strict.app["id"], "--set", "url=http://localhost:9/"),
                *("--set", "username=u", "--set", "password=p"),
            )
            account = Account(made["id"], made["access_token"])
            assert curl(strict, account, own_ca, f"{index.url}i.txt")[:2] == ("000", "403")
            found = line(strict, lambda one: one["host"] == f"localhost:{index.port}")
        assert found["refused"] == "the store's host has an address that the proxy does not go to"

    def test_a_host_that_does_not_answer_ends_without_saying_where_the_worker_is(
        self, passing: Proxied, mine: Account, own_ca: Path, gone: int
    ) -> None:
        status, connect, said = curl(passing, mine, own_ca, f"https://localhost:{gone}/")
        assert (status, connect) == ("000", "200")
        assert "alert internal error" in said
        found = line(passing, lambda one: one["host"] == f"localhost:{gone}")
        assert "127.0.0.1" not in found["refused"]

    def test_a_revoked_token_ends_what_is_open(
        self, passing: Proxied, mine: Account, index: Apache, own_ca: Path
    ) -> None:
        with (index.data / "large").open("wb") as file:
            file.truncate(SIZE)
        made = passing.isthmus("proxy", "token", "create", "--account", str(mine.id))
        context = ssl.create_default_context(cafile=str(own_ca))
        with context.wrap_socket(
            through(passing, Account(mine.id, made["token"]), index.port), server_hostname="localhost"
        ) as sock:
            sock.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            received = len(sock.recv(1000))  # the rest is waited with, so the server has something to send
            passing.isthmus("proxy", "token", "revoke", str(made["id"]))
            found = line(passing, lambda one: one["refused"] == "its token has ended")
            sock.settimeout(10)
            with contextlib.suppress(ssl.SSLError, ConnectionResetError):
                while piece := sock.recv(65536):
                    received += len(piece)
        assert received < SIZE
        assert found["account"] == mine.id

    @pytest.mark.slow
    def test_a_large_file_both_ways_takes_no_memory(
        self, passing: Proxied, mine: Account, index: Apache, own_ca: Path, tmp_path: Path
    ) -> None:
        with (index.data / "large").open("wb") as file:
            file.truncate(SIZE)
        before = resident(passing)
        highest, over = before, threading.Event()

        def watch() -> None:
            nonlocal highest
            while not over.wait(0.2):
                highest = max(highest, resident(passing))

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            got = str(tmp_path / "got")
            assert curl(passing, mine, own_ca, "-o", got, f"{index.url}large")[0] == "200"
            assert curl(passing, mine, own_ca, "-T", got, f"{index.url}sent")[0] == "201"
        finally:
            over.set()
            watching.join()
        assert (index.data / "sent").stat().st_size == SIZE
        assert highest - before < 32 * MIB
        assert counted(passing, mine, f"localhost:{index.port}")["up"] > SIZE
