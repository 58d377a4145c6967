"""HTTP/2 frames made by hand, from a client and from a store: what is to be remembered, floods, lies."""

import time
from collections.abc import Callable

import pytest
from hpack import Decoder, Encoder
from hyperframe.frame import (
    AltSvcFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.gateway.proxy.lying_http2 import Http2Store
from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.speaking import ENDED, http2
from tests.gateway.proxy.test_large import resident
from tests.servers.apache import Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]

MIB = 1024 * 1024
CALM = 0xB  # ENHANCE_YOUR_CALM
NO_END = {SettingsFrame.HEADER_TABLE_SIZE: 2**32 - 1}

type Said = tuple[bytes, bytes]


def remembered(decoder: Decoder) -> int:
    """Bytes of a decoder's table, which is the one that the sender keeps as well (RFC 7541, 4.1)."""
    return sum(len(name) + len(value) + 32 for name, value in decoder.header_table.dynamic_entries)


def test_a_client_can_not_have_all_heads_of_answers_remembered(
    guarded: Proxied, lying_in_http2: Http2Store, lied_to_in_http2: Account
) -> None:
    """By a table without end: each head that is sent would stay, and be looked through for the next."""
    count = 0

    def wordy(store: Http2Store, stream: int, _: dict[bytes, bytes]) -> None:
        nonlocal count
        count += 1
        fields = [(b"x-%d" % number, b"%d" % count * 100) for number in range(20)]
        store.connection.send_headers(stream, [(b":status", b"200"), *fields], end_stream=True)

    lying_in_http2.answers["/wordy"] = wordy
    with http2(guarded, lied_to_in_http2, lying_in_http2, NO_END) as client:
        client._decoder.max_allowed_table_size = 2**32 - 1
        for number in range(20):
            assert client.ask(2 * number + 1, client.request("GET", "/wordy")) == 200
        assert 0 < remembered(client._decoder) <= 4096


def test_a_store_can_not_have_all_heads_of_requests_remembered(
    guarded: Proxied, lying_in_http2: Http2Store, lied_to_in_http2: Account
) -> None:
    def asks_for_all(store: Http2Store, stream: int, _: dict[bytes, bytes]) -> None:
        store.connection.decoder.max_allowed_table_size = 2**32 - 1
        store.say(SettingsFrame(settings=NO_END))
        store.connection.send_headers(stream, [(b":status", b"204")], end_stream=True)

    lying_in_http2.answers["/all"] = asks_for_all
    with http2(guarded, lied_to_in_http2, lying_in_http2) as client:
        for number in range(20):
            more = [(f"x-{n}", f"{number}" * 100) for n in range(20)]
            assert client.ask(2 * number + 1, client.request("GET", "/all", *more)) == 204
        assert 0 < remembered(lying_in_http2.connection.decoder) <= 4096


@pytest.mark.parametrize(
    "frame",
    [
        lambda client: client.headers(1, client.request("GET", "/h.txt")),
        lambda _: DataFrame(1, b""),
        lambda _: WindowUpdateFrame(1, window_increment=1),
        lambda _: RstStreamFrame(1, error_code=8),
        lambda _: AltSvcFrame(0, b"localhost", b"h2"),
    ],
    ids=["heads", "empty data", "windows", "resets", "places"],
)
def test_frames_for_a_stream_that_is_gone_are_not_taken_for_ever(
    guarded: Proxied, guarded_account: Account, store: Apache, frame: Callable[[object], Frame]
) -> None:
    """No event tells of them, and each is parsed, and answered by a reset of its own."""
    with http2(guarded, guarded_account, store) as client:
        client.send(
            client.headers(1, client.request("PUT", "/x"), end=False), RstStreamFrame(1, error_code=8)
        )
        for _ in range(200):
            client.send(*(frame(client) for _ in range(100)))
            if client.error is not None:
                break
        deadline = time.monotonic() + 10
        while client.error is None and time.monotonic() < deadline:
            client.read()
        assert client.error in (CALM, -1)


@pytest.mark.parametrize(
    "trailers",
    [
        [("content-length", "99")],
        [("host", "evil.example")],
        [("authorization", "Basic ZXZpbDo="), ("proxy-authorization", "Basic ZXZpbDo=")],
        [(":path", "/elsewhere")],
        [("transfer-encoding", "chunked")],
        [("x-a", "b\r\n\r\nDELETE /trailers HTTP/1.1")],
    ],
    ids=lambda value: value[0][0],
)
def test_no_trailer_says_anything_to_the_store(
    guarded: Proxied, guarded_account: Account, store: Apache, trailers: list[tuple[str, str]]
) -> None:
    before = len(store.log.read_text().splitlines())
    with http2(guarded, guarded_account, store) as client:
        client.send(
            client.headers(1, client.request("PUT", "/trailed"), end=False),
            DataFrame(1, b"body"),
            client.headers(1, trailers),
        )
        assert client.answer(1) in (201, 204, ENDED)
    with http2(guarded, guarded_account, store) as client:
        assert client.ask(1, client.request("PROPFIND", "/", ("depth", "0"))) == 207
    logged = store.log.read_text().splitlines()[before:]
    assert {line.split()[0] for line in logged} <= {"PUT", "PROPFIND"}
    assert not any("elsewhere" in line for line in logged)


