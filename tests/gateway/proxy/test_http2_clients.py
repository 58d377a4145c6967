"""Clients with HTTP/2: nothing of it becomes a second request in HTTP/1.1, and floods end."""

import time
from pathlib import Path

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.speaking import ENDED, Double, asked, connection, head, http2, status
from tests.gateway.proxy.test_large import resident
from tests.servers.apache import Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]

MIB = 1024 * 1024
CALM = 0xB  # ENHANCE_YOUR_CALM
SECOND = b"x HTTP/1.1\r\nHost: localhost\r\n\r\nGET /smuggled HTTP/1.1\r\nX: y"


def lines(store: Apache) -> list[str]:
    return store.log.read_text().splitlines()


def logged(store: Apache, before: int) -> list[str]:
    """What the store wrote down behind so many lines: a moment after its answer."""
    deadline = time.monotonic() + 10
    while True:
        found = lines(store)[before:]
        if any(line.startswith(("GET", "PUT")) for line in found):
            break
        assert time.monotonic() < deadline, "the store wrote nothing down"
        time.sleep(0.02)
    return found


@pytest.mark.parametrize(
    "more",
    [
        (b"x-a", b"b\r\nx-c: d"),
        (b"x-a", b"b\nx-c: d"),
        (b"x-a", b"b\rx-c: d"),
        (b"x-a", b"b\0c"),
        (b"x-a\r\nx-c", b"d"),
        (b"x-a: b\r\nx-c", b"d"),
        (b"X-A", b"b"),
        (b"x a", b"b"),
        (b"", b"b"),
        (b"x-a", b" " + SECOND),
        (b":path", b"/again"),
        (b":unknown", b"a"),
        (b"host", b"evil.example"),
        (b"connection", b"keep-alive"),
        (b"proxy-connection", b"keep-alive"),
        (b"keep-alive", b"1"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"te", b"gzip"),
        (b"content-length", b"1, 2"),
        (b"content-length", b"+0"),
    ],
    ids=repr,
)
def test_a_header_that_http1_reads_otherwise_never_reaches_the_store(
    guarded: Proxied, guarded_account: Account, store: Apache, more: tuple[bytes, bytes]
) -> None:
    before = lines(store)
    with http2(guarded, guarded_account, store) as client:
        said = [(name.encode(), value.encode()) for name, value in client.request("GET", "/h.txt")]  # type: ignore[union-attr]
        answer = client.ask(1, [*said, more])
    assert answer in (ENDED, 400, 421) or str(answer).startswith("RST"), answer
    assert lines(store) == before


