"""The SFTP connector: one SSH connection an account, requests pipelined."""

import bisect
import mimetypes
import stat
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import ClassVar, Self

import asyncssh

from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    BadSpan,
    Capability,
    Connector,
    Content,
    Context,
    Entry,
    Held,
    InvalidName,
    Kind,
    NotAFolder,
    NotEmpty,
    NotFound,
    OutOfSpace,
    Page,
    Part,
    Permission,
    PreconditionFailed,
    Quota,
    Settings,
    Span,
    StoreError,
    Unsupported,
    Upload,
)
from connectors.interface.modes import Modes
from connectors.interface.paths import TEMPORARY, Parts, check_name, parent_of, split, temporary_name
from connectors.interface.staged import Staged, exactly
from connectors.sftp.content import pieces, write_all
from connectors.sftp.session import Session
from connectors.sftp.settings import SftpSettings
from connectors.sftp.tree import children, copy, name_of, remove_tree

type Grants = list[Permission]


class SftpConnector(Connector):
    """Files of one user on one SSH server, under the account's root."""

    name: ClassVar[str] = "sftp"
    friendly_name: ClassVar[str] = "SFTP"
    settings: ClassVar[type[Settings]] = SftpSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.MKDIR,
            Capability.MOVE,
            Capability.COPY,
            Capability.PARTS,
            Capability.PERMISSIONS,
            Capability.QUOTA,
        }
    )

    def __init__(self, settings: SftpSettings, context: Context) -> None:
        self._session = Session(settings, context)
        self._root = settings.root.rstrip("/")

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """Connects at the first verb."""
        assert isinstance(settings, SftpSettings)  # noqa: S101  the registry pairs them
        return cls(settings, context)

    async def aclose(self) -> None:
        """Closes the connection."""
        self._session.close()

    # verbs

    async def stat(self, raw_id: str) -> Entry:
        """The entry; links are not followed and read as not there."""
        parts = split(raw_id)
        sftp = await self._session.client()
        return _entry(parts, await self._session.wait(sftp.lstat(self._path(parts))))

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """Entries by name; the cursor is the last name of the page before."""
        parts = split(folder)
        if (await self.stat(folder)).kind is Kind.FILE:
            raise NotAFolder("this is a file, not a folder")
        sftp = await self._session.client()
        found = [e for e in await children(self._session, sftp, self._path(parts)) if _shown(e)]
        found.sort(key=name_of)
        first = 0 if cursor is None else bisect.bisect_right(found, cursor, key=name_of)
        entries = [_entry([*parts, name_of(e)], e.attrs) for e in found[first : first + limit]]
        return Page(entries, entries[-1].name if first + limit < len(found) else None)

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """One version: the file's facts are compared at the end with those at the beginning."""
        parts = split(raw_id)
        entry = await self.stat(raw_id)
        if entry.kind is Kind.FOLDER:
            raise NotAFolder("this is a folder, not a file")
        sftp = await self._session.client()
        file = await self._session.open(sftp, self._path(parts), "rb")
        try:
            entry = _entry(parts, await self._session.wait(file.stat()))
            if etag is not None and etag != entry.etag:
                raise PreconditionFailed("the file is another version now")
            size = entry.size or 0
            if span is not None and span.first >= size:
                raise BadSpan("the span starts at or after the file's end")
        except BaseException:
            await self._session.quietly(file.close())
            raise
        first = 0 if span is None else span.first
        end = size if span is None or span.last is None else min(span.last + 1, size)

        async def same() -> None:
            if _entry(parts, await self._session.wait(file.stat())).etag != entry.etag:
                raise PreconditionFailed("the file changed while it was read")

        read = pieces(self._session, sftp, file, first, end, same)
        return Content(entry, Held(read, lambda: self._session.quietly(file.close())))

    async def write(
        self,
        parent: str,
        name: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        replace: bool,
        etag: str | None = None,
    ) -> Entry:
        """Written beside under a hidden name, then renamed."""
        parts = split(parent)
        check_name(name)
        sftp = await self._session.client()
        temporary = self._path([*parts, temporary_name()])
        file = await self._session.open(sftp, temporary, "xb")
        try:
            try:
                await write_all(self._session, sftp, file, chunks)
            finally:
                await self._session.quietly(file.close())
            await self._give_name(sftp, temporary, [*parts, name], replace=replace, etag=etag)
        except BaseException as error:
            full = await self._full(error, sftp, parts)  # before there is room again
            await self._session.quietly(self._removed(temporary))
            if full:
                raise OutOfSpace("no room is left on the store") from error
            raise
        return await self.stat("/".join([*parts, name]))

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """Removes the entry; links inside a folder are removed, not followed."""
        parts = split(raw_id)
        entry = await self.stat(raw_id)
        sftp = await self._session.client()
        path = self._path(parts)
        if entry.kind is Kind.FILE:
            await self._session.wait(sftp.remove(path))
        elif recursive:
            await remove_tree(self._session, sftp, path)
        else:
            if await children(self._session, sftp, path):
                raise NotEmpty("the folder is not empty")
            await self._session.wait(sftp.rmdir(path))

    async def mkdir(self, parent: str, name: str) -> Entry:
        """The new folder."""
        parts = split(parent)
        check_name(name)
        sftp = await self._session.client()
        await self._named(sftp.mkdir(self._path([*parts, name])), [*parts, name])
        return await self.stat("/".join([*parts, name]))

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """The entry at its new place."""
        parts, to = split(raw_id), [*split(parent), name]
        check_name(name)
        await self.stat(raw_id)
        sftp = await self._session.client()
        rename = sftp.posix_rename if replace else sftp.rename
        await self._named(rename(self._path(parts), self._path(to)), to)
        return await self.stat("/".join(to))

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        """The copy, made by the server. Unsupported where it lacks copy-data (OpenSSH has it since 9.0)."""
        parts, to = split(raw_id), split(parent)
        check_name(name)
        if not parts:
            raise NotFound("the root can't be copied")
        if to[: len(parts)] == parts:
            raise InvalidName("a folder can't be put into itself")
        sftp = await self._session.client()
        if not sftp.supports_remote_copy:
            raise Unsupported("the store's SFTP server can't copy")
        await self.stat(raw_id)
        await self._check_target([*to, name], replace=False, etag=None)
        temporary = self._path([*to, temporary_name()])
        try:
            await copy(self._session, sftp, self._path(parts), temporary)
            await self._named(sftp.rename(temporary, self._path([*to, name])), [*to, name])
        except BaseException as error:
            full = await self._full(error, sftp, to)  # before there is room again
            await self._session.quietly(self._removed(temporary))
            if full:
                raise OutOfSpace("no room is left on the store") from error
            raise
        return await self.stat("/".join([*to, name]))

    # uploads in parts

    async def begin_upload(self, parent: str, name: str, *, size: int | None, replace: bool) -> Upload:
        """A hidden file in the folder, which takes each part at its place."""
        staged = Staged.begin(parent, name, replace=replace)
        sftp = await self._session.client()
        await self._check_target([*split(parent), name], replace=replace, etag=None)
        file = await self._session.open(sftp, self._hidden(staged), "xb")
        try:
            await self._session.wait(file.close())
        except BaseException:  # nobody will know of the upload
            await self._session.quietly(self._removed(self._hidden(staged)))
            raise
        return staged.upload()

    async def write_part(self, state: str, number: int, chunks: AsyncIterator[bytes], *, size: int) -> str:
        """The tag is the part's number of bytes."""
        staged = Staged.of(state)
        at = staged.offset(number, size)
        sftp = await self._session.client()
        file = await self._session.open(sftp, self._hidden(staged), "r+b")
        try:
            try:
                await write_all(self._session, sftp, file, exactly(chunks, size), at)
            finally:
                await self._session.quietly(file.close())
        except StoreError as error:
            if await self._full(error, sftp, split(staged.parent)):
                raise OutOfSpace("no room is left on the store") from error
            raise
        return str(size)

    async def complete_upload(self, state: str, parts: Sequence[Part]) -> Entry:
        """Gives the hidden file its name, as at the end of a write."""
        staged = Staged.of(state)
        size = staged.length(parts)
        sftp = await self._session.client()
        hidden, target = self._hidden(staged), [*split(staged.parent), staged.name]
        if ((await self._session.wait(sftp.lstat(hidden))).size or 0) < size:
            raise PreconditionFailed("a part of the upload was never written")
        await self._session.wait(sftp.truncate(hidden, size))
        await self._give_name(sftp, hidden, target, replace=staged.replace, etag=None)
        return await self.stat("/".join(target))

    async def abandon_upload(self, state: str) -> None:
        """Removes the hidden file."""
        sftp = await self._session.client()
        with suppress(NotFound):
            await self._session.wait(sftp.remove(self._hidden(Staged.of(state))))

    # who may, and how much

    async def permissions(self, raw_id: str) -> Grants:
        """The mode bits as grants (`connectors.interface.modes`); owner and group by number."""
        return (await self._modes(split(raw_id))).grants()

    async def set_permissions(self, raw_id: str, grants: Sequence[Permission], *, replace: bool) -> Grants:
        """Changes the mode bits; Unsupported for whom they don't know."""
        parts = split(raw_id)
        mode = (await self._modes(parts)).changed(grants, replace=replace)
        sftp = await self._session.client()
        await self._session.wait(sftp.chmod(self._path(parts), mode))
        return await self.permissions(raw_id)

    async def quota(self) -> Quota:
        """The room of the root's file system, where the server says (statvfs@openssh.com)."""
        sftp = await self._session.client()
        room = await self._session.wait(sftp.statvfs(self._path([])))
        return Quota(
            total=room.blocks * room.frsize,
            used=(room.blocks - room.bfree) * room.frsize,
            free=room.bavail * room.frsize,
        )

    async def _modes(self, parts: Parts) -> Modes:
        sftp = await self._session.client()
        facts = await self._session.wait(sftp.lstat(self._path(parts)))
        _entry(parts, facts)  # NotFound for a link
        if facts.permissions is None or facts.uid is None or facts.gid is None:
            raise Unsupported("the store does not say who may use its files")
        return Modes(facts.permissions, (str(facts.uid),), (str(facts.gid),))

    # names

    async def _give_name(
        self, sftp: asyncssh.SFTPClient, hidden: str, target: Parts, *, replace: bool, etag: str | None
    ) -> None:
        await self._check_target(target, replace=replace, etag=etag)
        rename = sftp.posix_rename if replace else sftp.rename
        await self._named(rename(hidden, self._path(target)), target)

    async def _check_target(self, parts: Parts, *, replace: bool, etag: str | None) -> None:
        try:
            there = await self.stat("/".join(parts))
        except NotFound:
            there = None
        if there is not None and (not replace or there.kind is Kind.FOLDER):
            raise AlreadyExists("the name is taken")
        if etag is not None and (there is None or there.etag != etag):
            raise PreconditionFailed("the file is another version now")

    async def _named(self, act: Awaitable[object], parts: Parts) -> None:
        """SFTP version 3 answers a taken name with nothing but "failure": look what is there."""
        try:
            await self._session.wait(act)
        except NotFound:
            raise
        except StoreError as error:
            try:
                await self.stat("/".join(parts))
            except StoreError:
                raise error from None
            raise AlreadyExists("the name is taken") from error

    async def _removed(self, path: str) -> None:
        """Removes a hidden file or folder, over a new connection where the old one broke."""
        sftp = await self._session.client()
        facts = await self._session.wait(sftp.lstat(path))
        if stat.S_ISDIR(facts.permissions or 0):
            await remove_tree(self._session, sftp, path)
        else:
            await self._session.wait(sftp.remove(path))

    async def _full(self, error: BaseException, sftp: asyncssh.SFTPClient, parts: Parts) -> bool:
        """Whether it came of a full disk: SFTP version 3 says no more than "failure" then."""
        if not isinstance(error, BadAnswer):
            return False
        with suppress(StoreError):
            facts = await self._session.wait(sftp.statvfs(self._path(parts)))
            return facts.bavail * facts.frsize < (sftp.limits.max_write_len or 32768)
        return False

    def _hidden(self, staged: Staged) -> str:
        return self._path([*split(staged.parent), staged.temporary])

    def _path(self, parts: Parts) -> str:
        below = "/".join(parts)
        if not self._root:
            return below or "."
        return f"{self._root}/{below}" if below else self._root


def _shown(entry: asyncssh.SFTPName) -> bool:
    mode = entry.attrs.permissions or 0
    ours = name_of(entry).startswith(TEMPORARY)
    return not ours and (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _entry(parts: Parts, facts: asyncssh.SFTPAttrs) -> Entry:
    mode = facts.permissions or 0
    is_folder = stat.S_ISDIR(mode) or not parts
    if not is_folder and not stat.S_ISREG(mode):
        raise NotFound("there is no such file or folder")
    name = parts[-1] if parts else ""
    return Entry(
        raw_id="/".join(parts),
        name=name,
        kind=Kind.FOLDER if is_folder else Kind.FILE,
        parent=parent_of(parts),
        size=None if is_folder else facts.size,
        modified=None if facts.mtime is None else datetime.fromtimestamp(facts.mtime, UTC),
        etag=None if is_folder else f"{facts.size or 0:x}-{facts.mtime or 0:x}",
        mime_type=None if is_folder else mimetypes.guess_type(name)[0],
    )
