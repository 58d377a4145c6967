"""Whole trees: copied on the server's side, and removed. Links are neither copied nor followed."""

import asyncio
import secrets
from contextlib import suppress

from connectors.interface import NotEmpty, NotFound, StoreError
from connectors.interface.paths import TEMPORARY
from connectors.smb import transfer
from connectors.smb.messages import CREATE, FILE, Access, Facts, Sharing
from connectors.smb.names import Place
from connectors.smb.share import Share


async def copy_tree(source: Share, path: str, target: Share, folder: Place, to: Place) -> None:
    """Copies a folder with everything in it under a hidden name first, which is then renamed.

    Raises AlreadyExists, NotFound. On any error, cancellation included, the hidden folder is removed.
    """
    hidden = folder.child(TEMPORARY + secrets.token_hex(16))
    try:
        await _copy_below(source, path, target, hidden)
        await target.rename(hidden.path, to.path, replace=False)
    except BaseException:
        with suppress(StoreError):
            await asyncio.shield(asyncio.ensure_future(remove_tree(target, hidden.path)))
        raise


async def remove_tree(share: Share, path: str) -> None:
    """Removes an entry with everything in it. Raises NotEmpty for what the server does not list."""
    waiting = [path]
    emptied: set[str] = set()
    while waiting:
        at = waiting[-1]
        try:
            await share.remove(at)
            waiting.pop()
        except NotFound:
            if len(waiting) == 1:
                raise
            waiting.pop()  # somebody else was faster
        except NotEmpty:
            if at in emptied:
                raise
            emptied.add(at)
            for facts in await _entries(share, at):
                below = f"{at}\\{facts.name}" if at else facts.name
                if facts.is_folder and not facts.is_link:
                    waiting.append(below)
                else:
                    with suppress(NotFound):
                        await share.remove(below)


async def _copy_below(source: Share, path: str, target: Share, to: Place) -> None:
    waiting = [(path, to)]
    while waiting:
        at, copied = waiting.pop()
        await target.make_folder(copied.path)
        for facts in await _entries(source, at):
            if facts.is_link or facts.name.startswith(TEMPORARY):
                continue
            below, into = f"{at}\\{facts.name}" if at else facts.name, copied.child(facts.name)
            if facts.is_folder:
                waiting.append((below, into))
            else:
                await _copy_file(source, below, target, into.path)


async def _copy_file(source: Share, path: str, target: Share, to: str) -> None:
    async with (
        source.opened(path, Access.READ, Sharing.ALL, options=FILE) as original,
        target.opened(to, Access.WRITE, Sharing.NOTHING, CREATE, FILE) as copied,
    ):
        await transfer.copy(original, copied)


async def _entries(share: Share, path: str) -> list[Facts]:
    async with share.folder(path) as folder:
        return [facts async for facts in share.entries(folder)]
