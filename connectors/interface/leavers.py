"""What a store makes for callers who leave before its answer is there: only that says how to take it back."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from connectors.interface.errors import StoreError

_FINISH_WITHIN = 5.0


class Leavers:
    """Keeps an account's requests that go on although nobody waits for them any more."""

    def __init__(self) -> None:
        self._left: set[asyncio.Future[None]] = set()

    async def made[T](
        self, make: Coroutine[Any, Any, T], undo: Callable[[T], Awaitable[object]] | None = None
    ) -> T:
        """What `make` returns; it raises what `make` does.

        When the caller is cancelled, that is raised at once, and `make` goes on to its end all the same. What
        it returns then is given to `undo`; a failure of either changes nothing.
        """
        making = asyncio.ensure_future(make)
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            self.go_on(_undone(making, undo))
            raise

    def go_on(self, act: Coroutine[Any, Any, None]) -> None:
        """Begins what nobody waits for, and which raises nothing."""
        left = asyncio.ensure_future(act)
        self._left.add(left)
        left.add_done_callback(self._left.discard)

    async def aclose(self) -> None:
        """Lets what goes on come to its end, for 5 seconds."""
        if self._left:
            await asyncio.wait(self._left, timeout=_FINISH_WITHIN)


async def _undone[T](making: asyncio.Future[T], undo: Callable[[T], Awaitable[object]] | None) -> None:
    with suppress(StoreError, TimeoutError):
        made = await making
        if undo is not None:
            await undo(made)
