"""Connections to the archive, each lent to one verb at a time, and the threads that they are used in."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from connectors.interface import Unavailable
from isthmus_sqlar.archive import Archive
from isthmus_sqlar.errors import store_errors
from isthmus_sqlar.settings import SqlarSettings

_THREADS = 8


class Connections:
    """The account's connections and its own few threads: a slow disk holds up these and nothing else.

    Writers of this account wait for each other here, in a fair order and without a thread; those of other
    programs by SQLite's lock, at most for the idle deadline.
    """

    def __init__(self, settings: SqlarSettings, idle_timeout: float) -> None:
        self._settings = settings
        self._idle_timeout = idle_timeout
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="sqlar")
        self._writing = asyncio.Lock()
        self._open: set[Archive] = set()
        self._first: Archive | None = None
        self._closed = False

    async def prepare(self) -> None:
        """Tries the archive. The connection stays: when the last one goes, SQLite removes its log."""
        self._first = await self.opened()
        await self.run(self._first, self._first.prepare)

    async def use[T](self, act: Callable[[Archive], T]) -> T:
        """What `act` returns, in a thread, for a connection of its own."""
        archive = await self.opened()
        try:
            return await self.run(archive, lambda: act(archive))
        finally:
            self.release(archive)

    async def change[T](self, act: Callable[[Archive], T]) -> T:
        """As `use`, for one after the other."""
        async with self._writing:
            return await self.use(act)

    async def opened(self) -> Archive:
        """A connection for several runs; the caller releases it."""
        archive = Archive(self._settings, self._idle_timeout)
        self._open.add(archive)
        try:
            await self.run(archive, archive.open)
        except BaseException:
            self.release(archive)
            raise
        return archive

    def release(self, archive: Archive) -> None:
        """Closes a connection that no thread is using; nothing if that was done."""
        self._open.discard(archive)
        archive.close()

    async def run[T](self, archive: Archive | None, act: Callable[[], T]) -> T:
        """`act` in a thread. When cancelled it stops the archive, and ends when the thread has let it go."""
        if self._closed:
            raise Unavailable("the account was closed")
        with store_errors():
            running = asyncio.get_running_loop().run_in_executor(self._pool, act)
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                if archive is not None:
                    archive.stop()
                while not running.done():  # however often it is cancelled: the thread may be in SQLite
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([running])
                raise

    async def aclose(self) -> None:
        """Stops what is running, then closes every connection."""
        self._closed = True
        others = self._open - {self._first}
        for archive in others:
            archive.stop()
        await asyncio.to_thread(self._pool.shutdown)
        for archive in others:
            self.release(archive)
        if self._first is not None:  # never stopped: SQLite would not tidy up with a connection that was
            await asyncio.to_thread(self._first.close)
