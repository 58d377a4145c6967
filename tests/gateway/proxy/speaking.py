"""What speaks to the proxy byte by byte, and doubles of stores that lie or that write down what they get."""

import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import h11
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.gateway.proxy.proxied import Account, Proxied

ENDED = "GOAWAY"
type Fields = Sequence[tuple[str, str] | tuple[bytes, bytes]]
type Lie = bytes | Callable[[socket.socket], None]

_LISTING = b"""<?xml version="1.0"?><d:multistatus xmlns:d="DAV:"><d:response>
<d:href>/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype></d:prop>
<d:status>HTTP/1.1 200 OK</d:status></d:propstat>
</d:response></d:multistatus>"""
LISTING = (
    b"HTTP/1.1 207 Multi-Status\r\nDAV: 1\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s"
    % (len(_LISTING), _LISTING)
)

_WHO = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"


def basic(account: Account, token: str | None = None) -> str:
    return b64encode(f"{account.id}:{token or account.token}".encode()).decode()


@contextmanager
def connection(proxied: Proxied, *, address: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A connection to the proxy, from an address of the loopback."""
    with socket.create_connection(("127.0.0.1", proxied.proxy_port), 30, (address, 0)) as sock:
        yield sock


def received(sock: socket.socket, *, within: float = 10) -> bytes:
    """All that comes until the other side closes, or is silent for so long."""
    answer = b""
    sock.settimeout(within)
    try:
        while piece := sock.recv(65536):
            answer += piece
    except (TimeoutError, ConnectionResetError, ssl.SSLEOFError):
        pass
    return answer


def until(sock: socket.socket, end: bytes) -> bytes:
    """What comes, up to this end of it."""
    answer = b""
    sock.settimeout(10)
    while not answer.endswith(end):
        piece = sock.recv(65536)
        assert piece, answer
        answer += piece
    return answer


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


def head(account: Account, method: str, url: str, *lines: str) -> bytes:
    """A request's head as a program sends it to a proxy."""
    host = url.split("/")[2]
    said = (f"{method} {url} HTTP/1.1", f"Host: {host}", f"Proxy-Authorization: Basic {basic(account)}")
    return "\r\n".join((*said, *lines, "\r\n")).encode("latin-1")


def asked(proxied: Proxied, sent: bytes, *, within: float = 10) -> bytes:
    """What the proxy answers to these bytes."""
    with connection(proxied) as sock:
        sock.sendall(sent)
        return received(sock, within=within)


@contextmanager
def tunnel(
    proxied: Proxied, account: Account, port: int, *alpn: str, name: str = "localhost"
) -> Iterator[ssl.SSLSocket]:
    """TLS with the store's host, as the proxy speaks it behind CONNECT."""
    with connection(proxied) as sock:
        opening = f"CONNECT localhost:{port} HTTP/1.1\r\nProxy-Authorization: Basic {basic(account)}\r\n\r\n"
        sock.sendall(opening.encode())
        assert status(sock.recv(4096)) == 200
        context = ssl.create_default_context(cafile=str(proxied.ca))
        context.set_alpn_protocols(list(alpn or ("http/1.1",)))
        with context.wrap_socket(sock, server_hostname=name) as tls:
            yield tls


class Http2:
    """A client that says in HTTP/2 whatever it is told to, right or wrong."""

    def __init__(self, tls: ssl.SSLSocket, authority: str, settings: dict[int, int] | None = None) -> None:
        assert tls.selected_alpn_protocol() == "h2"
        self.tls, self.authority = tls, authority
        self.encoder, self._decoder, self._buffer = Encoder(), Decoder(), b""
        self.bodies: dict[int, bytearray] = {}
        self.statuses: dict[int, int] = {}
        self.ended: dict[int, int | None] = {}
        self.error: int | None = None  # GOAWAY's
        tls.settimeout(10)
        tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.send(
            SettingsFrame(settings=settings or {SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1}),
            WindowUpdateFrame(0, window_increment=2**31 - 1 - 65535),
        )

    def send(self, *frames: Frame) -> None:
        """Sends them in one piece; a connection that the proxy has ended takes nothing."""
        try:
            self.tls.sendall(b"".join(frame.serialize() for frame in frames))
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.error = self.error if self.error is not None else -1

    def request(self, method: str = "GET", path: str = "/", *more: tuple[str, str]) -> Fields:
        """A request's fields, in order."""
        said = [(":method", method), (":scheme", "https"), (":path", path), (":authority", self.authority)]
        return [*said, *more]

    def headers(self, stream: int, fields: Fields, *, end: bool = True) -> HeadersFrame:
        frame = HeadersFrame(stream, self.encoder.encode(fields), flags=["END_HEADERS"])
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def ask(self, stream: int, fields: Fields, body: bytes | None = None) -> int | str:
        """The answer's status, `GOAWAY`, or `RST n` where there was none."""
        self.send(self.headers(stream, fields, end=body is None))
        if body is not None:
            self.send(DataFrame(stream, body, flags=["END_STREAM"]))
        return self.answer(stream)

    def answer(self, stream: int) -> int | str:
        """Reads until the stream has its answer and its end, or the connection ends."""
        while stream not in self.ended and self.error is None:
            self.read()
        if stream in self.statuses:
            return self.statuses[stream]
        return ENDED if stream not in self.ended else f"RST {self.ended[stream]}"

    def read(self) -> None:
        """Takes what comes next; the connection's end counts as GOAWAY."""
        try:
            piece = self.tls.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            piece = b""
        if not piece:
            self.error = self.error if self.error is not None else -1
        self._buffer += piece
        while len(self._buffer) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self._buffer)[:9])
            if len(self._buffer) < 9 + length:
                return
            frame.parse_body(memoryview(self._buffer)[9 : 9 + length])
            self._buffer = self._buffer[9 + length :]
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, GoAwayFrame):
            self.error = frame.error_code
        elif isinstance(frame, RstStreamFrame):
            self.ended[frame.stream_id] = frame.error_code
        elif isinstance(frame, HeadersFrame | ContinuationFrame):
            for name, value in self._decoder.decode(frame.data, raw=True):
                if name == b":status":
                    self.statuses[frame.stream_id] = int(value)
        elif isinstance(frame, DataFrame):
            self.bodies.setdefault(frame.stream_id, bytearray()).extend(frame.data)
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.send(SettingsFrame(flags=["ACK"]))
        if "END_STREAM" in frame.flags:
            self.ended.setdefault(frame.stream_id, None)


