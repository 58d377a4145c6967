"""A URL that a caller names can't be used to look around in the gateway's network."""

import asyncio
import gzip
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

import pytest

from connectors.interface import BadAnswer, StoreError, TimedOut, Unavailable, UntrustedHost
from gateway.operations.errors import BadUrl, TooLarge
from gateway.settings import Settings
from gateway.worker.outside.addresses import Address
from gateway.worker.outside.fetching import Fetcher

OK = b"HTTP/1.1 200 OK\r\n"
type Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def settings(**changed: Any) -> Settings:
    given: dict[str, Any] = {
        "fetch_private": ["127.0.0.1/32"],
        "fetch_ports": [],
        "fetch_timeout": 2.0,
        "idle_timeout": 1.0,
    }
    return Settings(**given | changed)


class Server:
    """A double of any server on the internet: it counts connections, and answers as told."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.gone = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.gone.set()
            writer.close()


@asynccontextmanager
async def serving(answer: Answer | bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(answer, bytes)
        writer.write(answer)
        await writer.drain()

    server = Server(say if isinstance(answer, bytes) else answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


async def fetched(fetcher: Fetcher, url: str) -> bytes:
    async with fetcher.open(url) as found:
        return b"".join([piece async for piece in found.chunks])


async def test_the_bytes_of_a_url() -> None:
    async with serving(OK + b"Content-Length: 5\r\n\r\nhello") as server:
        async with Fetcher(settings()).open(
            f"http://127.0.0.1:{server.port}/a b?".replace(" ", "%20")
        ) as found:
            assert found.size == 5
            assert [piece async for piece in found.chunks] == [b"hello"]
        head = server.requests[0].decode().lower()
    assert head.startswith("get /a%20b http/1.1\r\n")
    assert f"host: 127.0.0.1:{server.port}\r\n" in head
    assert "accept-encoding: identity" in head


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0",
        "0.0.0.0",
        "[::]",
        "\uff11\uff12\uff17.0.0.1",
        "169.254.169.254",
        "[fe80::1%25lo]",
        "metadata.invalid",
    ],
)
async def test_no_spelling_of_a_private_address_is_connected_to(host: str) -> None:
    async with serving(OK + b"Content-Length: 0\r\n\r\n") as server:
        with pytest.raises(BadUrl, match=r"url: (its host has no address|is malformed)"):
            await fetched(Fetcher(settings(fetch_private=[])), f"http://{host}:{server.port}/")
        assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "//127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://",
        "http:///path",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://user:pw@127.0.0.1/",
        "http://127.0.0.1/\r\nHost: other",
        "http://127.0.0.1/ b",
        "http://1.1.1.1\\@127.0.0.1/",
        "http://[::1/",
        "http://a" + "b" * 9000,
    ],
)
async def test_what_is_no_url_is_refused_before_anything_is_resolved(url: str) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[Address]:
        asked.append(host)
        return []

    with pytest.raises(BadUrl, match="url:"):
        await fetched(Fetcher(settings(), resolve), url)
    assert asked == []


async def test_ports_that_are_not_allowed() -> None:
    async with serving(OK + b"\r\n") as server:
        with pytest.raises(BadUrl, match="port"):
            await fetched(Fetcher(settings(fetch_ports=[80, 443])), f"http://127.0.0.1:{server.port}/")
        assert server.connections == 0


async def test_a_name_that_answers_differently_the_second_time_gains_nothing() -> None:
    answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.2"])
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[Address]:
        asked.append(host)
        return [ip_address(next(answers))]

    async with serving(OK + b"Content-Length: 2\r\n\r\nhi") as server:
        fetcher = Fetcher(settings(), rebinding)
        url = f"http://rebinding.example:{server.port}/"
        assert await fetched(fetcher, url) == b"hi"
        assert asked == ["rebinding.example"]
        with pytest.raises(BadUrl):
            await fetched(fetcher, url)
    assert server.connections == 1


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    async def mixed(host: str, port: int) -> Sequence[Address]:
        return [ip_address("93.184.216.34"), ip_address("127.0.0.2")]

    with pytest.raises(BadUrl):
        await fetched(Fetcher(settings(), mixed), "http://mixed.example/")


async def test_an_address_of_our_own_is_refused_even_if_it_were_public(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.worker.outside.reach.is_public", lambda address, allowed: True)

    async def ours(host: str, port: int) -> Sequence[Address]:
        return [IPv4Address("127.0.0.1")]

    async with serving(OK + b"\r\n") as server:
        with pytest.raises(BadUrl):
            await fetched(Fetcher(settings(fetch_private=[]), ours), f"http://a.example:{server.port}/")
        assert server.connections == 0


async def test_unknown_and_private_hosts_can_not_be_told_apart() -> None:
    said = set()
    for host in ("127.0.0.2", "no-such-host.invalid", "10.0.0.1"):
        with pytest.raises(BadUrl) as caught:
            await fetched(Fetcher(settings()), f"http://{host}/")
        said.add(str(caught.value))
    assert len(said) == 1


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(status: int) -> None:
    async with (
        serving(OK + b"Content-Length: 2\r\n\r\nhi") as last,
        serving(redirect(f"http://127.0.0.1:{last.port}/there", status)) as first,
    ):
        assert await fetched(Fetcher(settings()), f"http://127.0.0.1:{first.port}/") == b"hi"
    assert last.requests[0].startswith(b"GET /there ")


@pytest.mark.parametrize(
    "to", ["http://127.0.0.2:{port}/", "http://[::1]:{port}/", "file:///etc/passwd", "//0/"]
)
async def test_a_redirect_to_where_we_do_not_go_is_refused(to: str) -> None:
    async with serving(OK + b"Content-Length: 2\r\n\r\nhi") as last:  # noqa: SIM117  the second needs its port
        async with serving(redirect(to.format(port=last.port))) as first:
            with pytest.raises(BadUrl):
                await fetched(Fetcher(settings()), f"http://127.0.0.1:{first.port}/")
    assert last.connections == 0


async def test_redirects_end_after_five() -> None:
    async with serving(redirect("/again")) as server:
        with pytest.raises(BadUrl, match="more than 5 times"):
            await fetched(Fetcher(settings()), f"http://127.0.0.1:{server.port}/")
    assert server.connections == 6


@pytest.mark.parametrize("status", [204, 206, 304, 401, 404, 500])
async def test_anything_but_200_is_no_content(status: int) -> None:
    async with serving(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()) as server:
        with pytest.raises(BadUrl, match=str(status)):
            await fetched(Fetcher(settings()), f"http://127.0.0.1:{server.port}/")


@pytest.mark.parametrize("fields", [1, 1000])
async def test_a_huge_head_is_refused(fields: int) -> None:
    field = b"x" * (100_000 // fields)
    head = OK + b"".join(b"X-%d: %s\r\n" % (n, field) for n in range(fields)) + b"Content-Length: 0\r\n\r\n"
    async with serving(head) as server:
        with pytest.raises(BadAnswer, match="url:"):
            await fetched(Fetcher(settings()), f"http://127.0.0.1:{server.port}/")


async def test_a_head_without_end_is_given_up() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-More: follows\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(endless) as server:
        began = time.monotonic()
        with pytest.raises(TimedOut, match="url:"):
            await fetched(Fetcher(settings(fetch_timeout=0.5)), f"http://127.0.0.1:{server.port}/")
        assert time.monotonic() - began < 5
        async with asyncio.timeout(5):
            await server.gone.wait()


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"\x00" * 100, b"HTTP/1.1 200"])
async def test_what_is_not_http(answer: bytes) -> None:
    async with serving(answer) as server:
        with pytest.raises((BadAnswer, Unavailable), match="url:"):
            await fetched(Fetcher(settings()), f"http://127.0.0.1:{server.port}/")


async def test_a_content_coding_is_left_on() -> None:
    packed = gzip.compress(b"x" * 1_000_000)
    head = OK + f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    async with serving(head + packed) as server:
        assert await fetched(Fetcher(settings()), f"http://127.0.0.1:{server.port}/") == packed


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    async with serving(OK + b"Content-Length: 11\r\n\r\n") as server:
        with pytest.raises(TooLarge):
            await fetched(Fetcher(settings(fetch_bytes=10)), f"http://127.0.0.1:{server.port}/")


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked\r\n\r\n", b"Connection: close\r\n\r\n"])
async def test_a_body_that_does_not_say_is_cut_off(framing: bytes) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + framing)
        while True:
            writer.write(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(endless) as server:
        with pytest.raises(TooLarge):
            await fetched(Fetcher(settings(fetch_bytes=1_000_000)), f"http://127.0.0.1:{server.port}/")
        async with asyncio.timeout(5):
            await server.gone.wait()


async def test_a_body_that_stops_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 100\r\n\r\nfew")
        await reader.read()

    async with serving(silent) as server:
        with pytest.raises(TimedOut, match="url:"):
            await fetched(Fetcher(settings(idle_timeout=0.3)), f"http://127.0.0.1:{server.port}/")


async def test_a_body_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.outside.fetching._RATE_OVER", 0.3)

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(trickle) as server:
        with pytest.raises(TimedOut, match="too slowly"):
            await fetched(Fetcher(settings()), f"http://127.0.0.1:{server.port}/")
        async with asyncio.timeout(5):
            await server.gone.wait()


async def test_a_slow_reader_is_no_slow_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.outside.fetching._RATE_OVER", 0.1)
    content = b"x" * 400_000
    head = OK + f"Content-Length: {len(content)}\r\n\r\n".encode()
    async with serving(head + content) as server:
        fetcher = Fetcher(settings(fetch_least_rate=10_000_000.0))
        async with fetcher.open(f"http://127.0.0.1:{server.port}/") as found:
            received = b""
            async for piece in found.chunks:
                received += piece
                await asyncio.sleep(0.05)
    assert received == content


async def test_a_body_that_breaks_off_is_no_content() -> None:
    async with serving(OK + b"Content-Length: 100\r\n\r\nfew") as server:
        with pytest.raises(Unavailable, match="url:"):
            await fetched(Fetcher(settings()), f"http://127.0.0.1:{server.port}/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Self-signed, for the name files.example."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=files.example",
            "-addext",
            "subjectAltName=DNS:files.example",
            "-keyout",
            "key",
            "-out",
            "cert",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.parametrize(
    ("host", "known", "fails"),
    [
        ("files.example", True, None),
        ("other.example", True, UntrustedHost),
        ("files.example", False, UntrustedHost),
    ],
)
async def test_tls_is_verified_for_the_name(
    certificate: Path, host: str, known: bool, fails: type[StoreError] | None
) -> None:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        return [ip_address("127.0.0.1")]

    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate / "cert", certificate / "key")
    trusted = ssl.create_default_context(cafile=str(certificate / "cert") if known else None)
    async with serving(OK + b"Content-Length: 2\r\n\r\nhi", theirs) as server:
        work = fetched(Fetcher(settings(), resolve, trusted), f"https://{host}:{server.port}/")
        if fails is None:
            assert await work == b"hi"
        else:
            with pytest.raises(fails, match="url:"):
                await work


async def test_a_redirect_from_https_to_http_is_refused(certificate: Path) -> None:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        return [ip_address("127.0.0.1")]

    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate / "cert", certificate / "key")
    trusted = ssl.create_default_context(cafile=str(certificate / "cert"))
    async with serving(redirect("http://files.example/"), theirs) as server:
        with pytest.raises(BadUrl, match="https to http"):
            await fetched(Fetcher(settings(), resolve, trusted), f"https://files.example:{server.port}/")
