"""The local connector: a folder of the gateway's machine, or whatever is mounted there."""

import asyncio
import bisect
import mimetypes
import os
import stat
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import ClassVar, Self

from connectors.interface import (
    CHUNK,
    BadSpan,
    Capability,
    Connector,
    Content,
    Context,
    Entry,
    Kind,
    NotAFolder,
    NotFound,
    Page,
    PreconditionFailed,
    Settings,
    Span,
    TimedOut,
)
from connectors.interface.paths import check_name, parent_of, split
from connectors.local.confined import NewFile, Tree, disk_errors
from connectors.local.settings import LocalSettings

_THREADS = 8


class LocalConnector(Connector):
    """Files under one folder. Links are neither listed nor followed, wherever they lead.

    Every call runs in a thread of the connector's own small pool: a dead mount blocks these and nothing else.
    """

    name: ClassVar[str] = "local"
    friendly_name: ClassVar[str] = "Local folder"
    settings: ClassVar[type[Settings]] = LocalSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.MKDIR, Capability.MOVE})

    def __init__(self, settings: LocalSettings, idle_timeout: float) -> None:
        self._tree = Tree(settings.root)
        self._idle_timeout = idle_timeout
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="local")

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """Ready at once; a folder that is missing shows at the first verb."""
        assert isinstance(settings, LocalSettings)  # noqa: S101  the registry pairs them
        return cls(settings, context.idle_timeout)

    async def aclose(self) -> None:
        """Lets the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def stat(self, raw_id: str) -> Entry:
        """The entry; NotFound for links, devices and anything outside."""
        parts = split(raw_id)
        return _entry(parts, await self._run(lambda: self._tree.stat(parts)))

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """Entries by name; the cursor is the last name of the page before."""
        parts = split(folder)
        if not stat.S_ISDIR((await self._run(lambda: self._tree.stat(parts))).st_mode):
            raise NotAFolder("this is a file, not a folder")
        found = await self._run(lambda: sorted(self._tree.entries(parts), key=_name))
        first = 0 if cursor is None else bisect.bisect_right(found, cursor, key=_name)
        entries = [_entry([*parts, name], facts) for name, facts in found[first : first + limit]]
        more = first + limit < len(found)
        return Page(entries, entries[-1].name if more else None)

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """One version from beginning to end: a change while it is read is PreconditionFailed."""
        parts = split(raw_id)
        if not parts:
            raise NotAFolder("this is a folder, not a file")
        file = await self._run(lambda: self._tree.open(parts))
        try:
            facts = os.fstat(file)
            entry = _entry(parts, facts)
            if etag is not None and etag != entry.etag:
                raise PreconditionFailed("the file is another version now")
            first = 0 if span is None else span.first
            end = facts.st_size if span is None or span.last is None else min(span.last + 1, facts.st_size)
            if span is not None and first >= facts.st_size:
                raise BadSpan("the span starts at or after the file's end")
        except BaseException:
            os.close(file)
            raise
        return Content(entry, _Reading(self, file, entry, first, end).chunks())

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
        new = await self._run(lambda: NewFile(self._tree, parts, name))
        kept = False
        try:
            async for chunk in chunks:
                await self._run(lambda chunk=chunk: new.write(chunk))  # type: ignore[misc]  # bound now on purpose
            facts = await self._run(lambda: _commit(new, replace, etag))
            kept = True
        finally:
            new.close(discard=not kept)
        return _entry([*parts, name], facts)

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """Removes the entry."""
        parts = split(raw_id)
        await self._run(lambda: self._tree.remove(parts, recursive=recursive))

    async def mkdir(self, parent: str, name: str) -> Entry:
        """The new folder."""
        parts = split(parent)
        check_name(name)
        await self._run(lambda: self._tree.mkdir(parts, name))
        return await self.stat("/".join([*parts, name]))

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """The entry at its new place."""
        parts, to = split(raw_id), split(parent)
        if not parts:
            raise NotFound("the root can't be moved")
        check_name(name)
        await self._run(lambda: self._tree.move(parts, to, name, replace=replace))
        return await self.stat("/".join([*to, name]))

    async def _run[T](self, act: Callable[[], T]) -> T:
        """`act` in one of our threads; TimedOut leaves a stuck thread to itself."""
        loop = asyncio.get_running_loop()
        with disk_errors():
            try:
                async with asyncio.timeout(self._idle_timeout):
                    return await loop.run_in_executor(self._pool, act)
            except TimeoutError:
                raise TimedOut("the folder did not answer in time") from None


class _Reading:
    """The bytes of an open file, one piece read ahead. Closes the file at the end."""

    def __init__(self, connector: LocalConnector, file: int, entry: Entry, first: int, end: int) -> None:
        self._connector = connector
        self._file = file
        self._entry = entry
        self._first = first
        self._end = end

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            at = self._first
            while at < self._end:
                piece = await self._connector._run(lambda at=at: self._piece(at))  # type: ignore[misc]  # noqa: SLF001  our own module
                at += len(piece)
                yield piece
        finally:
            os.close(self._file)

    def _piece(self, at: int) -> bytes:
        piece = os.pread(self._file, min(CHUNK, self._end - at), at)
        if not piece or _etag(os.fstat(self._file)) != self._entry.etag:
            raise PreconditionFailed("the file changed while it was read")
        return piece


def _commit(new: NewFile, replace: bool, etag: str | None) -> os.stat_result:
    there = new.current()
    if there is not None and stat.S_ISDIR(there.st_mode):
        raise FileExistsError(17, "a folder has the name")
    if etag is not None and (there is None or _etag(there) != etag):
        raise PreconditionFailed("the file is another version now")
    return new.commit(replace=replace)


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
