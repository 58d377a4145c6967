"""The local connector: a folder of the gateway's machine, or whatever is mounted there."""

import bisect
import mimetypes
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import ClassVar, Self

from connectors.interface import (
    CHUNK,
    AlreadyExists,
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
    NotFound,
    Page,
    Part,
    Permission,
    PreconditionFailed,
    Quota,
    Settings,
    Span,
    Upload,
)
from connectors.interface.paths import check_name, parent_of, split
from connectors.interface.staged import Staged, exactly
from connectors.local.confined import Tree
from connectors.local.copying import copying
from connectors.local.newfile import NewFile
from connectors.local.owners import modes
from connectors.local.settings import LocalSettings
from connectors.local.threads import Threads

type Grants = list[Permission]


class LocalConnector(Connector):
    """Files under one folder. Links are neither listed nor followed, wherever they lead.

    Every call runs in a thread of the connector's own small pool: a dead mount blocks these and nothing else.
    """

    name: ClassVar[str] = "local"
    friendly_name: ClassVar[str] = "Local folder"
    settings: ClassVar[type[Settings]] = LocalSettings
    on_gateway: ClassVar[bool] = True
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

    def __init__(self, settings: LocalSettings, idle_timeout: float) -> None:
        self._tree = Tree(settings.root)
        self._threads = Threads(idle_timeout)

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """Ready at once; a folder that is missing shows at the first verb."""
        assert isinstance(settings, LocalSettings)  # noqa: S101  the registry pairs them
        return cls(settings, context.idle_timeout)

    async def aclose(self) -> None:
        """Lets the threads go."""
        self._threads.close()

    async def stat(self, raw_id: str) -> Entry:
        """The entry; NotFound for links, devices and anything outside."""
        parts = split(raw_id)
        return _entry(parts, await self._threads.run(lambda: self._tree.stat(parts)))

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """Entries by name; the cursor is the last name of the page before."""
        parts = split(folder)
        if not stat.S_ISDIR((await self._threads.run(lambda: self._tree.stat(parts))).st_mode):
            raise NotAFolder("this is a file, not a folder")
        found = await self._threads.run(lambda: sorted(self._tree.entries(parts), key=_name))
        first = 0 if cursor is None else bisect.bisect_right(found, cursor, key=_name)
        entries = [_entry([*parts, name], facts) for name, facts in found[first : first + limit]]
        more = first + limit < len(found)
        return Page(entries, entries[-1].name if more else None)

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """One version from beginning to end: a change while it is read is PreconditionFailed."""
        parts = split(raw_id)
        if not parts:
            raise NotAFolder("this is a folder, not a file")
        file, facts = await self._threads.run(
            lambda: _opened(self._tree, parts), lambda opened: os.close(opened[0])
        )
        try:
            entry = _entry(parts, facts)
            if etag is not None and etag != entry.etag:
                raise PreconditionFailed("the file is another version now")
            first = 0 if span is None else span.first
            end = facts.st_size if span is None or span.last is None else min(span.last + 1, facts.st_size)
            if span is not None and first >= facts.st_size:
                raise BadSpan("the span starts at or after the file's end")
        except BaseException:
            await self._threads.close_up(lambda: os.close(file))
            raise
        reading = _Reading(self._threads, file, entry, first, end)
        return Content(entry, Held(reading.chunks(), reading.aclose))

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
        """Written beside under a hidden name, then given its own in one step."""
        parts = split(parent)
        check_name(name)
        new = await self._threads.run(
            lambda: NewFile.create(self._tree, parts), lambda made: made.close(discard=True)
        )
        kept = False
        try:
            async for chunk in chunks:
                await self._threads.run(lambda chunk=chunk: new.write(chunk))  # type: ignore[misc]  # bound now on purpose
            facts = await self._threads.run(lambda: _commit(new, name, replace, etag))
            kept = True
        finally:
            await self._threads.close_up(lambda: new.close(discard=not kept))
        return _entry([*parts, name], facts)

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """Removes the entry."""
        parts = split(raw_id)
        await self._threads.run(lambda: self._tree.remove(parts, recursive=recursive))

    async def mkdir(self, parent: str, name: str) -> Entry:
        """The new folder."""
        parts = split(parent)
        check_name(name)
        await self._threads.run(lambda: self._tree.mkdir(parts, name))
        return await self.stat("/".join([*parts, name]))

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """The entry at its new place."""
        parts, to = split(raw_id), split(parent)
        if not parts:
            raise NotFound("the root can't be moved")
        check_name(name)
        await self._threads.run(lambda: self._tree.move(parts, to, name, replace=replace))
        return await self.stat("/".join([*to, name]))

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        """The copy, made by the kernel; links inside a folder are left out."""
        parts, to = split(raw_id), split(parent)
        if not parts:
            raise NotFound("the root can't be copied")
        check_name(name)
        if to[: len(parts)] == parts:
            raise InvalidName("a folder can't be put into itself")
        await self._threads.exhaust(copying(self._tree, parts, to, name))
        return await self.stat("/".join([*to, name]))

    # uploads in parts

    async def begin_upload(self, parent: str, name: str, *, size: int | None, replace: bool) -> Upload:
        """A hidden file in the folder, which takes each part at its place."""
        staged = Staged.begin(parent, name, replace=replace)
        await self._threads.run(lambda: _begin(self._tree, staged), lambda _: _abandon(self._tree, staged))
        return staged.upload()

    async def write_part(self, state: str, number: int, chunks: AsyncIterator[bytes], *, size: int) -> str:
        """The tag is the part's number of bytes."""
        staged = Staged.of(state)
        at = staged.offset(number, size)
        new = await self._threads.run(
            lambda: _reopened(self._tree, staged), lambda opened: opened.close(discard=False)
        )
        try:
            async for chunk in exactly(chunks, size):
                await self._threads.run(lambda chunk=chunk, at=at: new.write_at(chunk, at))  # type: ignore[misc]  # bound now on purpose
                at += len(chunk)
        finally:
            await self._threads.close_up(lambda: new.close(discard=False))
        return str(size)

    async def complete_upload(self, state: str, parts: Sequence[Part]) -> Entry:
        """Gives the hidden file its name, as at the end of a write."""
        staged = Staged.of(state)
        size = staged.length(parts)
        facts = await self._threads.run(lambda: _complete(self._tree, staged, size))
        return _entry([*split(staged.parent), staged.name], facts)

    async def abandon_upload(self, state: str) -> None:
        """Removes the hidden file."""
        staged = Staged.of(state)
        with suppress(NotFound):
            await self._threads.run(lambda: _abandon(self._tree, staged))

    # who may, and how much

    async def permissions(self, raw_id: str) -> Grants:
        """The mode bits as grants (`connectors.interface.modes`)."""
        parts = split(raw_id)
        return modes(await self._threads.run(lambda: self._tree.stat(parts))).grants()

    async def set_permissions(self, raw_id: str, grants: Sequence[Permission], *, replace: bool) -> Grants:
        """Changes the mode bits; Unsupported for whom they don't know."""
        parts = split(raw_id)
        before = modes(await self._threads.run(lambda: self._tree.stat(parts)))
        mode = before.changed(grants, replace=replace)
        await self._threads.run(lambda: self._tree.chmod(parts, mode))
        return await self.permissions(raw_id)

    async def quota(self) -> Quota:
        """The room of the file system that the folder is on."""
        room = await self._threads.run(self._tree.room)
        return Quota(
            total=room.f_blocks * room.f_frsize,
            used=(room.f_blocks - room.f_bfree) * room.f_frsize,
            free=room.f_bavail * room.f_frsize,
        )


