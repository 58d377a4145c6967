"""Blocking calls on the disk, in a small pool of threads that none of them outlives by accident."""

import asyncio
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from connectors.interface import StoreError, TimedOut, Unavailable
from connectors.local.confined import disk_errors

_THREADS = 8
_MOMENT = 0.05  # seconds of a generator's steps in one thread before the pool is asked again


class Threads:
    """The pool of one account. `idle_timeout`: seconds that one call may take before TimedOut."""

    def __init__(self, idle_timeout: float) -> None:
        self._idle_timeout = idle_timeout
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="local")

    def close(self) -> None:
        """Lets the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run[T](self, act: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """What `act` returns, its OSError as a connector's.

        When the caller is cancelled, a call that has begun is waited for: it may use what the caller closes
        next. A thread that is stuck (TimedOut) is left to itself. What `act` returns when its caller is gone
        is given to `undo`, which closes it.
        """
        try:
            job = self._pool.submit(act)
        except RuntimeError:
            raise Unavailable("the account was closed meanwhile") from None
        with disk_errors():
            try:
                async with asyncio.timeout(self._idle_timeout):
                    return await asyncio.shield(asyncio.wrap_future(job))
            except TimeoutError:
                _leave(job, undo)
                raise TimedOut("the folder did not answer in time") from None
            except asyncio.CancelledError:
                try:
                    await self._left(job)
                finally:
                    _leave(job, undo)
                raise

    async def close_up(self, act: Callable[[], object]) -> None:
        """Runs what closes and removes, whose failure changes nothing, although its caller may be cancelled.

        Returns when it is done; it is left to itself when it is stuck.
        """
        try:
            job = self._pool.submit(act)
        except RuntimeError:  # the account was closed meanwhile
            with suppress(OSError):
                act()
            return
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._idle_timeout):
                await asyncio.shield(asyncio.wrap_future(job))

    async def exhaust(self, steps: Generator[None]) -> None:
        """Takes every step of a generator of blocking steps, each within the idle deadline.

        On any error, cancellation included, the generator is closed before that is passed on; one that is
        stuck (TimedOut) closes itself when it comes back to life.
        """
        try:
            while await self.run(lambda: _for_a_moment(steps)):
                pass
        except TimedOut:
            raise
        except BaseException:
            with suppress(StoreError):
                await self.run(steps.close)
            raise

    async def _left[T](self, job: Future[T]) -> None:
        if not job.cancel():
            await asyncio.wait([asyncio.wrap_future(job)], timeout=self._idle_timeout)


def _leave[T](job: Future[T], undo: Callable[[T], object] | None) -> None:
    """Nobody wants the job's result: now or, when it is stuck, ever."""
    if not job.cancel() and undo is not None:
        job.add_done_callback(partial(_undone, undo))


def _undone[T](undo: Callable[[T], object], job: Future[T]) -> None:
    if job.exception() is None:
        with suppress(OSError):
            undo(job.result())


def _for_a_moment(steps: Iterator[None]) -> bool:
    """Takes some steps, at least one; False when there are none left."""
    until = time.monotonic() + _MOMENT
    return any(time.monotonic() >= until for _ in steps)
