"""What clients do: the cheapest that there is, so that the servers are what is measured."""

import socket
import subprocess
import time
from dataclasses import dataclass

_BUFFER = 1024 * 1024


@dataclass(frozen=True)
class Target:
    """A file behind an HTTP server: where to get it, or where to put it."""

    port: int
    path: str
    headers: tuple[str, ...] = ()
    method: str = "PUT"

    def head(self, method: str, *more: str) -> bytes:
        """A request's head."""
        lines = (
            f"{method} {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            *self.headers,
            *more,
            "",
            "",
        )
        return "\r\n".join(lines).encode()


def _answer(sock: socket.socket) -> tuple[int, int, int]:
    """Status, declared length (-1: none), and how many bytes of the body came with the head."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError(f"no whole answer: {got[:200]!r}")
        got += piece
    head, _, rest = got.partition(b"\r\n\r\n")
    length = -1
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return int(head.split(b" ")[1]), length, len(rest)


def download(target: Target, size: int) -> float:
    """Seconds for a file of exactly `size` bytes."""
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", target.port)) as sock:
        sock.sendall(target.head("GET"))
        status, _, done = _answer(sock)
        if status != 200:
            raise ConnectionError(f"{target.path}: status {status}")
        buffer = bytearray(_BUFFER)
        while done < size:
            got = sock.recv_into(buffer)
            if not got:
                raise ConnectionError(f"{target.path}: ended after {done} of {size} bytes")
            done += got
    if done != size:
        raise ConnectionError(f"{target.path}: {done} bytes instead of {size}")
    return time.perf_counter() - started


def upload(target: Target, size: int) -> float:
    """Seconds for `size` bytes sent and acknowledged."""
    piece = memoryview(bytes(range(256)) * (_BUFFER // 256))
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", target.port)) as sock:
        sock.sendall(target.head(target.method, f"Content-Length: {size}"))
        left = size
        while left:
            left -= sock.send(piece[:left])
        status, _, _ = _answer(sock)
    if status not in (200, 201, 204):
        raise ConnectionError(f"{target.path}: status {status}")
    return time.perf_counter() - started


def latencies(target: Target, seconds: float) -> list[float]:
    """Of one small request after the other on one connection, in seconds."""
    found = []
    request = target.head("GET")
    with socket.create_connection(("127.0.0.1", target.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            started = time.perf_counter()
            sock.sendall(request)
            status, length, done = _answer(sock)
            while done < length:
                done += len(sock.recv(65536))
            if status != 200:
                raise ConnectionError(f"{target.path}: status {status}")
            found.append(time.perf_counter() - started)
    return found


def requests_per_second(target: Target, seconds: float, at_once: int = 16) -> float:
    """By wrk, on connections that are kept. Raises when any request failed.

    ApacheBench speaks HTTP/1.0, for which our server, unlike nginx, opens a connection for each request.
    """
    url = f"http://127.0.0.1:{target.port}{target.path}"
    headers = [word for header in target.headers for word in ("-H", header)]
    done = subprocess.run(
        ["wrk", "-t", "1", "-c", str(at_once), "-d", f"{seconds:.0f}s", *headers, url],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise ConnectionError(f"requests failed: {done.stdout}")
    facts = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    return float(facts["Requests/sec"])


def percentile(values: list[float], part: float) -> float:
    """The value that `part` of all are below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
