"""Request bodies as they come in: piece by piece, never faster than whoever takes them."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from gateway.api.call import Call
from gateway.api.errors import ApiError
from gateway.api.parameters import object_of, value_of

_MOST_JSON = 1024 * 1024


async def pieces(call: Call) -> AsyncGenerator[bytes, None]:
    """The body's bytes in order, in pieces of any size; nothing for an empty one.

    Raises ApiError when the client goes away before the last byte, or stands still for `idle_timeout`
    seconds: whatever was being written from it must not look whole.
    """
    idle = call.parts.settings.idle_timeout
    while True:
        try:
            async with asyncio.timeout(idle):
                message = await call.receive()
        except TimeoutError:
            raise ApiError(
                408, "timeout", f"body: nothing came for {idle:g} seconds", headers={"Connection": "close"}
            ) from None
        if message["type"] == "http.disconnect":
            raise ApiError(400, "bad_request", "body: ended before its last byte")
        if piece := message.get("body"):
            yield piece
        if not message.get("more_body"):
            return


async def json_object(call: Call) -> dict[str, Any]:
    """The body as a JSON object of at most 1 MiB."""
    return object_of(await _json(call), "body")


async def json_value(call: Call) -> Any:
    """The body as JSON of any type, of at most 1 MiB."""
    return value_of(await _json(call), "body")


async def _json(call: Call) -> bytes:
    received, size = [], 0
    async for piece in pieces(call):
        received.append(piece)
        size += len(piece)
        if size > _MOST_JSON:
            raise ApiError(413, "too_large", "body: JSON may have at most 1 MiB")
    return b"".join(received)
