"""One stream: what was sent and not yet consumed, what was received, and the credit both ways.

Offsets count bytes from the stream's start. A FIN takes one place behind the last byte: it is acknowledged
like a byte, so that an end knows when nothing is left that a broken websocket could have lost.
"""

from collections import deque

from connect_agent.protocol.errors import OurFault, PeerFault
from connect_agent.protocol.frames import LARGEST_DATA, Credit, Data, Fin, Row

FIRST_WINDOW = 128 * 1024
LEAST_WAITING = 64 * 1024
LARGEST_WINDOW = 32 * 1024 * 1024
# Round trips that a window covers (one on its way, one to acknowledge, the rest to grow), and seconds of the
# stream's rate that may wait beside them. What waits makes the others wait: with company there is less of it,
# yet more than 4/3 trips, since a quarter of the window is consumed before credit is given.
_ALONE = (2.5, 0.002)
_SHARED = (1.6, 0.0003)
# A stream of which half a window comes in a trip is held up by it: alone, it tries four times as much.
# What the next look says is still of the former window, so less is believed when it is said twice.
_HELD_UP, _GROWTH = 0.5, 4
_SHORTEST_LOOK = 0.01  # seconds that a rate is measured over, unless a round trip is longer


class Stream:
    """The state of one stream at one end. Knows no time but what it is given."""

    def __init__(self, number: int, host: str = "", port: int = 0) -> None:
        self.number = number
        self.host = host
        self.port = port
        self.opened = False
        # sending
        self._unacked: deque[bytes] = deque()
        self._unsent: deque[bytes] = deque()
        self.waiting = 0  # bytes written and not yet sent
        self._acked = 0
        self._sent = 0
        self._limit = FIRST_WINDOW
        self._fin_wanted = False
        self._fin_sent = False
        # receiving
        self.received = 0
        self.consumed = 0
        self.window = FIRST_WINDOW
        self._granted = FIRST_WINDOW
        self._fin_received = False
        self._credit_due = False
        self._mark: tuple[int, float] | None = None
        self._less_wanted = False

    # sending

    def write(self, data: bytes) -> None:
        """Queues bytes. Raises OurFault behind `finish`."""
        if self._fin_wanted:
            raise OurFault("bytes behind the end of a stream")
        self.waiting += len(data)
        if 0 < len(data) <= LARGEST_DATA:
            self._unsent.append(data)
        else:  # cut once: what is sent of a long piece would copy all of its rest, each time
            self._unsent.extend(data[at : at + LARGEST_DATA] for at in range(0, len(data), LARGEST_DATA))

    def finish(self) -> None:
        """Queues the end; a second time changes nothing."""
        self._fin_wanted = True

    @property
    def sendable(self) -> bool:
        """Whether `next_frame` has something."""
        if self._unsent:
            return self._sent < self._limit
        return self._fin_wanted and not self._fin_sent

    @property
    def enough_waiting(self) -> int:
        """Bytes that are enough to have waiting: half the peer's window, within 64 KiB and a frame."""
        return min(LARGEST_DATA, max(LEAST_WAITING, (self._limit - self._acked) // 2))

    def next_frame(self, largest: int) -> Data | Fin:
        """The next piece of at most `largest` bytes, or the end. Only when `sendable`."""
        if not self._unsent:
            self._fin_sent = True
            self._sent += 1
            return Fin(self.number)
        piece = self._unsent.popleft()
        room = min(largest, self._limit - self._sent)
        if len(piece) > room:
            self._unsent.appendleft(piece[room:])
            piece = piece[:room]
        elif len(piece) < 16384 and self._unsent:
            piece = self._joined(piece, room)
        self._unacked.append(piece)
        self._sent += len(piece)
        self.waiting -= len(piece)
        return Data(self.number, piece)

    def _joined(self, piece: bytes, room: int) -> bytes:
        """Small writes travel together: a frame costs more than its bytes."""
        pieces, size = [piece], len(piece)
        while self._unsent and size + len(self._unsent[0]) <= room:
            pieces.append(self._unsent.popleft())
            size += len(pieces[-1])
        return b"".join(pieces)

    def credited(self, consumed: int, window: int) -> None:
        """The peer consumed up to an offset and takes a window more. Raises PeerFault for what can't be."""
        if not self._acked <= consumed <= self._sent:
            raise PeerFault("a CREDIT for bytes that were never sent, or going back")
        if window > LARGEST_WINDOW:
            raise PeerFault("a window over 32 MiB")
        self._acknowledge(consumed)
        self._limit = max(self._limit, consumed + window)

    def _acknowledge(self, consumed: int) -> None:
        left = consumed - self._acked
        self._acked = consumed
        while left and self._unacked:
            piece = self._unacked[0]
            if len(piece) > left:
                self._unacked[0] = piece[left:]
                return
            left -= len(piece)
            self._unacked.popleft()

    # receiving

    def take(self, size: int) -> None:
        """Counts bytes that came. Raises PeerFault beyond the credit or behind the end."""
        if self._fin_received:
            raise PeerFault("DATA behind FIN")
        if self.received + size > self._granted:
            raise PeerFault("DATA beyond the credit")
        self.received += size

    def take_fin(self) -> None:
        """Counts the peer's end. Raises PeerFault for a second one."""
        if self._fin_received:
            raise PeerFault("a second FIN")
        self._fin_received = True
        self.received += 1
        if self.consumed == self.received - 1:
            self._consume_fin()

    def consume(self, size: int) -> None:
        """The local end took bytes. Raises OurFault for more than came."""
        self.consumed += size
        if self.consumed > self.received:
            raise OurFault("more bytes consumed than came")
        if self._fin_received and self.consumed == self.received - 1:
            self._consume_fin()
        elif self.consumed + self.window - self._granted >= self.window // 4:
            self._credit_due = True

    def _consume_fin(self) -> None:
        self.consumed += 1
        self._credit_due = True

    def wanted_window(self, now: float, round_trip: float, *, shared: bool = False) -> int | None:
        """The window for the rate at which the local end takes bytes; None until a new rate is known.

        As long as the window is what limits the rate it grows with each round trip; a slow reader's
        shrinks to the first one. `shared`: other streams carry bytes too.
        """
        if self._mark is None:
            self._mark = (self.consumed, now)
            return None
        offset, since = self._mark
        took = now - since
        if took < max(round_trip, _SHORTEST_LOOK):
            return None
        self._mark = (self.consumed, now)
        rate = (self.consumed - offset) / took
        trips, queue = _SHARED if shared else _ALONE
        wanted = int(rate * (trips * round_trip + queue))
        if not shared and rate * round_trip >= _HELD_UP * self.window:
            wanted = max(wanted, _GROWTH * self.window)
        wanted = max(FIRST_WINDOW, min(wanted, LARGEST_WINDOW))
        if wanted < self.window and not shared and not self._less_wanted:
            self._less_wanted = True
            return None
        self._less_wanted = False
        return wanted

    @property
    def credit_due(self) -> bool:
        """Whether a CREDIT is to be sent."""
        return self._credit_due

    def credit(self) -> Credit:
        """The CREDIT that is due."""
        self._credit_due = False
        self._granted = max(self._granted, self.consumed + self.window)
        return Credit(self.number, self.consumed, self.window)

    # both

    @property
    def done(self) -> bool:
        """Whether both ends finished, and neither needs anything more from the other."""
        everything_acked = self._fin_sent and self._acked == self._sent and not self._unsent
        return (
            everything_acked
            and self._fin_received
            and self.consumed == self.received
            and not self._credit_due
        )

    @property
    def ended_well(self) -> bool:
        """Whether both ends sent all they had, so that a peer that forgot the stream had it all."""
        return self._fin_sent and self._fin_received

    # resuming

    def row(self) -> Row:
        """What the peer must know to go on; it counts as CREDIT."""
        self._credit_due = False
        self._granted = max(self._granted, self.consumed + self.window)
        return Row(self.number, self.opened, self.received, self.consumed, self.window)

    def rewind(self, row: Row) -> None:
        """Goes back to what the peer has: what it lacks is sent again. Raises PeerFault for what can't be."""
        if not self._acked <= row.consumed <= row.received <= self._sent:
            raise PeerFault("RESUME with offsets that can't be")
        self.credited(row.consumed, row.window)
        if row.received == self._sent:
            return
        if self._fin_sent:
            self._fin_sent = False
            self._sent -= 1
        again = self._sent - row.received
        while again > 0:
            piece = self._unacked.pop()
            if len(piece) > again:
                self._unacked.append(piece[: len(piece) - again])
                piece = piece[len(piece) - again :]
            self._unsent.appendleft(piece)
            self.waiting += len(piece)
            again -= len(piece)
        self._sent = row.received