class _Reading:
    """The bytes of an open file, one piece read ahead. Closes the file at the end."""

    def __init__(self, threads: Threads, file: int, entry: Entry, first: int, end: int) -> None:
        self._threads = threads
        self._file = file
        self._entry = entry
        self._first = first
        self._end = end

    async def aclose(self) -> None:
        await self._threads.close_up(self._close)

    async def chunks(self) -> AsyncGenerator[bytes]:
        try:
            at = self._first
            while at < self._end:
                piece = await self._threads.run(lambda at=at: self._piece(at))  # type: ignore[misc]  # bound now on purpose
                at += len(piece)
                yield piece
        finally:
            await self.aclose()

    def _close(self) -> None:
        file, self._file = self._file, -1  # a thread that was stuck must not meet another file
        os.close(file)

    def _piece(self, at: int) -> bytes:
        piece = os.pread(self._file, min(CHUNK, self._end - at), at)
        if not piece or _etag(os.fstat(self._file)) != self._entry.etag:
            raise PreconditionFailed("the file changed while it was read")
        return piece


def _opened(tree: Tree, parts: list[str]) -> tuple[int, os.stat_result]:
    file = tree.open(parts)
    return file, os.fstat(file)


def _commit(new: NewFile, name: str, replace: bool, etag: str | None) -> os.stat_result:
    if etag is not None:
        there = new.current(name)
        if there is None or _etag(there) != etag:
            raise PreconditionFailed("the file is another version now")
    return new.commit(name, replace=replace)


def _begin(tree: Tree, staged: Staged) -> None:
    new = NewFile.create(tree, split(staged.parent), staged.temporary)
    there = new.current(staged.name)
    taken = there is not None and (not staged.replace or stat.S_ISDIR(there.st_mode))
    new.close(discard=taken)
    if taken:
        raise AlreadyExists("the name is taken")


def _reopened(tree: Tree, staged: Staged) -> NewFile:
    return NewFile.reopen(tree, split(staged.parent), staged.temporary)


def _abandon(tree: Tree, staged: Staged) -> None:
    _reopened(tree, staged).close(discard=True)


def _complete(tree: Tree, staged: Staged, size: int) -> os.stat_result:
    new = _reopened(tree, staged)
    try:
        if new.size() < size:
            raise PreconditionFailed("a part of the upload was never written")
        new.cut(size)
        return new.commit(staged.name, replace=staged.replace)
    finally:
        new.close(discard=False)


def _name(found: tuple[str, os.stat_result]) -> str:
    return found[0]


def _etag(facts: os.stat_result) -> str:
    return f"{facts.st_ino:x}-{facts.st_size:x}-{facts.st_mtime_ns:x}"


def _entry(parts: "list[str]", facts: os.stat_result) -> Entry:
    is_folder = stat.S_ISDIR(facts.st_mode)
    name = parts[-1] if parts else ""
    return Entry(
        raw_id="/".join(parts),
        name=name,
        kind=Kind.FOLDER if is_folder else Kind.FILE,
        parent=parent_of(parts),
        size=None if is_folder else facts.st_size,
        modified=datetime.fromtimestamp(facts.st_mtime, UTC),
        etag=None if is_folder else _etag(facts),
        mime_type=None if is_folder else mimetypes.guess_type(name)[0],
    )
