"""TLS with a store, spoken by the proxy: says it when the store ended it over a client certificate.

mitmproxy logs an alert that comes after the handshake, and goes on as if the store had only gone away.
"""

from typing import Any

from mitmproxy.proxy import layer
from mitmproxy.proxy.layers import tls as tls_layers
from OpenSSL import SSL

from connectors.http1.errors import of_reason
from gateway.proxy.wire.records import Records


class StoreRecords(Records):
    """A TLS connection to a store; `refusal` is "" unless a client certificate was what ended it."""

    refusal = ""

    def do_handshake(self) -> None:
        """As any connection's."""
        try:
            super().do_handshake()
        except SSL.Error as error:
            self._note(error)
            raise

    def recv(self, most: int) -> memoryview:
        """As any connection's."""
        try:
            return super().recv(most)
        except SSL.Error as error:
            self._note(error)
            raise

    def _note(self, error: SSL.Error) -> None:
        """PyOpenSSL's errors are tuples of library, function and reason, but for those that ask to wait."""
        for _, _, reason in error.args[0] if error.args and isinstance(error.args[0], list) else ():
            if (refused := of_reason(reason)) is not None:
                self.refusal = refused.message


class StoreTLS(tls_layers.ServerTLSLayer):
    """Puts the refusal into the connection's `error`, where whoever tells the client looks for it."""

    def receive_handshake_data(self, data: bytes) -> Any:
        """Whether the handshake is over, and why it failed."""
        done, wrong = yield from super().receive_handshake_data(data)
        return done, (self._refusal() if wrong else None) or wrong

    def receive_data(self, data: bytes) -> layer.CommandGenerator[None]:
        """Passes on what the store sent."""
        yield from super().receive_data(data)
        self.conn.error = self._refusal() or self.conn.error

    def _refusal(self) -> str:
        return self.tls.refusal if isinstance(self.tls, StoreRecords) else ""