class HasPort(Protocol):
    """A store on this machine."""

    @property
    def port(self) -> int: ...


@contextmanager
def http2(
    proxied: Proxied, account: Account, store: HasPort, settings: dict[int, int] | None = None
) -> Iterator[Http2]:
    """A client with HTTP/2 to the store's host."""
    with tunnel(proxied, account, store.port, "h2") as tls:
        yield Http2(tls, f"localhost:{store.port}", settings)


@dataclass
class Double:
    """A double of a store: it writes down each request, and answers what the test says, true or not.

    Attributes:
        lies: by path what is answered there: bytes, or what to do with the connection, which is closed then.
        hasty: the same, but told before a request's body is read.
        requests: every request that came with authorisation, as h11, which takes no liberties, reads it.
        misread: what h11 did not take for a request.
    """

    port: int = 0
    lies: dict[str, Lie] = field(default_factory=dict)
    hasty: dict[str, Callable[[socket.socket], None]] = field(default_factory=dict)
    requests: list[tuple[h11.Request, bytes]] = field(default_factory=list)
    misread: list[str] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/"

    def serve(self, sock: socket.socket) -> None:
        """One connection, until its client ends it or a lie does."""
        self.connections += 1
        reader = h11.Connection(h11.SERVER)
        with sock:
            try:
                while (got := self._request(sock, reader)) is not None:
                    lie = self.lies.get(got.target.decode().partition("?")[0])
                    if not _is_authorised(got):
                        sock.sendall(_WHO)
                    elif callable(lie):
                        lie(sock)
                        return
                    else:
                        sock.sendall(lie if lie is not None else _plain(got.method))
                    reader = h11.Connection(h11.SERVER)
            except (h11.RemoteProtocolError, OSError) as error:
                if isinstance(error, h11.RemoteProtocolError):
                    self.misread.append(str(error))

    def _request(self, sock: socket.socket, reader: h11.Connection) -> h11.Request | None:
        request, body = None, b""
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA:
                piece = sock.recv(65536)
                reader.receive_data(piece)
                if not piece and request is None:
                    return None
            elif isinstance(event, h11.Request):
                request = event
                hasty = self.hasty.get(request.target.decode())
                if hasty is not None and _is_authorised(request):
                    hasty(sock)
                    return None
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                if _is_authorised(request):
                    self.requests.append((request, body))
                if reader.trailing_data[0]:
                    self.misread.append("bytes behind a request")
                return request
            else:
                return None


def _is_authorised(request: h11.Request) -> bool:
    return any(name == b"authorization" for name, _ in request.headers)


def _plain(method: bytes) -> bytes:
    if method == b"PROPFIND":
        return LISTING
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if method == b"HEAD" else b"ok")


@contextmanager
def double() -> Iterator[Double]:
    """The double, listening on a free port of the loopback, a thread a connection."""
    made = Double()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made.port = listening.getsockname()[1]

        def accept() -> None:
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=made.serve, args=(sock,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield made
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)
