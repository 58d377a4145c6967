"""The account's logins: few, used again, given up when nobody needs them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from connectors.ftp.control import Control
from connectors.ftp.errors import Closing
from connectors.interface import BadCredential, Throttled, Unavailable

type Open = Callable[[], Awaitable[Control]]

_KEEP = 60.0  # servers and firewalls drop idle connections after some minutes, and tell nobody
_FRESH = 1.0
CLOSED = "the account is closed"


class Pool:
    """At most `most` control connections at a time; all but one may carry transfers.

    The one is for the looks and renames that go with transfers, and for everybody who does not transfer: so
    long transfers block nobody, and a copy from this account to itself can't wait for itself.

    A server may allow fewer: while it refuses one and others of ours are logged in, whoever wanted it waits
    for one of those; a minute later the server is asked again.
    """

    def __init__(self, open_control: Open, most: int, wait: float) -> None:
        self._open = open_control
        self._wait = wait
        self._slots = asyncio.Semaphore(most)
        self._transfers = asyncio.Semaphore(max(1, most - 1))
        self._idle: list[tuple[Control, asyncio.TimerHandle]] = []
        self._used: set[Control] = set()
        self._last_used: set[Control] = set()  # those of them that nobody is to use again
        self._given_up = 0  # how often those that stood were
        self._closed = False

    @asynccontextmanager
    async def control(self) -> AsyncIterator[Control]:
        """A login for some commands. Raises what opening one does, Throttled when all are busy for long."""
        control = await self._take()
        try:
            yield control
        finally:
            self._give_back(control)

    async def lease(self) -> "Lease":
        """A login for one transfer; raises as `control`."""
        await self._acquire(self._transfers)
        try:
            return Lease(self, await self._take())
        except BaseException:
            self._transfers.release()
            raise

    async def replace(self, control: Control) -> Control:
        """Another login in the place of a broken one. Raises what opening one does."""
        control.abort()
        new = self._alive(await self._opened())
        self._used.discard(control)
        self._last_used.discard(control)
        self._used.add(new)
        return new

    def end_transfer(self, control: Control) -> None:
        """Takes back what a lease had."""
        self._transfers.release()
        self._give_back(control)

    def log_in_anew(self) -> None:
        """Gives up the logins that stand: idle ones at once, others when they are given back."""
        for control, timer in self._idle:
            timer.cancel()
            control.leave()
        self._idle.clear()
        self._last_used |= self._used
        self._given_up += 1

    def close(self) -> None:
        """Closes every connection; what is under way fails."""
        self._closed = True
        self.log_in_anew()
        for control in self._used:
            control.abort()

    async def _take(self) -> Control:
        while True:
            await self._acquire(self._slots)
            try:
                control = self._alive(await self._reused() or await self._opened())
            except (BadCredential, Closing):  # servers say 421 or 530 to one login too many
                if not (self._used or self._idle):
                    self._slots.release()
                    raise
                asyncio.get_running_loop().call_later(_KEEP, self._slots.release)
                continue
            except BaseException:
                self._slots.release()
                raise
            self._used.add(control)
            return control

    async def _opened(self) -> Control:
        if self._closed:
            raise Unavailable(CLOSED)
        before = self._given_up
        control = await self._open()
        if before != self._given_up:
            self._last_used.add(control)
        return control

    def _alive(self, control: Control) -> Control:
        """The same, unless the account was closed while we waited for it."""
        if self._closed:
            control.abort()
            raise Unavailable(CLOSED)
        return control

    async def _reused(self) -> Control | None:
        """An idle connection that still answers; broken ones are dropped without a word."""
        for _ in range(2):  # in one turn the loop hears that a server is gone, in the next it tells
            await asyncio.sleep(0)
        while self._idle:
            control, timer = self._idle.pop()
            fresh = timer.when() - asyncio.get_running_loop().time() > _KEEP - _FRESH
            timer.cancel()
            try:
                if control.alive and (fresh or await control.answers()):
                    return control
            except BaseException:
                control.abort()
                raise
            control.abort()
        return None

    def _give_back(self, control: Control) -> None:
        again = control not in self._last_used
        self._used.discard(control)
        self._last_used.discard(control)
        self._slots.release()
        if self._closed or not (again and control.in_step and control.alive):
            control.abort()
            return
        timer = asyncio.get_running_loop().call_later(_KEEP, self._expire, control)
        self._idle.append((control, timer))

    def _expire(self, control: Control) -> None:
        self._idle = [one for one in self._idle if one[0] is not control]
        control.leave()

    async def _acquire(self, slots: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self._wait):
                await slots.acquire()
        except TimeoutError:
            raise Throttled("all of the account's connections to the store are busy", retry_after=1) from None


class Lease:
    """A login that one transfer has until it gives it back; doing so twice is no mistake."""

    def __init__(self, pool: Pool, control: Control) -> None:
        self.control = control
        self._pool: Pool | None = pool

    async def settled(self) -> Control:
        """The login after its transfer was broken off: another one if the server did not get over it."""
        control = self.control
        if not (control.in_step and control.alive) and not await control.settle():
            if self._pool is None:
                raise Unavailable(CLOSED)
            self.control = await self._pool.replace(control)
        return self.control

    def release(self) -> None:
        """Gives it back; it is closed unless it is in step."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.end_transfer(self.control)
