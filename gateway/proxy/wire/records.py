"""TLS connections that mitmproxy reads and writes in large pieces.

It asks pyOpenSSL for one record of 16 KiB at a time, each by way of 64 KiB of fresh memory. Here all that is
there comes at once, by way of one buffer that serves the whole process: what is read is taken out at once.
OpenSSL itself is given little at a time, since the memory that it takes for that stays with the connection.
"""

from typing import Any, Final

from OpenSSL import SSL

_SIZE: Final = 512 * 1024
_LARGEST_RECORD: Final = 16 * 1024
_SLICE: Final = 32 * 1024
_lib: Any = SSL._lib  # type: ignore[attr-defined]  # noqa: SLF001  pyOpenSSL has no public way to a buffer
_ffi: Any = SSL._ffi  # type: ignore[attr-defined]  # noqa: SLF001
_buffer: Any = _ffi.new("char[]", _SIZE)
_view = memoryview(_ffi.buffer(_buffer, _SIZE))


class Records:
    """A TLS connection as mitmproxy uses it: all else is pyOpenSSL's own."""

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection: Any = connection
        self._ended: int | None = None
        self._unread = memoryview(b"")
        self._unsent: list[bytes] = []
        # buffers of a connection that waits are given back: idle clients are many
        _lib.SSL_set_mode(self._connection._ssl, _lib.SSL_MODE_RELEASE_BUFFERS)  # noqa: SLF001

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def bio_write(self, data: bytes) -> None:
        """What came from the peer; mitmproxy then reads until there is no more, so nothing is left of it."""
        self._unread = memoryview(bytes(self._unread) + data) if self._unread else memoryview(data)
        self._give()

    def do_handshake(self) -> None:
        """As pyOpenSSL's, with all that has come."""
        while True:
            try:
                self._connection.do_handshake()
            except SSL.WantReadError:
                if not self._unread:
                    raise
                self._give()
            else:
                return

    def _give(self) -> None:
        self._connection.bio_write(self._unread[:_SLICE])
        self._unread = self._unread[_SLICE:]

    def recv(self, _mitmproxys_most: int) -> memoryview:
        """What can be read now, good until the next call of any. Raises pyOpenSSL's errors, as its own."""
        connection, got = self._connection, 0
        while self._ended is None and got <= _SIZE - _LARGEST_RECORD:
            read = _lib.SSL_read(connection._ssl, _buffer + got, _SIZE - got)  # noqa: SLF001
            if read > 0:
                got += read
            elif self._unread and _lib.SSL_get_error(connection._ssl, read) == _lib.SSL_ERROR_WANT_READ:  # noqa: SLF001
                self._give()
            else:
                self._ended = read
        if not got and self._ended is not None:
            ended, self._ended = self._ended, None
            connection._raise_ssl_error(connection._ssl, ended)  # noqa: SLF001
        return _view[:got]

    def bio_read(self, _mitmproxys_most: int) -> bytes:
        """What is to be sent now; raises WantReadError when there is nothing."""
        if self._unsent:
            sent, self._unsent = b"".join(self._unsent), []
            return sent
        return self._sealed()

    def _sealed(self) -> bytes:
        connection = self._connection
        got = _lib.BIO_read(connection._from_ssl, _buffer, _SIZE)  # noqa: SLF001
        if got <= 0:
            connection._handle_bio_errors(connection._from_ssl, got)  # noqa: SLF001
        return bytes(_view[:got])

    def sendall(self, data: bytes) -> None:
        """Seals what `bio_read` gives then; raises pyOpenSSL's errors as its own does."""
        rest = memoryview(data)
        while len(rest) > _SLICE:
            self._connection.sendall(rest[:_SLICE])
            self._unsent.append(self._sealed())
            rest = rest[_SLICE:]
        self._connection.sendall(rest)
        if self._unsent:
            self._unsent.append(self._sealed())
