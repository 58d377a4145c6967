"""Transfers: reads that survive a lost connection, writes that find a free name."""

import asyncio
import logging
import posixpath
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    BadSpan,
    Chunks,
    Connector,
    Content,
    Entry,
    Held,
    Kind,
    NotFound,
    Span,
    Unavailable,
)
from gateway.operations import Conflict

_log = logging.getLogger(__name__)
_MOST_NAMES = 1000


async def open_reading(
    connector: Connector,
    raw_id: str,
    *,
    first: int | None,
    last: int | None,
    suffix: int | None,
    etag: str | None,
    resume_within: float,
) -> tuple[Entry, int, int | None, Chunks]:
    """The version that was opened, the span's first byte, its length (None: not known), and the bytes.

    Raises what `Connector.read` raises; NotAFolder for folders.
    """
    if suffix is not None:
        entry = await connector.stat(raw_id)
        if not entry.size or not suffix:
            raise BadSpan("the file has no such bytes")
        first, last, etag = max(0, entry.size - suffix), None, etag or entry.etag
    span = None if first is None else Span(first, last)
    content = await connector.read(raw_id, span, etag=etag)
    start = first or 0
    length = _length(content.entry, start, last)
    resumed = _resumed(connector, content, start, length, resume_within)
    return content.entry, start, length, Held(resumed, content.chunks.aclose)


def _length(entry: Entry, first: int, last: int | None) -> int | None:
    if entry.size is None:
        return None
    end = entry.size if last is None else min(last + 1, entry.size)
    return max(0, end - first)


async def _resumed(
    connector: Connector, content: Content, first: int, length: int | None, resume_within: float
) -> AsyncGenerator[bytes]:
    """The content's bytes; after a break the same version again, reopened at the offset.

    Raises PreconditionFailed when the file changed meanwhile: two versions are never mixed.
    """
    done = 0
    while True:
        try:
            async with aclosing(content.chunks) as chunks:
                async for chunk in chunks:
                    done += len(chunk)
                    yield chunk
            if length is not None and done != length:
                raise BadAnswer("the store sent another number of bytes than it said")
            return
        except Unavailable as broken:
            if content.entry.etag is None:
                raise
            _log.info("a read broke and is resumed", extra={"offset": first + done, "cause": broken.message})
            content = await _reopened(
                connector, content.entry, first + done, length, done, resume_within, broken
            )


async def _reopened(
    connector: Connector,
    entry: Entry,
    offset: int,
    length: int | None,
    done: int,
    resume_within: float,
    broken: Unavailable,
) -> Content:
    if length is not None and done == length:
        return Content(entry, _nothing())
    last = None if length is None else offset + (length - done) - 1
    pause = 0.1
    try:
        async with asyncio.timeout(resume_within):
            while True:
                try:
                    return await connector.read(entry.raw_id, Span(offset, last), etag=entry.etag)
                except Unavailable:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 2.0)
    except TimeoutError:
        raise broken from None


async def _nothing() -> AsyncGenerator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk


async def write(
    connector: Connector,
    parent: str,
    name: str,
    chunks: AsyncIterator[bytes],
    *,
    size: int | None,
    conflict: Conflict,
) -> tuple[Entry, bool]:
    """The new file, and whether the name was free before. Raises AlreadyExists for `Conflict.ERROR`."""
    settled, replace = await place(connector, parent, name, conflict)
    return await connector.write(parent, settled, chunks, size=size, replace=replace), not replace


async def place(connector: Connector, parent: str, name: str, conflict: Conflict) -> tuple[str, bool]:
    """The name to write under, and whether that replaces a file. Raises AlreadyExists."""
    taken = await find(connector, parent, name)
    if taken is None:
        return name, False
    if conflict is Conflict.ERROR or (conflict is Conflict.REPLACE and taken.kind is Kind.FOLDER):
        raise AlreadyExists(f"the name {name!r} is taken")
    if conflict is Conflict.REPLACE:
        return name, True
    return await free_name(connector, parent, name), False


async def find(connector: Connector, parent: str, name: str) -> Entry | None:
    """The entry of that name in the folder, or None."""
    try:
        return await connector.child(parent, name)
    except NotFound:
        return None


async def free_name(connector: Connector, parent: str, name: str) -> str:
    """The first of `a (1).txt`, `a (2).txt`, ... that nobody has; at most 255 bytes long."""
    stem, suffix = posixpath.splitext(name)
    for number in range(1, _MOST_NAMES):
        mark = f" ({number}){suffix}"
        room = 255 - len(mark.encode("utf-8", "surrogateescape"))
        candidate = stem.encode("utf-8", "surrogateescape")[:room].decode("utf-8", "ignore") + mark
        if await find(connector, parent, candidate) is None:
            return candidate
    raise AlreadyExists(f"the name {name!r} and {_MOST_NAMES} like it are taken")
