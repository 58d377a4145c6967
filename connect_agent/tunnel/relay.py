"""Two connections as one: what comes in here goes out there, at the pace of the slower."""

import asyncio
from typing import ClassVar, cast

from connect_agent.tunnel.transport import TunnelTransport

_SMALLEST_READ = 16 * 1024


class RelayEnd(asyncio.Protocol):
    """One end of a pair. A full buffer here stops reading there; an end there is a half close here.

    The end that is made first is alone until `begin`: it stops reading, and keeps what comes all the same.
    uvloop starts to read after `connection_made`, whatever that asked for, and many stores speak first.
    """

    takes_views: ClassVar[bool] = True
    """Told to TunnelTransport: a view of the message will do, no copy is needed."""
    transport: asyncio.Transport

    def __init__(self, peer: "RelayEnd | None" = None) -> None:
        self.peer = peer
        self._early: list[bytes] = []
        self._begun = peer is not None
        self.ended = False
        self.lost = False

    def begin(self) -> None:
        """Both ends stand: bytes may flow. An end that was lost in between takes the other with it."""
        self._begun = True
        early, self._early = self._early, []
        if self.peer is not None:
            for data in early:
                self.peer.transport.write(data)
            if self.ended and not self.lost:
                self.peer.finish()
        if self.lost and self.peer is not None:
            self.peer.transport.close()
        elif not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport; waits with reading unless the peer is there."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own do not inherit from it
        if self.peer is None:
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Bytes go to the other end as they are."""
        if self.peer is not None and self._begun:
            self.peer.transport.write(data)
        else:
            self._early.append(data)
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Passed on as a half close; this end stays open for what still comes the other way."""
        self.ended = True
        if self.peer is not None and self._begun and not self.peer.transport.is_closing():
            self.peer.finish()
            if self.peer.ended:
                self.peer.transport.close()
                self.transport.close()
        return True

    def finish(self) -> None:
        """No more bytes will be written here: a half close."""
        self.transport.write_eof()

    def pause_writing(self) -> None:
        """Full here: no more reading there."""
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """Room again."""
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed here closes there, after what was already written; broken here breaks there."""
        self.lost = True
        if self.peer is None or self.peer.lost or not hasattr(self.peer, "transport"):
            return
        if exc is None:
            self.peer.transport.close()
        else:
            self.peer.transport.abort()


class SocketEnd(RelayEnd, asyncio.BufferedProtocol):
    """The end on a socket, that reads no more than its stream may soon send: the rest stays in the kernel.

    Args:
        buffer: what the socket is read into; one serves every end of a loop, as a read is taken out at once.
    """

    def __init__(self, buffer: bytearray) -> None:
        super().__init__()
        self._view = memoryview(buffer)

    def get_buffer(self, sizehint: int) -> memoryview:
        """As much of the buffer as the stream has room for."""
        other = self.peer.transport if self.peer is not None else None
        room = other.room_to_write() if isinstance(other, TunnelTransport) else len(self._view)
        return self._view[: max(_SMALLEST_READ, room)]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes go to the other end."""
        self.data_received(bytes(self._view[:nbytes]))
