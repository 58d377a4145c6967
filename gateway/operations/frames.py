"""Questions and answers on one connection between a process of ours and a worker, as bytes.

A frame is a head of 13 bytes (kind, number, length of the JSON, length of the body; big endian), JSON, and a
body of bytes that a few questions have. Each question has a number of its own; answers come in any order.
No I/O is here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

_HEAD = struct.Struct(">BIII")


class Kind(IntEnum):
    """What a frame is.

    Attributes:
        QUESTION: `{"operation", "arguments", "request"}`, and a body.
        CANCEL: nobody waits for the answer any more; it has no JSON.
        ANSWER: what the operation answers.
        FAILED: a `StoreError` (`errors.to_json`).
        BROKEN: the worker failed; it has no JSON.
    """

    QUESTION = 1
    CANCEL = 2
    ANSWER = 3
    FAILED = 4
    BROKEN = 5


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    kind: int
    number: int
    json: bytes = b""
    body: bytes = b""

    def written(self) -> bytes:
        """Its bytes."""
        return b"".join(
            (_HEAD.pack(self.kind, self.number, len(self.json), len(self.body)), self.json, self.body)
        )


class Frames:
    """Frames out of the pieces in which they come.

    Args:
        longest: bytes of a frame that are taken.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._come = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now. Raises ValueError for one that is too long."""
        self._come += data
        while len(self._come) >= _HEAD.size:
            kind, number, length, more = _HEAD.unpack_from(self._come)
            if length + more > self._longest:
                raise ValueError(f"a frame of {length + more} bytes")
            middle = _HEAD.size + length
            if len(self._come) < middle + more:
                return
            with memoryview(self._come) as view:
                json, body = bytes(view[_HEAD.size : middle]), bytes(view[middle : middle + more])
            del self._come[: middle + more]
            yield Frame(kind, number, json, body)
