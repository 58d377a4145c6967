"""Programs behind the native proxy, behind mitmdump, and without a proxy: who stands where."""

import base64
import selectors
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench import peers
from bench.fleet import Fleet, free_port
from bench.house import House
from tests.servers.certificates import certificate

_BASIC = base64.b64encode(f"{peers.USER}:{peers.PASSWORD}".encode()).decode()


@dataclass(frozen=True)
class Way:
    """How a program reaches a store.

    Attributes:
        proxy: URL of the proxy with user and password; None without one.
        ca: what the program trusts.
        processes: what is paid for in between.
    """

    proxy: str | None
    ca: Path
    processes: Sequence[psutil.Process] = ()

    def curl(self, url: str, *words: str | Path) -> list[str]:
        """A command of the real curl that ends with the transfer, or fails. Stores want Basic."""
        through = ("--proxy", self.proxy) if self.proxy else ("--noproxy", "*")
        user = ("--user", f"{peers.USER}:{peers.PASSWORD}")
        command = ("curl", "--silent", "--show-error", "--fail", "--cacert", self.ca, "--output", "/dev/null")
        return [str(word) for word in (*command, *through, *user, *words, url)]

    def transfer(self, url: str, *words: str | Path) -> float:
        """Seconds of one transfer by curl."""
        started = time.perf_counter()
        subprocess.run(self.curl(url, *words), check=True, capture_output=True)
        return time.perf_counter() - started

    def connected(self, url: str) -> "tuple[socket.socket, bytes]":
        """A connection that takes requests for the URL, TLS being set up, and the request."""
        store, proxy = urlsplit(url), urlsplit(self.proxy or url)
        sock = socket.create_connection(("127.0.0.1", proxy.port or 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fields = [f"Host: {store.netloc}", f"Authorization: Basic {_BASIC}"]
        token = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        who = f"Proxy-Authorization: Basic {token}"
        if store.scheme == "http":
            target = url if self.proxy else store.path
            return sock, _head(f"GET {target}", *fields, *([who] if self.proxy else []))
        if self.proxy:
            sock.sendall(_head(f"CONNECT {store.netloc}", f"Host: {store.netloc}", who))
            answer = sock.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise ConnectionError(f"CONNECT: {answer[:200]!r}")
        context = ssl.create_default_context(cafile=str(self.ca))
        return context.wrap_socket(sock, server_hostname="localhost"), _head(f"GET {store.path}", *fields)


def _head(line: str, *fields: str) -> bytes:
    return "\r\n".join((f"{line} HTTP/1.1", *fields, "", "")).encode()


@dataclass(frozen=True)
class Scene:
    """Stores with a large file `big` and a small one `small`, and the ways to them.

    `ours` and `tunnelled` are one gateway's, by accounts without and with a private network; URLs end with /.
    """

    plain: str
    tls: str
    direct: Way
    mitmdump: Way
    ours: Way
    ours_plain: Way
    tunnelled: Way
    big: Path
    fleet: Fleet

    @property
    def plain_port(self) -> int:
        """Of the store without TLS."""
        return urlsplit(self.plain).port or 0


@contextmanager
def scene(folder: Path, size: int) -> Iterator[Scene]:
    """All of it running; the large file has `size` bytes."""
    files, keys = folder / "files", folder / "tls"
    files.mkdir()
    keys.mkdir()
    trusted = keys / "cert.pem"
    certificate(keys)
    (files / "small").write_bytes(b"x" * 1024)
    with (files / "big").open("wb") as file:
        file.truncate(size)
    with Fleet(folder) as fleet:
        sink = free_port()
        fleet.start("sink", sys.executable, "-m", "bench.sink", str(sink), port=sink)
        plain_port = peers.nginx_store(fleet, files, sink)
        tls_port = peers.nginx_store(fleet, files, sink, tls=keys)
        plain, tls = f"http://localhost:{plain_port}/", f"https://localhost:{tls_port}/"
        house = House(fleet, proxied=True)
        house.start_agent(f"127.0.0.1:{tls_port}", f"[::1]:{tls_port}")  # what "localhost" may mean
        login = {"username": peers.USER, "password": peers.PASSWORD}
        ours_plain = house.proxied("webdav", url=plain, **login)
        ours = house.proxied("webdav", url=tls, ca=f"@{trusted}", **login)
        tunnelled = house.proxied("webdav", network="inside", url=tls, ca=f"@{trusted}", **login)
        port, mitm_ca, mitm = peers.mitmdump(fleet, trusted)
        our_ca = house.data / "keys" / "proxy-ca.pem"
        yield Scene(
            plain,
            tls,
            direct=Way(None, trusted),
            mitmdump=Way(f"http://any:one@127.0.0.1:{port}", mitm_ca, mitm),
            ours=Way(ours, our_ca, [house.gateway]),
            ours_plain=Way(ours_plain, our_ca, [house.gateway]),
            tunnelled=Way(tunnelled, our_ca, house.processes),
            big=files / "big",
            fleet=fleet,
        )


def asked(sock: socket.socket, request: bytes) -> float:
    """Seconds from a small request to the end of its answer. Raises ConnectionError for any but 200."""
    started = time.perf_counter()
    sock.sendall(request)
    got = b""
    while not _whole(got):
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError(f"no whole answer: {got[:200]!r}")
        got += piece
    return time.perf_counter() - started


def _whole(got: bytes) -> bool:
    """Whether an answer with a Content-Length has come. Raises ConnectionError for any but 200."""
    head, end, body = got.partition(b"\r\n\r\n")
    if not end:
        return False
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(f"an answer that is none: {got[:200]!r}")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= int(length.partition(b":")[2])


def latencies(way: Way, url: str, seconds: float) -> list[float]:
    """Of one small request after the other on one connection, in seconds."""
    sock, request = way.connected(url)
    with sock:
        asked(sock, request)  # the connection to the store, what is learned of it
        ends = time.perf_counter() + seconds
        found = []
        while time.perf_counter() < ends:
            found.append(asked(sock, request))
    return found


def requests_per_second(way: Way, url: str, seconds: float, at_once: int = 16) -> float:
    """Small requests answered on connections that are kept, each with one request under way."""
    selector = selectors.DefaultSelector()
    for _ in range(at_once):
        sock, request = way.connected(url)
        asked(sock, request)
        selector.register(sock, selectors.EVENT_READ, [b""])
    begun = time.perf_counter()
    answered = 0
    for key in selector.get_map().values():
        _socket(key).sendall(request)
    while time.perf_counter() - begun < seconds:
        for key, _ in selector.select(1.0):
            sock, have = _socket(key), key.data
            piece = sock.recv(65536)  # a small answer is one record of TLS
            if not piece:
                raise ConnectionError("a connection ended")
            have[0] += piece
            if _whole(have[0]):
                answered += 1
                have[0] = b""
                sock.sendall(request)
    took = time.perf_counter() - begun
    for key in list(selector.get_map().values()):
        _socket(key).close()
    return answered / took


def _socket(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)
    return key.fileobj
