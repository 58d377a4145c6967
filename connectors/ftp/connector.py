"""The FTP connector: a path is an id; some logins are shared by everything that the account does."""

import asyncio
import bisect
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import ClassVar, Self

from connectors.ftp.control import Control
from connectors.ftp.listing import Found
from connectors.ftp.pool import Lease, Pool
from connectors.ftp.settings import FtpSettings
from connectors.ftp.transfer import Download, upload
from connectors.ftp.tree import Tree, described
from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    BadSpan,
    Capability,
    Connector,
    Content,
    Context,
    Entry,
    InvalidName,
    Kind,
    NotAFolder,
    NotFound,
    NotPermitted,
    Page,
    PreconditionFailed,
    Settings,
    Span,
    StoreError,
    Unavailable,
)
from connectors.interface.paths import TEMPORARY, Parts, temporary_name

_DISCARD_WITHIN = 10.0
_TAKEN = "the name is taken"
_ANOTHER = "the file is another version now"


class FtpConnector(Connector):
    """Files of one user on one FTP server, under the account's root."""

    name: ClassVar[str] = "ftp"
    friendly_name: ClassVar[str] = "FTP"
    settings: ClassVar[type[Settings]] = FtpSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.MKDIR, Capability.MOVE})

    def __init__(self, settings: FtpSettings, context: Context) -> None:
        self._tree = Tree(settings)
        self._pool = Pool(lambda: Control.open(settings, context), settings.connections, context.idle_timeout)
        self._locks = context.locks
        context.leaving.append(self._pool.log_in_anew)

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """Connects at the first verb."""
        assert isinstance(settings, FtpSettings)  # noqa: S101  the registry pairs them
        return cls(settings, context)

    async def aclose(self) -> None:
        """Closes every connection."""
        self._pool.close()

    # verbs

    async def stat(self, raw_id: str) -> Entry:
        """The entry; what a link leads to is the server's affair."""
        parts = self._tree.parts(raw_id)
        async with self._pool.control() as control:
            return await self._tree.entry(control, parts)

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """Entries by name, without links; the cursor is the last name of the page before."""
        parts = self._tree.parts(folder)
        async with self._pool.control() as control:
            found = sorted(
                (one for one in await self._tree.entries(control, parts) if self._shown(one)), key=_name
            )
            first = 0 if cursor is None else bisect.bisect_right(found, cursor, key=_name)
            some = await self._tree.dated(control, parts, found[first : first + limit])
        entries = [described([*parts, one.name], one) for one in some]
        return Page(entries, entries[-1].name if first + limit < len(found) else None)

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """One version: the file's size and time are compared at the end with those at the beginning."""
        parts = self._tree.parts(raw_id)
        lease = await self._pool.lease()
        try:
            entry, wanted = await self._opened(lease.control, parts, span, etag)
            path = self._tree.path(lease.control, parts)
            try:
                data = await lease.control.transfer(f"RETR {path}", offset=wanted.start)
            except (NotFound, InvalidName, NotPermitted) as error:
                raise await self._tree.why_refused(lease.control, parts, error) from error
        except BaseException:
            lease.release()
            raise

        async def check(control: Control) -> None:
            if (await self._tree.entry(control, parts)).etag != entry.etag:
                raise PreconditionFailed("the file changed while it was read")

        return Content(entry, Download(lease, data, wanted, whole=wanted.stop == entry.size, check=check))

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
        parts = self._tree.parts(parent)
        self._tree.check(name)
        to, hidden = [*parts, name], [*parts, temporary_name()]
        lease = await self._pool.lease()
        try:
            await self._check_target(lease.control, to, replace=replace, etag=etag)
        except BaseException:
            lease.release()
            raise
        try:
            await self._fill(lease.control, hidden, chunks)
            async with self._naming(to):
                there = await self._check_target(lease.control, to, replace=replace, etag=etag)
                await self._tree.rename(lease.control, hidden, to, there)
            entry = await self._tree.entry(lease.control, to)
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._discard(lease, hidden)))
            raise
        lease.release()
        return entry

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """Removes the entry; links inside a folder are removed, not followed."""
        parts = self._tree.parts(raw_id)
        if not parts:
            raise NotPermitted("the root can't be removed")
        async with self._pool.control() as control:
            entry = await self._tree.entry(control, parts)
            await self._tree.remove(control, parts, entry.kind, recursive=recursive)

    async def mkdir(self, parent: str, name: str) -> Entry:
        """The new folder."""
        parts = self._tree.parts(parent)
        self._tree.check(name)
        async with self._pool.control() as control:
            await self._tree.mkdir(control, [*parts, name])
            return await self._tree.entry(control, [*parts, name])

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """The entry at its new place; only a file replaces, and only a file is replaced."""
        parts, to = self._tree.parts(raw_id), [*self._tree.parts(parent), name]
        self._tree.check(name)
        if not parts:
            raise NotFound("the root can't be moved")
        async with self._pool.control() as control, self._naming(to):
            entry = await self._tree.entry(control, parts)
            if to == parts and replace:
                return entry
            there = await self._check_target(
                control, to, replace=replace and entry.kind is Kind.FILE, etag=None
            )
            await self._tree.rename(control, parts, to, there)
            return await self._tree.entry(control, to)

    # steps of them

    async def _opened(
        self, control: Control, parts: Parts, span: Span | None, etag: str | None
    ) -> tuple[Entry, range]:
        """The file, and where its bytes are that were asked for."""
        entry = await self._tree.entry(control, parts)
        if entry.kind is Kind.FOLDER:
            raise NotAFolder("this is a folder, not a file")
        if entry.size is None:
            raise BadAnswer("the server does not say how long the file is")
        if etag is not None and etag != entry.etag:
            raise PreconditionFailed(_ANOTHER)
        if span is None:
            return entry, range(entry.size)
        if span.first >= entry.size:
            raise BadSpan("the span starts at or after the file's end")
        end = entry.size if span.last is None else min(span.last + 1, entry.size)
        return entry, range(span.first, end)

    async def _fill(self, control: Control, hidden: Parts, chunks: AsyncIterator[bytes]) -> None:
        """Uploads to the hidden name, which then has every byte that was sent."""
        try:
            data = await control.transfer(f"STOR {self._tree.path(control, hidden)}")
        except (NotFound, InvalidName, NotPermitted) as error:
            raise await self._tree.why_not(control, hidden, error) from error
        sent = await upload(control, data, chunks)
        if (await self._tree.entry(control, hidden)).size != sent:
            raise Unavailable("the server did not store every byte")

    async def _check_target(
        self, control: Control, parts: Parts, *, replace: bool, etag: str | None
    ) -> Entry | None:
        """The file that is to be replaced, if there is one. Raises AlreadyExists, PreconditionFailed."""
        there = await self._tree.there(control, parts)
        if there is not None and (not replace or there.kind is Kind.FOLDER):
            raise AlreadyExists(_TAKEN)
        if etag is not None and (there is None or there.etag != etag):
            raise PreconditionFailed(_ANOTHER)
        return there

    def _naming(self, parts: Parts) -> asyncio.Lock:
        """One at a time for a name: FTP can only look whether it is free, and then rename."""
        return self._locks.setdefault("/".join(parts), asyncio.Lock())

    async def _discard(self, lease: Lease, hidden: Parts) -> None:
        """Removes what an unfinished upload left. Runs on although its caller was cancelled.

        On the same login where that still answers: there the server has let go of the file by then.
        """
        try:
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_DISCARD_WITHIN):
                    control = await lease.settled()
                    await control.ask(f"DELE {self._tree.path(control, hidden)}")
        finally:
            lease.release()

    def _shown(self, found: Found) -> bool:
        return found.kind is not None and not found.name.startswith(TEMPORARY)


def _name(found: Found) -> str:
    return found.name
