"""Spans of bodies whose servers know no ranges."""

from collections.abc import AsyncGenerator

from connectors.http1.client import Response
from connectors.interface import Span, Unavailable


async def cut(answer: Response, span: Span) -> AsyncGenerator[bytes]:
    """The span out of a whole body; the rest is not waited for. Raises Unavailable if it ends before."""
    at = 0
    try:
        async for piece in answer.chunks():
            start, at = at, at + len(piece)
            stop = at if span.last is None else min(at, span.last + 1)
            if stop > max(start, span.first):
                yield piece[max(0, span.first - start) : stop - start]
            if span.last is not None and at > span.last:
                return
    finally:
        await answer.aclose()
    if at <= span.first:
        raise Unavailable("the file ended before the span began")
