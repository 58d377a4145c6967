"""What stands on the server under a hidden name: put there, and removed when nobody wants it any more.

A server may get to a request after the removal of what it makes, so a removal waits for the request's answer
where one will come, and is said again where none does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from connectors.interface import StoreError, TimedOut, Unavailable
from connectors.webdav.answers import done
from connectors.webdav.server import Server

_WITHIN = 10.0
_AGAIN = (0.1, 0.4)
"""Seconds between removals of an upload whose request broke."""


async def put(server: Server, target: str, chunks: AsyncIterator[bytes], size: int | None) -> None:
    """Puts a whole file there; nothing is left of one that failed. Raises what the request and `chunks` do.

    When the caller is cancelled, it ends at once, but for its last byte: then its answer is waited for by
    nobody, and what the server has made is removed.
    """
    sent, is_whole = 0, False

    async def told() -> AsyncIterator[bytes]:
        nonlocal sent, is_whole
        async for chunk in chunks:
            sent += len(chunk)
            is_whole = sent == size
            yield chunk
        is_whole = True

    async def ask() -> None:
        await done(await server.request("PUT", target, body=told(), length=size), 200, 201, 204)

    asking = asyncio.ensure_future(ask())
    try:
        await asyncio.shield(asking)
    except asyncio.CancelledError:
        if not is_whole:
            asking.cancel()
        server.leavers.go_on(_removed_after(asking, server, target))
        raise
    except BaseException as error:
        removed = await discard(server, target)
        if not removed and isinstance(error, Unavailable | TimedOut):
            server.leavers.go_on(_remove_again(server, target))
        raise


async def discard(server: Server, target: str) -> bool:
    """Removes it; whether there was any. Runs on although its caller is cancelled."""
    return await asyncio.shield(asyncio.ensure_future(remove(server, target)))


async def remove(server: Server, target: str) -> bool:
    """As `discard`, for who is not cancelled."""
    with suppress(StoreError, TimeoutError):
        async with asyncio.timeout(_WITHIN):
            answer = await server.request("DELETE", target)
            await answer.aclose()
            return answer.status < 300
    return False


async def _removed_after(asking: "asyncio.Future[None]", server: Server, target: str) -> None:
    await asyncio.wait([asking], timeout=_WITHIN)
    answered = asking.done() and not asking.cancelled() and asking.exception() is None
    asking.cancel()
    if not await remove(server, target) and not answered:
        await _remove_again(server, target)


async def _remove_again(server: Server, target: str) -> None:
    for pause in _AGAIN:
        await asyncio.sleep(pause)
        if await remove(server, target):
            return
