"""Requests at the same time, a few of them; a failure of one is raised as it is, not in a group."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from connectors.interface import StoreError

_AT_ONCE = 8


async def for_each[T](items: Iterable[T], act: Callable[[T], Awaitable[None]]) -> None:
    """`act` on each, eight at a time. The first error ends the others."""
    waiting = iter(items)

    async def one_after_another() -> None:
        for item in waiting:
            await act(item)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(one_after_another())
    except* StoreError as failed:
        raise _first(failed) from None


async def answers[T, R](items: Iterable[T], ask: Callable[[T], Awaitable[R]]) -> list[R]:
    """What `ask` says of each, in their order."""
    numbered = list(enumerate(items))
    found: dict[int, R] = {}

    async def one(item: tuple[int, T]) -> None:
        found[item[0]] = await ask(item[1])

    await for_each(numbered, one)
    return [found[number] for number, _ in numbered]


def _first(failed: BaseExceptionGroup[StoreError]) -> StoreError:
    first = failed.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
