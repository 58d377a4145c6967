"""The bytes of one file, on a login and a data connection of their own."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Self

from connectors.ftp.control import Control
from connectors.ftp.data import DataConnection
from connectors.ftp.errors import LocalError
from connectors.ftp.pool import Lease
from connectors.interface import OutOfSpace, PreconditionFailed, StoreError

type Check = Callable[[Control], Awaitable[None]]

_CHANGED = "the file changed while it was read"


class Download(AsyncIterator[bytes]):
    """Bytes `first` to `end` (not included) of a file whose transfer has begun at `first`.

    The last piece is handed out after the server's word that all was sent and after `check`, which raises
    PreconditionFailed when the file is another version by then.
    """

    def __init__(self, lease: Lease, data: DataConnection, span: range, *, whole: bool, check: Check) -> None:
        self._lease = lease
        self._data = data
        self._left = len(span)
        self._whole = whole
        self._check = check
        self._done = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._done:
            raise StopAsyncIteration
        try:
            piece = await self._next()
        except BaseException:
            await self.aclose()
            raise
        if not self._left:
            self._done = True
            self._lease.release()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Gives up both connections at once, unless the file was read to its end."""
        if not self._done:
            self._done = True
            self._data.abort()
            self._lease.control.abort()
            self._lease.release()

    async def _next(self) -> bytes:
        piece = b""
        if self._left:
            told = await self._data.next_piece()
            if told is None:
                await self._lease.control.reply(226, 250)
                raise PreconditionFailed(_CHANGED)  # it ended before its size
            piece = told[: self._left]
            if self._whole and len(told) > self._left:
                raise PreconditionFailed(_CHANGED)
            self._left -= len(piece)
        if not self._left:
            await self._finish()
        return piece

    async def _finish(self) -> None:
        if self._whole:
            if await self._data.next_piece() is not None:
                raise PreconditionFailed(_CHANGED)
            self._data.abort()
            await self._lease.control.reply(226, 250)
        else:
            self._data.abort()
        await self._check(await self._lease.settled())


async def upload(control: Control, data: DataConnection, chunks: AsyncIterator[bytes]) -> int:
    """Sends the chunks; how many bytes, once the server says that it has them all.

    An error of `chunks` is passed on as it is. After any error the server may still owe a reply, see
    `Lease.settled`. Raises what the server's reply means, Unavailable when a connection breaks.
    """
    sent = 0
    try:
        async for chunk in chunks:
            if chunk:
                with _storing():
                    await _write(control, data, chunk)
                sent += len(chunk)
        data.finish()
        with _storing():
            await control.reply(226, 250)
    except BaseException:
        data.abort()
        raise
    return sent


async def _write(control: Control, data: DataConnection, chunk: bytes) -> None:
    try:
        await data.write(chunk)
    except StoreError as error:
        data.abort()
        raise await control.why(error) from error


@contextmanager
def _storing() -> Iterator[None]:
    """A full disk is 451 with vsftpd and ProFTPD, which means no more than "failed"."""
    try:
        yield
    except LocalError as error:
        raise OutOfSpace("the server failed to write: most likely no room is left on it") from error
