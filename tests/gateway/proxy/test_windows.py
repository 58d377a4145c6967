"""An HTTP/2 client that leaves a window shut stops the store's side of that stream, and no other stream."""

import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import h2.config
import h2.connection
import h2.events
import pytest

from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.test_attacks import opening
from tests.gateway.proxy.test_large import MIB, SIZE, resident
from tests.servers.apache import Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]


class Client:
    """HTTP/2 by hand: it opens no window unless told, but for the connection's."""

    def __init__(self, sock: ssl.SSLSocket, store: Apache) -> None:
        self._sock = sock
        self._authority = f"localhost:{store.port}"
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self._http.initiate_connection()
        self._http.increment_flow_control_window(512 * MIB)
        self._send()
        self.received: dict[int, int] = defaultdict(int)
        self.ended: set[int] = set()

    def get(self, path: str) -> int:
        """The stream's number."""
        stream = self._http.get_next_available_stream_id()
        head = {":method": "GET", ":scheme": "https", ":authority": self._authority, ":path": path}
        self._http.send_headers(stream, list(head.items()), end_stream=True)
        self._send()
        return stream

    def open_window(self, stream: int, more: int) -> None:
        self._http.increment_flow_control_window(more, stream)
        self._send()

    def read_until(self, done: Callable[[], bool]) -> None:
        while not done():
            for event in self._http.receive_data(self._sock.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    assert (b":status", b"200") in event.headers
                elif isinstance(event, h2.events.DataReceived):
                    self.received[event.stream_id] += len(event.data)
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended.add(event.stream_id)
            self._send()

    def _send(self) -> None:
        self._sock.sendall(self._http.data_to_send())


@contextmanager
def client(proxied: Proxied, account: Account, store: Apache) -> Iterator[Client]:
    trust = ssl.create_default_context(cafile=str(proxied.ca))
    trust.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", proxied.proxy_port), 30) as plain:
        plain.sendall(opening(account, store))
        assert plain.recv(65536).startswith(b"HTTP/1.1 200")
        with trust.wrap_socket(plain, server_hostname="localhost") as sock:
            assert sock.selected_alpn_protocol() == "h2"
            yield Client(sock, store)


def test_a_window_that_stays_shut(proxied: Proxied, account: Account, store: Apache) -> None:
    with (store.data / "large").open("wb") as file:
        file.truncate(SIZE)
    (store.data / "small").write_bytes(b"x" * 1000)
    with client(proxied, account, store) as program:
        small = program.get("/small")
        program.read_until(lambda: small in program.ended)
        before = resident(proxied)
        large = program.get("/large")
        program.read_until(lambda: program.received[large] == 65535)  # all that the window allows
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:  # as long as a store would take to send all of it
            assert resident(proxied) - before < 32 * MIB
            time.sleep(0.2)
        small = program.get("/small")
        program.read_until(lambda: small in program.ended)
        program.open_window(large, SIZE)
        program.read_until(lambda: large in program.ended)
        assert program.received[large] == SIZE
