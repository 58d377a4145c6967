"""Copies: made by the store where it can, else streamed through us."""

import asyncio
import logging
from contextlib import aclosing, suppress

from connectors.interface import CanCopy, CanMakeFolders, Connector, Entry, Kind, StoreError, Unsupported

_log = logging.getLogger(__name__)
_PAGE = 500
_CLEAN_UP_WITHIN = 30.0


async def copy(connector: Connector, entry: Entry, parent: str, name: str) -> Entry:
    """The copy of a file or of a folder with its content, under a name that is free.

    Raises what the connector's `copy`, `read` and `write` raise; Unsupported for a folder where the store
    has none.
    """
    if isinstance(connector, CanCopy):
        try:
            return await connector.copy(entry.raw_id, parent, name)
        except Unsupported as lacking:
            # this store can't what its connector can: an SFTP server without copy-data
            _log.info("a copy is streamed", extra={"service": connector.name, "cause": lacking.message})
    if entry.kind is Kind.FILE:
        return await _file(connector, entry, parent, name)
    return await _folder(connector, entry, parent, name)


async def _file(connector: Connector, entry: Entry, parent: str, name: str) -> Entry:
    content = await connector.read(entry.raw_id, etag=entry.etag)
    async with aclosing(content.chunks) as chunks:  # type: ignore[type-var]  # generators, by contract
        return await connector.write(parent, name, chunks, size=content.entry.size, replace=False)


async def _folder(connector: Connector, entry: Entry, parent: str, name: str) -> Entry:
    """The name is there from the beginning; what breaks on the way takes the whole copy with it."""
    if not isinstance(connector, CanMakeFolders):
        raise Unsupported(f"the {connector.name} connector can't copy folders")
    made = await connector.mkdir(parent, name)
    try:
        await _content(connector, entry, made)
    except BaseException:
        await asyncio.shield(asyncio.ensure_future(_discard(connector, made)))
        raise
    return made


async def _content(connector: Connector, source: Entry, target: Entry) -> None:
    cursor = None
    while True:
        page = await connector.list(source.raw_id, cursor, _PAGE)
        for entry in page.entries:
            if entry.kind is Kind.FILE:
                await _file(connector, entry, target.raw_id, entry.name)
            else:
                assert isinstance(connector, CanMakeFolders)  # noqa: S101  it made the target
                below = await connector.mkdir(target.raw_id, entry.name)
                await _content(connector, entry, below)
        if (cursor := page.next_cursor) is None:
            return


async def _discard(connector: Connector, made: Entry) -> None:
    with suppress(StoreError, TimeoutError):
        async with asyncio.timeout(_CLEAN_UP_WITHIN):
            await connector.delete(made.raw_id, recursive=True)
