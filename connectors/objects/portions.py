"""Content in portions, for stores that take it in several requests."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable


class Source:
    """Content, taken in portions. `ended` is true once the last byte was taken and the end was seen."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = aiter(chunks)
        self._rest = b""
        self.ended = False

    async def take(self, size: int) -> AsyncGenerator[bytes]:
        """The next `size` bytes as they come, fewer only at the end."""
        while size > 0 and await self.more():
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield piece

    async def fill(self, size: int) -> list[bytes]:
        """The next `size` bytes at once; sees the end where it is right after them."""
        pieces = [piece async for piece in self.take(size)]
        await self.more()
        return pieces

    async def more(self) -> bool:
        """Whether a byte is left; waits for it."""
        while not self._rest and not self.ended:
            try:
                self._rest = await anext(self._chunks)
            except StopAsyncIteration:
                self.ended = True
        return bool(self._rest)


async def replayed(pieces: Iterable[bytes]) -> AsyncGenerator[bytes]:
    """Pieces that were taken, as content."""
    for piece in pieces:
        yield piece


def total(pieces: Iterable[bytes]) -> int:
    """How many bytes they are together."""
    return sum(map(len, pieces))
