"""Whole folders: removed and copied entry by entry, since SFTP itself knows neither."""

import posixpath
import stat
from contextlib import suppress

import asyncssh

from connectors.interface import NotFound, PreconditionFailed
from connectors.interface.paths import TEMPORARY
from connectors.sftp.session import Session

_SPAN = 32 * 1024 * 1024
"""Bytes a copy-data request: what a slow disk copies well within any idle deadline."""


async def children(session: Session, sftp: asyncssh.SFTPClient, path: str) -> list[asyncssh.SFTPName]:
    """Everything in the folder but `.` and `..`, links and unfinished uploads included."""
    return [e for e in await session.wait(sftp.readdir(path)) if name_of(e) not in (".", "..")]


async def remove_tree(session: Session, sftp: asyncssh.SFTPClient, path: str) -> None:
    """Removes the folder with all that is in it; links are removed, not followed.

    Raises NotFound when it is not there; what somebody else removes from it meanwhile is no error.
    """
    for entry in await children(session, sftp, path):
        below = posixpath.join(path, name_of(entry))
        with suppress(NotFound):
            if stat.S_ISDIR(entry.attrs.permissions or 0):
                await remove_tree(session, sftp, below)
            else:
                await session.wait(sftp.remove(below))
    await session.wait(sftp.rmdir(path))


async def copy(session: Session, sftp: asyncssh.SFTPClient, source: str, target: str) -> None:
    """Copies a file or folder on the server (copy-data, draft-ietf-secsh-filexfer-extensions-00, 7).

    Links, devices and unfinished uploads inside a folder are left out. Modes go along as far as the server's
    umask allows. An error leaves what was copied so far.
    """
    facts = await session.wait(sftp.lstat(source))
    mode = facts.permissions or 0
    if stat.S_ISDIR(mode):
        # the copy has to be filled by us, whatever the original's owner may do
        await session.wait(
            sftp.mkdir(target, asyncssh.SFTPAttrs(permissions=stat.S_IMODE(mode) & 0o777 | 0o700))
        )
        for entry in await children(session, sftp, source):
            kind = entry.attrs.permissions or 0
            if not name_of(entry).startswith(TEMPORARY) and (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
                below, new = (posixpath.join(folder, name_of(entry)) for folder in (source, target))
                await copy(session, sftp, below, new)
    elif stat.S_ISREG(mode):
        await _copy_file(session, sftp, source, target, stat.S_IMODE(mode) & 0o777)
    else:
        raise NotFound("there is no such file or folder")


async def _copy_file(
    session: Session, sftp: asyncssh.SFTPClient, source: str, target: str, mode: int
) -> None:
    original = await session.open(sftp, source, "rb")
    try:
        attrs = asyncssh.SFTPAttrs(permissions=mode)
        new = await session.open(sftp, target, "xb", attrs)
        try:
            before = await session.wait(original.stat())
            size = before.size or 0
            for at in range(0, size, _SPAN):
                await session.wait(sftp.remote_copy(original, new, at, min(_SPAN, size - at), at))
            after = await session.wait(original.stat())
            if (after.size, after.mtime) != (before.size, before.mtime):
                raise PreconditionFailed("the file changed while it was copied")
        finally:
            await session.quietly(new.close())
    finally:
        await session.quietly(original.close())


def name_of(entry: asyncssh.SFTPName) -> str:
    """The entry's name; bytes that are no UTF-8 as surrogates."""
    name = entry.filename
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
