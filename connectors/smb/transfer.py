"""Bytes of an open file: up to four requests of 1 MiB under way, in order, and no more in memory."""

from collections import deque
from collections.abc import AsyncIterator
from typing import Self

from connectors.interface import CHUNK, BadAnswer, PreconditionFailed
from connectors.smb import messages
from connectors.smb.errors import END_OF_FILE, SUCCESS, refusal
from connectors.smb.share import Handle
from connectors.smb.wire import Call

_AT_A_TIME = 4
_COPIED_AT_A_TIME = 16  # pieces of 1 MiB a request: the limit of Windows ([MS-SMB2] 3.3.3) and of Samba


class Reading:
    """The bytes of an open file from `first` up to `end`, in pieces of at most 256 KiB.

    Closes the handle at the end, on an error, and by `aclose`, whether or not it was begun. Raises
    PreconditionFailed before the last piece when the file was written to meanwhile.
    """

    def __init__(self, handle: Handle, first: int, end: int) -> None:
        self._handle = handle
        self._asked = self._at = first
        self._end = end
        self._running: deque[tuple[int, int, Call]] = deque()  # offset, size, call
        self._piece = memoryview(b"")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            if not self._piece:
                await self._refill()
        except BaseException:
            await self.aclose()
            raise
        chunk, self._piece = self._piece[:CHUNK], self._piece[CHUNK:]
        return bytes(chunk)

    async def aclose(self) -> None:
        """Gives the file up."""
        self._end = self._at = 0
        self._piece = memoryview(b"")
        for _, _, call in self._running:
            call.forget()
        self._running.clear()
        await self._handle.aclose()

    async def _refill(self) -> None:
        if self._at >= self._end:
            raise StopAsyncIteration
        while self._asked < self._end and len(self._running) < _AT_A_TIME:
            size = min(self._handle.share.piece, self._end - self._asked)
            self._running.append((self._asked, size, self._handle.read(self._asked, size)))
            self._asked += size
        offset, size, call = self._running.popleft()
        (answer,) = await call
        if answer.status == END_OF_FILE:
            raise _changed()
        if answer.status != SUCCESS:
            raise refusal(answer.status)
        piece = messages.got(answer.body)
        if not 0 < len(piece) <= size:
            raise BadAnswer("the store answered a read with another size")
        if len(piece) < size:  # a server may answer with less: ask for the rest, and have it first
            offset, size = offset + len(piece), size - len(piece)
            self._running.appendleft((offset, size, self._handle.read(offset, size)))
        self._at += len(piece)
        if self._at == self._end and not self._handle.facts.same_bytes(await self._handle.close_with_facts()):
            raise _changed()
        self._piece = piece


async def store(handle: Handle, chunks: AsyncIterator[bytes], offset: int = 0) -> int:
    """Writes every chunk from the offset on; how many bytes that was. An error of `chunks` is passed on."""
    running: deque[tuple[int, Call]] = deque()
    waiting = bytearray()
    at = offset
    full = handle.share.piece

    def send(size: int) -> None:
        nonlocal at
        running.append((size, handle.write(at, bytes(waiting[:size]))))
        del waiting[:size]
        at += size

    try:
        async for chunk in chunks:
            waiting += chunk
            while len(waiting) >= full:
                if len(running) == _AT_A_TIME:
                    await _settle(*running.popleft())
                send(full)
        if waiting:
            send(len(waiting))
        while running:
            await _settle(*running.popleft())
    finally:
        for _, call in running:
            call.forget()
    return at - offset


async def copy(source: Handle, target: Handle) -> None:
    """Has the server copy the whole file. Raises Unsupported, PreconditionFailed (it changed meanwhile)."""
    key = bytes(await source.control(messages.RESUME_KEY, b"", 32))[:24]
    size, piece = source.facts.size, source.share.piece
    ranges = [(offset, min(piece, size - offset)) for offset in range(0, size, piece)]
    for first in range(0, len(ranges), _COPIED_AT_A_TIME):
        await target.copy_from(key, ranges[first : first + _COPIED_AT_A_TIME])
    if not source.facts.same_bytes(await source.close_with_facts()):
        raise _changed()


async def _settle(size: int, call: Call) -> None:
    (answer,) = await call
    if answer.status != SUCCESS:
        raise refusal(answer.status)
    if messages.stored(answer.body) != size:
        raise BadAnswer("the store kept only a part of what was written")


def _changed() -> PreconditionFailed:
    return PreconditionFailed("the file changed while it was read")
