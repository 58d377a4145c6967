"""An answer's head and what follows it at once, sent together.

uvicorn writes the head by itself, and uvloop sends what is written as it is written: two system calls for
each small answer, two packets, and a client that wakes for the head alone.
"""

import asyncio
from typing import Protocol


class Writable(Protocol):
    """What is needed of a transport."""

    def write(self, data: bytes) -> None:
        """Sends it, after what was written before."""

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        """Sends all of them, in one go where the system takes it."""

    def is_closing(self) -> bool:
        """Whether nothing is sent any more."""

    def close(self) -> None:
        """Closes it once all is sent."""


class Together:
    """A transport, for one exchange: its first write waits for the second, one round of the loop at most."""

    def __init__(self, transport: Writable) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._begun = False
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Keeps the first, sends it with the second; sends all that follow."""
        if not self._begun:
            self._begun, self._head = True, data
            asyncio.get_running_loop().call_soon(self.flush)
        elif self._head is not None:
            head, self._head = self._head, None
            self._transport.writelines((head, data))
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Sends what is kept, if anything is."""
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)

    def close(self) -> None:
        """Closes the transport, behind what was written."""
        self.flush()
        self._transport.close()
