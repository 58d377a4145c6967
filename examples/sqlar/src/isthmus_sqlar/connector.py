"""The sqlar connector: each verb, carried out in a thread on a connection of its own."""

import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import ClassVar, Self

from connectors.interface import (
    Capability,
    Connector,
    Content,
    Context,
    Entry,
    InvalidName,
    NotPermitted,
    Page,
    Quota,
    Settings,
    Span,
)
from connectors.interface.paths import check_name, split
from isthmus_sqlar import properties
from isthmus_sqlar.archive import Archive, joined
from isthmus_sqlar.connections import Connections
from isthmus_sqlar.reading import Download, Reading
from isthmus_sqlar.rows import FILE_MODE, Row
from isthmus_sqlar.settings import SqlarSettings
from isthmus_sqlar.staging import Staged


class SqlarConnector(Connector):
    """Files in one SQLite archive. Bytes are stored as they come, so that ranges are read where they lie.

    Many may read while one writes, and each reader keeps the version that it opened.
    """

    name: ClassVar[str] = "sqlar"
    friendly_name: ClassVar[str] = "SQLite archive"
    settings: ClassVar[type[Settings]] = SqlarSettings
    on_gateway: ClassVar[bool] = True
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.MKDIR,
            Capability.MOVE,
            Capability.COPY,
            Capability.SEARCH,
            Capability.TREE,
            Capability.PROPERTIES,
            Capability.QUOTA,
        }
    )

    def __init__(self, settings: SqlarSettings, connections: Connections) -> None:
        self._settings = settings
        self._connections = connections

    # the account

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """Opens the archive at once. Raises Unavailable (there is none), BadAnswer (it is no archive)."""
        assert isinstance(settings, SqlarSettings)  # noqa: S101  the registry pairs them
        connections = Connections(settings, context.idle_timeout)
        try:
            await connections.prepare()
        except BaseException:
            await connections.aclose()
            raise
        return cls(settings, connections)

    async def aclose(self) -> None:
        """Stops what is running, and closes every connection."""
        await self._connections.aclose()

    # entries

    async def stat(self, raw_id: str) -> Entry:
        """The entry; NotFound for links and devices."""
        return await self._connections.use(lambda archive: archive.require(raw_id).entry())

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """What is in the folder, by name; folders that only names imply are among them."""

        def page(archive: Archive) -> Page:
            archive.require_folder(folder)
            return _page(archive.children(folder, cursor), limit)

        return await self._connections.use(page)

    async def tree(self, folder: str, cursor: str | None, limit: int) -> Page:
        """What is below the folder, by name."""

        def page(archive: Archive) -> Page:
            archive.require_folder(folder)
            return _page(archive.below(folder, cursor), limit)

        return await self._connections.use(page)

    async def search(self, query: str, cursor: str | None, limit: int) -> Page:
        """Every name is looked at. Folders that only names imply are not found."""
        wanted = query.casefold()

        def page(archive: Archive) -> Page:
            every = archive.below("", cursor)
            return _page(
                (found for found in every if wanted in found[0].name.rpartition("/")[2].casefold()), limit
            )

        return await self._connections.use(page)

    # bytes

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """One version from beginning to end, whatever is written meanwhile."""
        archive = await self._connections.opened()
        try:
            reading = await self._connections.run(archive, lambda: Reading(archive, raw_id, span, etag))
        except BaseException:
            self._connections.release(archive)
            raise
        return Content(reading.entry, Download(self._connections, archive, reading))

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
        """Kept beside the archive without a name until it is whole, then put in by one transaction.

        The archive is locked for as long as the disk takes, not for as long as the caller takes.
        """
        check_name(name)
        await self._connections.use(lambda archive: archive.admit(parent, name, replace=replace, etag=etag))
        with Staged(self._connections, Path(self._settings.path).parent) as staged:
            await staged.take(chunks, size)

            def put(archive: Archive) -> Entry:
                with archive.changing():
                    former = archive.admit(parent, name, replace=replace, etag=etag)
                    mode = FILE_MODE if former is None else former.mode
                    target = joined(parent, name)
                    archive.add_file(
                        Row(0, target, mode, int(time.time()), staged.length, staged.length), staged.pieces()
                    )
                    return archive.require(target).entry()

            return await self._connections.change(put)

    # changes

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """Removes the entry and its properties."""
        _no_root(raw_id)

        def remove(archive: Archive) -> None:
            with archive.changing():
                archive.remove(raw_id, recursive=recursive)

        await self._connections.change(remove)

    async def mkdir(self, parent: str, name: str) -> Entry:
        """The new folder, with a row of its own."""
        check_name(name)

        def make(archive: Archive) -> Entry:
            with archive.changing():
                archive.admit(parent, name, replace=False)
                archive.add_folder(joined(parent, name))
                return archive.require(joined(parent, name)).entry()

        return await self._connections.change(make)

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """The entry at its new place: all of it, or nothing."""
        return await self._transfer(raw_id, parent, name, keep=False, replace=replace)

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        """The copy, properties included."""
        return await self._transfer(raw_id, parent, name, keep=True, replace=False)

    async def _transfer(self, raw_id: str, parent: str, name: str, *, keep: bool, replace: bool) -> Entry:
        _no_root(raw_id)
        check_name(name)

        def transfer(archive: Archive) -> Entry:
            with archive.changing():
                archive.transfer(raw_id, parent, name, keep=keep, replace=replace)
                return archive.require(joined(parent, name)).entry()

        return await self._connections.change(transfer)

    # properties and room

    async def properties(self, raw_id: str) -> dict[str, str]:
        """Every property."""

        def every(archive: Archive) -> dict[str, str]:
            return properties.every(archive.db, archive.require(raw_id).name)

        return await self._connections.use(every)

    async def set_properties(self, raw_id: str, changes: Mapping[str, str | None]) -> dict[str, str]:
        """Every property after the changes."""

        def change(archive: Archive) -> dict[str, str]:
            with archive.changing():
                name = archive.require(raw_id).name
                try:
                    properties.change(archive.db, name, changes)
                except UnicodeEncodeError:
                    raise InvalidName("the archive can't hold this property") from None
                return properties.every(archive.db, name)

        return await self._connections.change(change)

    async def quota(self) -> Quota:
        """The limit of the settings, if any; free pages of the archive count as free."""

        def room(archive: Archive) -> Quota:
            (pages,) = archive.db.execute("PRAGMA page_count").fetchone()
            (unused,) = archive.db.execute("PRAGMA freelist_count").fetchone()
            used, limit = (pages - unused) * archive.page_size, self._settings.limit
            disk = os.statvfs(self._settings.path)
            free = disk.f_bavail * disk.f_frsize + unused * archive.page_size
            return Quota(limit, used, free if limit is None else max(0, min(free, limit - used)))

        return await self._connections.use(room)


def _page(found: Iterator[tuple[Row, str]], limit: int) -> Page:
    """The first `limit`, and the cursor behind them if there are more."""
    taken = list(islice(found, limit + 1))
    entries = [row.entry() for row, _ in taken[:limit]]
    return Page(entries, taken[limit - 1][1] if len(taken) > limit else None)


def _no_root(raw_id: str) -> None:
    if not split(raw_id):
        raise NotPermitted("the archive's root stays where it is")
