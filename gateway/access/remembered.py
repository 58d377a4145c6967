"""A small memory for look-ups: each answer is kept for a moment, and asked for once at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable


class _Kept[V]:
    """One answer, when it ends, of which version it is, and who is asking for the next one."""

    __slots__ = ("lock", "until", "value", "version")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.until = float("-inf")
        self.version = 0
        self.value: V | None = None


class Remembered[K: Hashable, V]:
    """Answers by key, None included, for `ttl` seconds from the moment each was asked for.

    Args:
        ttl: seconds; what changed in the database is seen after that long at the latest.
        most: keys; when there would be more, all are forgotten, which costs one query each.
        clock: seconds, monotonic.
        version: of what is asked; an answer of another one counts no more.
    """

    def __init__(
        self,
        ttl: float,
        most: int,
        clock: Callable[[], float] = time.monotonic,
        version: Callable[[], int] = lambda: 0,
    ) -> None:
        self._ttl = ttl
        self._most = most
        self._clock = clock
        self._version = version
        self._kept: dict[K, _Kept[V]] = {}

    async def find(self, key: K, ask: Callable[[], Awaitable[V | None]]) -> V | None:
        """What `ask` says, or said a moment ago. Who comes while it is being asked waits for it."""
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= self._most:
                self._kept.clear()
            kept = self._kept[key] = _Kept()
        elif kept.until > self._clock() and kept.version == self._version():
            return kept.value
        async with kept.lock:
            asked, version = self._clock(), self._version()
            if kept.until <= asked or kept.version != version:
                kept.value = await ask()
                kept.until, kept.version = asked + self._ttl, version
            return kept.value

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self) -> None:
        """Drops every answer: something changed in this process."""
        self._kept.clear()
