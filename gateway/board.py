"""What the api processes tell each other at once: a page of memory that they share.

The supervisor makes it and hands it down, so it outlives each of them. One word of it changes whenever what
is remembered about callers may be wrong; each process has one more, with how many connections it holds. A
word is written and read whole, by whoever likes: nobody waits, and a process that is killed holds no lock.
"""

import mmap
import os
import secrets
from collections.abc import Sequence
from typing import Final, Self

_SIZE: Final = mmap.PAGESIZE


class Board:
    """The shared words, behind the descriptor of their memory."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._words = memoryview(mmap.mmap(descriptor, _SIZE)).cast("Q")

    @classmethod
    def make(cls) -> Self:
        """A new one, all zero, in anonymous memory: no file, nothing that a full disk could break."""
        descriptor = os.memfd_create("isthmus board")
        os.ftruncate(descriptor, _SIZE)
        return cls(descriptor)

    @property
    def version(self) -> int:
        """What it was before something changed, it never is again: a look-up of then says nothing now."""
        return self._words[0]

    def change(self) -> None:
        """Call it once a change can be seen in the database. At random: two at once lose neither."""
        self._words[0] = secrets.randbits(64)

    def holds(self, number: int, connections: int) -> None:
        """Process `number`, from 1, has so many connections now."""
        self._words[number] = connections

    def held_by_others(self, number: int, of: int) -> Sequence[int]:
        """How many each of the other processes has, as far as it has told."""
        return [self._words[one] for one in range(1, of + 1) if one != number]
