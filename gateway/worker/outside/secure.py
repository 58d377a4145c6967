"""Both ends of a connection on which the worker speaks TLS with a store, and the native proxy plain HTTP/1.1.

With TLS 1.3 a store refuses a client's certificate after the handshake (RFC 8446, 4.4.2.4), when the proxy
has its socket already. Then the worker, which is a gateway here, answers the request in the store's place.
"""

import asyncio
from typing import Final

from connect_agent.tunnel import RelayEnd
from connectors.http1.errors import refused_certificate

_TAKEN_WITHIN: Final = 10.0
"""Seconds in which the proxy is to ask, and to take the answer, once the store refused."""


class SecureEnd(RelayEnd):
    """The end at a store with which we speak TLS. There asyncio has no half close: an end is the end."""

    _has_answered = False

    def data_received(self, data: bytes) -> None:
        """From here on the store's own answers are under way."""
        self._has_answered = True
        super().data_received(data)

    def eof_received(self) -> bool:
        """Closes, after what came before was passed on."""
        self.ended = True
        return False

    def finish(self) -> None:
        """The proxy is done; it waits for no answer behind its end."""
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """As any end, unless the store refused the account's certificate: that is told."""
        refusal = refused_certificate(exc)
        if refusal is None or self._has_answered or not isinstance(self.peer, ProxyEnd):
            super().connection_lost(exc)
        else:
            self.peer.answer(refusal.message)


class ProxyEnd(RelayEnd):
    """The end at the proxy."""

    _has_asked = False
    _refusal = ""

    def answer(self, why: str) -> None:
        """Answers what the proxy asked, or will ask, in the store's place."""
        self._refusal = why
        asyncio.get_running_loop().call_later(_TAKEN_WITHIN, self._drop)
        if self._has_asked:
            self._say()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request go to the store; where it refused us, the first of them are answered here."""
        if not self._refusal:
            self._has_asked = True
            super().data_received(data)
        elif not self._has_asked:
            self._has_asked = True
            self._say()

    def eof_received(self) -> bool:
        """The proxy is done, also with our own answer."""
        return super().eof_received() if not self._refusal else False

    def _say(self) -> None:
        """Stays open until the proxy closes: else what it still sends would break it before it has read."""
        body = f"isthmus proxy: {self._refusal}\n".encode()
        head = (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        if not self.transport.is_closing():
            self.transport.write(head.encode() + body)

    def _drop(self) -> None:
        if hasattr(self, "transport"):  # else it was never connected
            self.transport.abort()