@pytest.mark.parametrize(
    "fields",
    [
        [(":path", "/h.txt HTTP/1.1\r\nX: y")],
        [(":path", "/h.txt HTTP/1.1")],
        [(":path", "https://evil.example/h.txt")],
        [(":path", "h.txt")],
        [(":path", "*")],
        [(":path", "")],
        [(":path", "/h.txt#fragment")],
        [(":path", "/\\evil.example/h.txt")],
        [(":method", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET")],
        [(":method", "GET ")],
        [(":method", "")],
        [(":scheme", "http")],
        [(":scheme", "ftp")],
        [(":scheme", "https://evil.example/x?")],
        [(":authority", "evil.example")],
        [(":authority", "localhost:1")],
        [(":authority", "localhost@evil.example")],
        [(":authority", "localhost\r\nX: y")],
        [(":method", "CONNECT")],
    ],
    ids=repr,
)
def test_a_pseudo_header_that_says_something_else_never_reaches_the_store(
    guarded: Proxied, guarded_account: Account, store: Apache, fields: list[tuple[str, str]]
) -> None:
    before = lines(store)
    with http2(guarded, guarded_account, store) as client:
        replaced = dict(fields)
        said = [(name, replaced.get(str(name), value)) for name, value in client.request("GET", "/h.txt")]
        answer = client.ask(1, said)  # type: ignore[arg-type]
    if replaced == {":scheme": "http"}:  # what counts is what the tunnel is for
        asked_for = [line for line in logged(store, len(before)) if line.startswith("GET")]
        assert len(asked_for) == 1
        return
    assert answer in (ENDED, 400, 403, 421) or str(answer).startswith("RST"), answer
    assert lines(store) == before


def test_pseudo_headers_twice_or_behind_others_never_reach_the_store(
    guarded: Proxied, guarded_account: Account, store: Apache
) -> None:
    before = lines(store)
    for change in (
        lambda f: [*f, f[1]],
        lambda f: [("x-a", "b"), *f],
        lambda f: f[:1] + f[2:],
        lambda f: f[:2],
    ):
        with http2(guarded, guarded_account, store) as client:
            answer = client.ask(1, change(client.request("GET", "/h.txt")))
            assert answer in (ENDED, 421) or str(answer).startswith("RST"), answer
    assert lines(store) == before


@pytest.mark.parametrize(("length", "body"), [("5", SECOND), ("0", SECOND), ("100", b"short")])
def test_a_length_that_is_not_the_bodys_makes_no_second_request(
    guarded: Proxied, guarded_account: Account, store: Apache, length: str, body: bytes
) -> None:
    with http2(guarded, guarded_account, store) as client:
        answer = client.ask(1, client.request("PUT", "/length", ("content-length", length)), body)
        assert answer == ENDED or str(answer).startswith("RST"), answer
    with http2(guarded, guarded_account, store) as client:  # the store still takes requests one by one
        assert client.ask(1, client.request("PUT", "/next"), b"next") in (201, 204)
    assert not any(line.startswith("GET") and "smuggled" in line for line in lines(store))
    assert not (store.data / "smuggled").exists()


def test_a_body_without_a_length_is_one_request(
    guarded: Proxied, guarded_account: Account, store: Apache
) -> None:
    before = lines(store)
    body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with http2(guarded, guarded_account, store) as client:
        assert client.ask(1, client.request("PUT", "/bare"), body) in (201, 204)
    assert (store.data / "bare").read_bytes() == body
    assert [line.split()[0] for line in logged(store, len(before))].count("PUT") == 1
    assert not any("GET" in line for line in logged(store, len(before)))


@pytest.mark.parametrize("kind", ["http1", "http2"])
def test_trailers_are_dropped_and_the_request_goes_through(
    guarded: Proxied,
    guarded_account: Account,
    http2_account: Account,
    store: Apache,
    http2_store: Apache,
    kind: str,
) -> None:
    account, server = (guarded_account, store) if kind == "http1" else (http2_account, http2_store)
    with http2(guarded, account, server) as client:
        client.send(
            client.headers(1, client.request("PUT", "/trailers"), end=False),
            DataFrame(1, b"body"),
            client.headers(1, [("x-trailer", "a"), ("authorization", "Basic evil")]),
        )
        assert client.answer(1) in (201, 204)
    assert (server.data / "trailers").read_bytes() == b"body"


def test_trailers_of_http1_are_dropped(guarded: Proxied, lied_to: Account, lying: Double) -> None:
    body = b"4;a=b\r\nbody\r\n0\r\nX-Trailer: a\r\nContent-Length: 99\r\n\r\n"
    lines_of_it = ("Transfer-Encoding: chunked", "Trailer: X-Trailer", "Connection: close")
    assert status(asked(guarded, head(lied_to, "PUT", f"{lying.url}t", *lines_of_it) + body)) == 200
    request, got = lying.requests[-1]
    assert got == b"body"
    assert not {b"x-trailer", b"trailer"} & {name for name, _ in request.headers}


def test_a_chunk_line_without_end_is_not_kept(guarded: Proxied, lied_to: Account, lying: Double) -> None:
    before = resident(guarded)
    for begun in (b"5;", b"0\r\nX-A: "):
        with connection(guarded) as sock:
            sock.sendall(head(lied_to, "PUT", f"{lying.url}t", "Transfer-Encoding: chunked") + begun)
            sock.settimeout(10)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                sock.sendall(b"a" * 64 * MIB)
    assert resident(guarded) - before < 16 * MIB


def test_a_head_in_many_frames_ends_the_connection(
    guarded: Proxied, guarded_account: Account, store: Apache
) -> None:
    """CONTINUATION without end, also of nothing (CVE-2024-24549 and its like)."""
    for piece in (b"", bytes(16384)):
        before = resident(guarded)
        with http2(guarded, guarded_account, store) as client:
            client.send(HeadersFrame(1, client.encoder.encode(client.request()), flags=["END_STREAM"]))
            for _ in range(200):
                client.send(ContinuationFrame(1, piece))
            assert client.answer(1) == ENDED
        assert resident(guarded) - before < 16 * MIB


@pytest.mark.parametrize("kind", ["100,000 headers", "one of 1 MiB", "one of the table, again and again"])
def test_a_head_that_unpacks_to_much_ends_the_connection(
    guarded: Proxied, guarded_account: Account, store: Apache, kind: str
) -> None:
    before, logged = resident(guarded), lines(store)
    with http2(guarded, guarded_account, store) as client:
        packed = client.encoder.encode(client.request())
        packed += {
            "100,000 headers": lambda: client.encoder.encode([(f"x-{n}", "a") for n in range(10_000)]) * 10,
            "one of 1 MiB": lambda: client.encoder.encode([("x-a", "a" * MIB)], huffman=False),
            "one of the table, again and again": lambda: (
                client.encoder.encode([("x-a", "a" * 4000)]) + b"\xbe" * 60_000
            ),
        }[kind]()
        pieces = [packed[at : at + 16384] for at in range(0, len(packed), 16384)]
        frames: list[HeadersFrame | ContinuationFrame] = [HeadersFrame(1, pieces[0], flags=["END_STREAM"])]
        frames += [ContinuationFrame(1, piece) for piece in pieces[1:]]
        frames[-1].flags.add("END_HEADERS")
        client.send(*frames)
        assert client.answer(1) == ENDED
    assert resident(guarded) - before < 16 * MIB
    assert lines(store) == logged


def test_more_streams_at_a_time_than_were_said_are_refused(
    guarded: Proxied, guarded_account: Account, store: Apache
) -> None:
    with http2(guarded, guarded_account, store) as client:
        for number in range(101):
            client.send(client.headers(2 * number + 1, client.request("PUT", "/x"), end=False))
        assert client.answer(201) == ENDED


def test_a_client_that_opens_and_resets_is_told_to_calm_down(
    guarded: Proxied, guarded_account: Account, store: Apache
) -> None:
    """Rapid reset, CVE-2023-44487: of 5,000 requests few cost the store or the worker anything."""
    before = len(lines(store))
    with http2(guarded, guarded_account, store) as client:
        for number in range(5000):
            stream = 2 * number + 1
            client.send(
                client.headers(stream, client.request("GET", f"/{number}")),
                RstStreamFrame(stream, error_code=8),
            )
            if client.error is not None:
                break
        while client.error is None:
            client.read()
    assert client.error in (CALM, -1)
    with http2(guarded, guarded_account, store) as client:
        assert client.ask(1, client.request("PROPFIND", "/", ("depth", "0"))) == 207
    assert len(lines(store)) - before < 300


@pytest.mark.parametrize("kind", ["pings", "settings", "empty data"])
def test_frames_that_only_make_work_end_the_connection(
    guarded: Proxied, guarded_account: Account, store: Apache, kind: str
) -> None:
    with http2(guarded, guarded_account, store) as client:
        client.send(client.headers(1, client.request("PUT", "/x"), end=False))
        frame = {
            "pings": PingFrame(0, b"12345678"),
            "settings": SettingsFrame(settings={SettingsFrame.INITIAL_WINDOW_SIZE: 65535}),
            "empty data": DataFrame(1, b""),
        }[kind]
        for _ in range(5000):
            client.send(frame)
            if client.error is not None:
                break
        while client.error is None:
            client.read()
    assert client.error in (CALM, -1)


def test_pings_beside_a_transfer_are_no_flood(
    guarded: Proxied, guarded_account: Account, store: Apache
) -> None:
    with (store.data / "pinged").open("wb") as file:
        file.truncate(32 * MIB)
    with http2(guarded, guarded_account, store) as client:
        client.send(client.headers(1, client.request("GET", "/pinged")))
        pings = 0
        while 1 not in client.ended:
            client.read()
            client.send(PingFrame(0, b"12345678"))
            pings += 1
            assert client.error is None
    assert len(client.bodies[1]) == 32 * MIB
    assert pings > 1000, "as many in a row would end it"


def test_a_client_that_takes_nothing_of_a_flood_is_ended_and_others_served(
    guarded: Proxied, guarded_account: Account, store: Apache
) -> None:
    """100 streams with a closed window, each of a large file."""
    with (store.data / "large").open("wb") as file:
        file.truncate(256 * MIB)
    (store.data / "small").write_text("small")
    before = resident(guarded)
    settings = {SettingsFrame.INITIAL_WINDOW_SIZE: 0}
    with http2(guarded, guarded_account, store, settings) as greedy:
        for number in range(100):
            greedy.send(greedy.headers(2 * number + 1, greedy.request("GET", "/large")))
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert resident(guarded) - before < 64 * MIB
            with http2(guarded, guarded_account, store) as client:
                assert client.ask(1, client.request("GET", "/small")) == 200


def test_many_uploads_at_a_time_on_one_connection_all_end(
    guarded: Proxied, guarded_account: Account, store: Apache, tmp_path: Path
) -> None:
    """By curl, whose uploads share one connection, to a store that takes one request on each of its own."""
    content = bytes(range(256)) * (16 * MIB // 1024)  # 4 MiB each: together more than any window
    (tmp_path / "up").write_bytes(content)
    words: list[str] = []
    for number in range(24):
        words += ["-T", str(tmp_path / "up"), f"{store.url}at-once-{number}"]
    code, said = guarded.curl(guarded_account, "--http2", "--parallel", "--parallel-max", "24", *words)
    assert code in (201, 204), said
    for number in range(24):
        assert (store.data / f"at-once-{number}").read_bytes() == content