def test_extended_connect_opens_nothing(guarded: Proxied, guarded_account: Account, store: Apache) -> None:
    """RFC 8441: it was not offered."""
    with http2(guarded, guarded_account, store) as client:
        fields = [(":method", "CONNECT"), (":protocol", "websocket"), *client.request("GET", "/")[1:]]
        assert client.ask(1, fields) == ENDED


def _fields(*said: Said) -> bytes:
    return bytes(Encoder().encode(said))


def _head(stream: int, *said: Said, end: bool = False) -> HeadersFrame:
    flags = ["END_HEADERS", *(["END_STREAM"] if end else [])]
    return HeadersFrame(stream, _fields(*said), flags=flags)


def _pushes(stream: int) -> list[Frame]:
    promised = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/p"),
        (b":authority", b"localhost"),
    ]
    return [
        PushPromiseFrame(stream, promised_stream_id=2, data=_fields(*promised), flags=["END_HEADERS"]),
        _head(2, (b":status", b"200"), end=True),
    ]


@pytest.mark.parametrize(
    "said",
    [
        _pushes,
        lambda stream: [_head(stream + 2, (b":status", b"200"), end=True)],
        lambda stream: [DataFrame(stream, b"ok", flags=["END_STREAM"])],
        lambda _: [GoAwayFrame(0, last_stream_id=0, error_code=0)],
        lambda _: [SettingsFrame(settings={SettingsFrame.INITIAL_WINDOW_SIZE: 2**31})],
        lambda stream: [WindowUpdateFrame(stream, window_increment=2**31 - 1)] * 2,
        lambda stream: [
            _head(stream, (b":status", b"101"), end=False),
            DataFrame(stream, b"HTTP/1.1 200 OK"),
        ],
    ],
    ids=["push", "another stream", "no head", "goaway", "settings", "window", "switch"],
)
def test_a_store_that_lies_in_frames_is_a_502(
    guarded: Proxied,
    lying_in_http2: Http2Store,
    lied_to_in_http2: Account,
    said: Callable[[int], list[Frame]],
) -> None:
    lying_in_http2.answers["/lie"] = lambda store, stream, _: store.say(*said(stream), GoAwayFrame(0))
    assert guarded.curl(lied_to_in_http2, "--http2", f"{lying_in_http2.url}lie")[0] == 502
    del lying_in_http2.answers["/lie"]
    assert guarded.curl(lied_to_in_http2, "--http2", f"{lying_in_http2.url}lie") == (200, "ok")


@pytest.mark.parametrize(
    "said",
    [
        lambda s: [
            _head(s, (b":status", b"200"), (b"content-length", b"9")),
            DataFrame(s, b"ok", flags=["END_STREAM"]),
        ],
        lambda s: [
            _head(s, (b":status", b"200"), (b"content-length", b"1")),
            DataFrame(s, b"ok", flags=["END_STREAM"]),
        ],
        lambda s: [
            _head(s, (b":status", b"200")),
            DataFrame(s, b"ok"),
            GoAwayFrame(0, last_stream_id=0, error_code=2),
        ],
        lambda s: [_head(s, (b":status", b"200")), DataFrame(s, b"ok"), RstStreamFrame(s, error_code=2)],
    ],
    ids=["too short", "too long", "goaway", "reset"],
)
def test_an_answer_that_breaks_off_does_not_look_whole(
    guarded: Proxied,
    lying_in_http2: Http2Store,
    lied_to_in_http2: Account,
    said: Callable[[int], list[Frame]],
) -> None:
    lying_in_http2.answers["/broken"] = lambda store, stream, _: store.say(*said(stream))
    words = ("--max-time", "20", "-x", guarded.url(lied_to_in_http2), "--cacert", str(guarded.ca))
    done = guarded.run("curl", "-sSf", "--http2", *words, f"{lying_in_http2.url}broken")
    assert done.returncode in (18, 22, 56, 92), (done.returncode, done.stderr)  # cut off, a 502, reset


def test_a_store_that_floods_is_ended_and_others_are_served(
    guarded: Proxied,
    guarded_account: Account,
    store: Apache,
    lying_in_http2: Http2Store,
    lied_to_in_http2: Account,
) -> None:
    sent = 0

    def flood(store: Http2Store, *_: object) -> None:
        nonlocal sent
        while True:  # until it is ended
            store.say(*[PingFrame(0, b"12345678")] * 100)
            sent += 100

    (store.data / "beside").write_text("beside")
    lying_in_http2.answers["/flood"] = flood
    before = resident(guarded)
    with http2(guarded, lied_to_in_http2, lying_in_http2) as client:
        client.send(client.headers(1, client.request("GET", "/flood")))
        assert guarded.curl(guarded_account, f"{store.url}beside") == (200, "beside")
        assert client.answer(1) == 502
    assert sent < 200_000
    assert resident(guarded) - before < 16 * MIB
