"""Blocking calls on the disk, in a small pool of threads that none of them outlives by accident."""

import asyncio
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

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

    async def run[T](self, act: Callable[[], T]) -> T:
        """What `act` returns, its OSError as a connector's.

        When the caller is cancelled, a call that has begun is waited for: it may use what the caller closes
        next. A thread that is stuck (TimedOut) is left to itself.
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
                job.cancel()
                raise TimedOut("the folder did not answer in time") from None
            except asyncio.CancelledError:
                await self._left(job)
                raise

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


def _for_a_moment(steps: Iterator[None]) -> bool:
    """Takes some steps, at least one; False when there are none left."""
    until = time.monotonic() + _MOMENT
    return any(time.monotonic() >= until for _ in steps)
