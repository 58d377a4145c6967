"""A stream of the tunnel as an asyncio transport."""

import asyncio
from collections import deque
from typing import Any, Protocol

from connect_agent.protocol import Session

type Piece = bytes | memoryview


class Streams(Protocol):
    """Who keeps a session's streams, as a transport sees it: the carrier."""

    session: Session

    def wake(self) -> None:
        """There may be something to send."""

    def consumed(self, number: int, size: int) -> None:
        """The local end took bytes."""

    def leave(self, number: int) -> None:
        """The local end closed."""

    def forget(self, number: int) -> None:
        """The local end is gone."""


class TunnelTransport(asyncio.Transport):
    """A stream as an asyncio transport. Reading paused here stops the sender at the other end, by credit."""

    def __init__(self, carrier: Streams, number: int, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("tunnel", number)})
        self._carrier = carrier
        self._number = number
        self.set_protocol(protocol)
        self._limits: tuple[int, int] | None = None
        self._writing_paused = False
        self._reading = True
        self._held: deque[Piece] = deque()
        self._end_held = False
        self._finished = False
        self._over = False

    # what the local end calls

    def get_protocol(self) -> asyncio.Protocol:
        """The protocol that gets the bytes."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Gives the bytes to another one from now on."""
        assert isinstance(protocol, asyncio.Protocol)  # noqa: S101  asyncio's own transports assume it too
        self._protocol = protocol
        self._in_views = getattr(protocol, "takes_views", False)

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Queues bytes; the protocol is paused above the high mark."""
        if self._over or self._finished:
            return
        self._carrier.session.write(self._number, bytes(data))
        self._carrier.wake()
        self._check_room()

    def write_eof(self) -> None:
        """Ends our bytes; the peer's may still come."""
        if not self._finished and not self._over:
            self._finished = True
            self._carrier.session.finish(self._number)
            self._carrier.wake()

    def can_write_eof(self) -> bool:
        """Streams have half close."""
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The marks, in bytes, between which writing is paused and resumed; unset, the credit says."""
        if high is None:
            self._limits = None
        else:
            self._limits = (high // 4 if low is None else low, high)

    def get_write_buffer_size(self) -> int:
        """Bytes not yet sent."""
        return self._carrier.session.waiting(self._number)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high mark."""
        if self._limits is not None:
            return self._limits
        high = self._carrier.session.enough_waiting(self._number)
        return high // 4, high

    def room_to_write(self) -> int:
        """Bytes that may be written before writing is paused."""
        return max(0, self.get_write_buffer_limits()[1] - self.get_write_buffer_size())

    def is_reading(self) -> bool:
        """Whether bytes are passed on."""
        return self._reading and not self._over

    def pause_reading(self) -> None:
        """Holds what comes (at most a window); credit is given again when it is taken."""
        self._reading = False

    def resume_reading(self) -> None:
        """Passes on what was held."""
        if self._reading or self._over:
            return
        self._reading = True
        asyncio.get_running_loop().call_soon(self._release)

    def is_closing(self) -> bool:
        """Whether it is closed or ended."""
        return self._over or self._finished

    def close(self) -> None:
        """Sends what was written, ends our side, and stops listening."""
        if self._over:
            return
        if self._carrier.session.waiting(self._number) or not self._finished:
            self.write_eof()
        self._carrier.leave(self._number)
        self.ended(None)

    def abort(self) -> None:
        """Ends the stream at once, both ways."""
        if not self._over:
            self._carrier.session.reset(self._number)
            self._carrier.forget(self._number)
            self.ended(None)

    # what the carrier calls

    def begin(self) -> None:
        """The stream is open: the protocol is told, and gets what came meanwhile unless it pauses."""
        self._reading = True
        self._protocol.connection_made(self)
        if self._reading:
            asyncio.get_running_loop().call_soon(self._release)

    def arrived(self, data: Piece) -> None:
        """Bytes from the peer."""
        if self._reading and not self._held:
            self._pass_on(data)
        else:
            self._held.append(data)

    def peer_ended(self) -> None:
        """No more bytes from the peer."""
        if self._held or not self._reading:
            self._end_held = True
        elif not self._protocol.eof_received():
            self.close()

    def room(self) -> None:
        """The peer took bytes."""
        if self._writing_paused and self.get_write_buffer_size() <= self.get_write_buffer_limits()[0]:
            self._writing_paused = False
            self._protocol.resume_writing()

    def ended(self, error: Exception | None) -> None:
        """The stream is over."""
        if not self._over:
            self._over = True
            self._held.clear()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, error)

    def _pass_on(self, data: Piece) -> None:
        self._protocol.data_received(data if self._in_views else bytes(data))  # type: ignore[arg-type]  # it said so
        self._carrier.consumed(self._number, len(data))

    def _release(self) -> None:
        while self._held and self._reading and not self._over:
            self._pass_on(self._held.popleft())
        if self._end_held and self._reading and not self._held and not self._over:
            self._end_held = False
            if not self._protocol.eof_received():
                self.close()

    def _check_room(self) -> None:
        if not self._writing_paused and not self.room_to_write():
            self._writing_paused = True
            self._protocol.pause_writing()
