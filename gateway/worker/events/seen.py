"""Which of an account's tracked entries a crawl has seen: a bit each."""

from collections.abc import Iterable, Iterator


class Seen:
    """A set of numbers from 1 on: an eighth of a byte each, up to the largest."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        """The entry with this number is there."""
        at, bit = divmod(number, 8)
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1 - len(self._bits)))
        self._bits[at] |= 1 << bit

    def missing(self, numbers: Iterable[int]) -> Iterator[int]:
        """Those of the numbers that were not seen."""
        return (number for number in numbers if number not in self)

    def __contains__(self, number: int) -> bool:
        at, bit = divmod(number, 8)
        return at < len(self._bits) and bool(self._bits[at] >> bit & 1)
