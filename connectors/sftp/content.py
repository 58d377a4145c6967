"""Bytes of open files: many requests under way, handed on in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import cast

import asyncssh

from connectors.interface import PreconditionFailed, StoreError
from connectors.sftp.session import Session

_IN_FLIGHT = 16
_STEP = 32 * 1024  # what every server takes (draft-ietf-secsh-filexfer-02, 3), where it names no limit


async def pieces(
    session: Session,
    sftp: asyncssh.SFTPClient,
    file: asyncssh.SFTPClientFile,
    first: int,
    end: int,
    same: Callable[[], Awaitable[None]],
) -> AsyncGenerator[bytes]:
    """The bytes from `first` up to `end`, by up to 16 reads at once. The file is closed at the end.

    Args:
        session: what the requests run on, with their deadline.
        sftp: knows the largest read.
        file: open for reading.
        first: where to begin.
        end: where to end: the offset of the first byte that is not wanted.
        same: awaited before the last piece; raises when the file changed.
    """
    step = sftp.limits.max_read_len or _STEP
    running: deque[asyncio.Task[bytes]] = deque()
    loop = asyncio.get_running_loop()
    asked = at = first
    try:
        while at < end:
            while asked < end and len(running) < _IN_FLIGHT:
                size = min(step, end - asked)
                running.append(loop.create_task(_exactly(session, file, asked, size)))
                asked += size
            piece = await running.popleft()
            at += len(piece)
            if at == end:
                await same()
            yield piece
    finally:
        await _stop(running)
        await session.quietly(file.close())


async def write_all(
    session: Session,
    sftp: asyncssh.SFTPClient,
    file: asyncssh.SFTPClientFile,
    chunks: AsyncIterator[bytes],
    at: int = 0,
) -> None:
    """Stores the chunks from the offset `at` on, by up to 16 writes at once.

    Returns when the last is answered; on any error none is under way any more.
    """
    running: deque[asyncio.Task[None]] = deque()
    loop = asyncio.get_running_loop()
    try:
        async for piece in _regrouped(chunks, sftp.limits.max_write_len or _STEP):
            running.append(loop.create_task(_put(session, file, piece, at)))
            at += len(piece)
            if len(running) >= _IN_FLIGHT:
                await running.popleft()
        while running:
            await running.popleft()
    finally:
        await _stop(running)


async def _put(
    session: Session, file: asyncssh.SFTPClientFile, piece: bytearray, at: int
) -> None:  # a coroutine of ours: a task that is cancelled before it began leaves asyncssh's unmade
    await session.wait(file.write(cast("bytes", piece), at))  # it copies what it is given, whatever it is


async def _regrouped(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytearray]:
    """The same bytes in pieces of `size`, the last one shorter.

    A write as large as the server takes costs as much as a small one, and OpenSSH takes 255 KiB where our
    chunks have 256: cut one by one, every second write would have 1 KiB.
    """
    held = bytearray()
    async for chunk in chunks:
        left = memoryview(chunk)
        while len(held) + len(left) >= size:
            taken = size - len(held)
            held += left[:taken]
            left = left[taken:]
            yield held
            held = bytearray()
        held += left
    if held:
        yield held


async def _exactly(session: Session, file: asyncssh.SFTPClientFile, offset: int, size: int) -> bytes:
    """`size` bytes at `offset`; a server may answer a read with fewer."""
    found: list[bytes] = []
    while size:
        piece = await session.wait(file.read(size, offset))
        if not piece:
            raise PreconditionFailed("the file changed while it was read")
        assert isinstance(piece, bytes)  # noqa: S101  opened as binary
        found.append(piece)
        offset += len(piece)
        size -= len(piece)
    return found[0] if len(found) == 1 else b"".join(found)


async def _stop[T](running: deque[asyncio.Task[T]]) -> None:
    for task in running:
        task.cancel()
    for task in running:
        with suppress(asyncio.CancelledError, StoreError):
            await task
