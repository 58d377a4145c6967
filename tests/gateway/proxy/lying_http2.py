"""A double of a store with HTTP/2 and TLS, which says whatever a test wants."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events
from hyperframe.frame import Frame

from tests.gateway.proxy.speaking import Double
from tests.servers.certificates import certificate

type Answer = Callable[["Http2Store", int, dict[bytes, bytes]], None]


class Http2Store:
    """A double of a store with HTTP/2 and TLS: it answers by path what the test says, true or not."""

    def __init__(self, listening: socket.socket, context: ssl.SSLContext, ca: Path) -> None:
        self.ca = ca
        self.port = listening.getsockname()[1]
        self.url = f"https://localhost:{self.port}/"
        self.answers: dict[str, Answer] = {}
        self.takes = True
        self._listening, self._context = listening, context
        self.connection: h2.connection.H2Connection

    def run(self) -> None:
        """Serves connections, each in a thread, until the listening socket is closed."""
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def flush(self) -> None:
        """Sends what there is."""
        self._tls.sendall(self.connection.data_to_send())

    def say(self, *frames: Frame) -> None:
        """Sends frames as they are, whatever h2 would have to say of them."""
        self._tls.sendall(self.connection.data_to_send() + b"".join(one.serialize() for one in frames))

    def _serve(self, sock: socket.socket) -> None:
        try:
            with self._context.wrap_socket(sock, server_side=True) as tls:
                if tls.selected_alpn_protocol() != "h2":
                    self._serve_http1(tls)
                    return
                self._tls = tls
                self._serve_http2(tls)
        except OSError:
            pass

    def _serve_http1(self, tls: ssl.SSLSocket) -> None:
        Double().serve(tls)

    def _serve_http2(self, tls: ssl.SSLSocket) -> None:
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.connection = one = h2.connection.H2Connection(config)
        one.initiate_connection()
        self.flush()
        while data := tls.recv(65536):
            for event in one.receive_data(data):
                self._take(one, event)
            tls.sendall(one.data_to_send())

    def _take(self, one: h2.connection.H2Connection, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            fields = dict(event.headers)
            answer = self.answers.get(fields[b":path"].decode(), say_ok)
            answer(self, event.stream_id, fields)
        elif isinstance(event, h2.events.DataReceived) and self.takes:
            one.acknowledge_received_data(event.flow_controlled_length, event.stream_id)


def say_ok(store: Http2Store, stream: int, _: dict[bytes, bytes]) -> None:
    store.connection.send_headers(stream, [(b":status", b"200"), (b"content-length", b"2")])
    store.connection.send_data(stream, b"ok", end_stream=True)


@contextmanager
def lying_store(folder: Path) -> Iterator[Http2Store]:
    """The double, on a free port of the loopback."""
    ca = folder / "ca.pem"
    ca.write_text(certificate(folder))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        store = Http2Store(listening, context, ca)
        thread = threading.Thread(target=store.run, daemon=True)
        thread.start()
        yield store
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)
