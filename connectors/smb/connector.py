"""The SMB connector: shares of Windows and Samba servers, SMB 3.1.1, one connection an account."""

import heapq
import mimetypes
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from operator import attrgetter
from typing import ClassVar, Self

from connectors.interface import (
    AlreadyExists,
    BadSpan,
    Capability,
    Connector,
    Content,
    Context,
    Entry,
    Kind,
    NotAFolder,
    NotFound,
    NotPermitted,
    Page,
    Part,
    PreconditionFailed,
    Quota,
    Settings,
    Span,
    Unsupported,
    Upload,
)
from connectors.interface.paths import TEMPORARY, Parts, parent_of
from connectors.smb import messages, transfer, uploads
from connectors.smb.messages import CREATE, FILE, Access, Facts, Sharing
from connectors.smb.names import Layout, Place, check, parts_of
from connectors.smb.server import Server
from connectors.smb.settings import SmbSettings
from connectors.smb.share import Handle, Share, absent
from connectors.smb.transfer import Reading
from connectors.smb.trees import copy_tree, remove_tree


class SmbConnector(Connector):
    """Files of one user on one server: of one share, or of all, as a folder each."""

    name: ClassVar[str] = "smb"
    friendly_name: ClassVar[str] = "Windows file share (SMB)"
    settings: ClassVar[type[Settings]] = SmbSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.MKDIR, Capability.MOVE, Capability.COPY, Capability.PARTS, Capability.QUOTA}
    )

    def __init__(self, settings: SmbSettings, context: Context) -> None:
        self._server = Server(settings, context)
        self._layout = Layout(settings.share, settings.root)

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """Connects at the first verb."""
        assert isinstance(settings, SmbSettings)  # noqa: S101  the registry pairs them
        return cls(settings, context)

    async def aclose(self) -> None:
        """Closes the connection; the server closes what was open on it."""
        self._server.close()

    # what is there

    async def stat(self, raw_id: str) -> Entry:
        """The entry, in the case that its names were given: SMB finds it in any."""
        place = self._layout.place(parts_of(raw_id))
        if place is None:
            await self._server.log_in()
            return _entry([], messages.folder(""))
        share = await self._server.share(place.share)
        return await self._seen(share, place)

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """Entries by name; the cursor is the last name of the page before. Memory is that of a page."""
        place = self._layout.place(parts_of(folder))
        if place is None:
            return _page([], map(messages.folder, await self._server.share_names()), cursor, limit)
        share = await self._server.share(place.share)
        async with share.folder(place.path) as opened:
            above = self._layout.true_parts(place, opened.path)
            kept: list[Facts] = []
            async for facts in share.entries(opened):
                if not facts.name.startswith(TEMPORARY) and not facts.is_link and facts.name > (cursor or ""):
                    kept.append(facts)
                if len(kept) > 2 * limit + 1000:
                    kept = heapq.nsmallest(limit + 1, kept, key=attrgetter("name"))
        return _page(above, kept, cursor, limit)

    async def quota(self) -> Quota:
        """The room of the share's file system, and what the server leaves of it to this user."""
        share, _ = await self._in_share([], "each share has room of its own: name one")
        total, mine, free = await share.room()
        return Quota(total=total, used=max(0, total - free), free=mine)

    # content

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """One version: what the file is at its close is compared with what it was at its opening."""
        place = self._layout.place(parts_of(raw_id))
        if place is None:
            raise NotAFolder("this is a folder, not a file")
        share = await self._server.share(place.share)
        with absent():
            file = await share.open(place.path, Access.READ, Sharing.ALL, options=FILE)
        try:
            if etag is not None and etag != file.facts.etag:
                raise PreconditionFailed("the file is another version now")
            size = file.facts.size
            if span is not None and span.first >= size:
                raise BadSpan("the span starts at or after the file's end")
        except BaseException:
            await file.aclose()
            raise
        first = 0 if span is None else span.first
        end = size if span is None or span.last is None else min(span.last + 1, size)
        entry = _entry(self._layout.true_parts(place, file.path), file.facts)
        return Content(entry, Reading(file, first, end))

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
        """Written beside under a hidden name, which the server removes if we are gone; then renamed."""
        check(name)
        share, folder = await self._in_share(parts_of(parent))
        target = folder.child(name)
        async with _hidden(share, folder) as file:
            await transfer.store(file, chunks)
            if replace or etag is not None:
                await _replaceable(share, target.path, etag)
            await file.place(target.path, replace=replace)
        return await self._seen(share, target)

    # places

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """Removes the entry; links inside a folder are not followed, where the server tells of them."""
        share, place = await self._entry_in_share(raw_id)
        await (remove_tree(share, place.path) if recursive else share.remove(place.path))

    async def mkdir(self, parent: str, name: str) -> Entry:
        """The new folder."""
        check(name)
        share, folder = await self._in_share(parts_of(parent))
        await share.make_folder(folder.child(name).path)
        return await self._seen(share, folder.child(name))

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """The entry at its new place, in one step. Raises Unsupported between two shares."""
        check(name)
        share, place = await self._entry_in_share(raw_id)
        _, folder = await self._in_share(parts_of(parent))
        target = folder.child(name)
        if place.share.casefold() != target.share.casefold():
            raise Unsupported("SMB moves inside a share only: copy it, then delete it")
        before, after = place.path.casefold(), target.path.casefold()
        if after.startswith(before + "\\"):
            raise NotPermitted("a folder can't be moved into itself")
        if replace and before != after:
            await _replaceable(share, target.path, None)
        await share.rename(place.path, target.path, replace=replace)
        return await self._seen(share, target)

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        """The copy, made by the server. Raises Unsupported where it can't."""
        check(name)
        source, place = await self._entry_in_share(raw_id)
        share, folder = await self._in_share(parts_of(parent))
        target = folder.child(name)
        facts, _ = await source.look(place.path)
        if facts.is_folder:
            await copy_tree(source, place.path, share, folder, target)
        else:
            async with (
                source.opened(place.path, Access.READ, Sharing.ALL, options=FILE) as original,
                _hidden(share, folder) as copied,
            ):
                await transfer.copy(original, copied)
                await copied.place(target.path, replace=False)
        return await self._seen(share, target)

    # parts

    async def begin_upload(self, parent: str, name: str, *, size: int | None, replace: bool) -> Upload:
        """An upload whose parts go straight to their places in a hidden file."""
        check(name)
        share, folder = await self._in_share(parts_of(parent))
        await _replaceable(share, folder.child(name).path, None, taken=not replace)
        return (await uploads.begin(share, folder, parent, name, size, replace)).upload

    async def write_part(self, state: str, number: int, chunks: AsyncIterator[bytes], *, size: int) -> str:
        """The part's tag. Raises BadSpan for a part that is longer than it may be."""
        begun = uploads.Begun.of(state)
        share, folder = await self._in_share(parts_of(begun.parent))
        return await uploads.write(share, folder.child(begun.temporary).path, begun, number, chunks)

    async def complete_upload(self, state: str, parts: Sequence[Part]) -> Entry:
        """The file under its name."""
        begun = uploads.Begun.of(state)
        share, folder = await self._in_share(parts_of(begun.parent))
        target = folder.child(begun.name)
        if begun.replace:
            await _replaceable(share, target.path, None)
        await uploads.complete(share, folder.child(begun.temporary).path, begun, parts, target.path)
        return await self._seen(share, target)

    async def abandon_upload(self, state: str) -> None:
        """Removes the hidden file."""
        begun = uploads.Begun.of(state)
        share, folder = await self._in_share(parts_of(begun.parent))
        await uploads.abandon(share, folder.child(begun.temporary).path)

    # where

    async def _in_share(
        self, above: Parts, elsewhere: str = "the server's administrator makes shares: choose one"
    ) -> tuple[Share, Place]:
        """The share and place of a folder. Raises Unsupported above the shares."""
        place = self._layout.place(above)
        if place is None:
            raise Unsupported(elsewhere)
        return await self._server.share(place.share), place

    async def _entry_in_share(self, raw_id: str) -> tuple[Share, Place]:
        """The share and place of what may be moved or removed: neither the root nor a share."""
        above = parts_of(raw_id)
        place = self._layout.place(above)
        if not above or place is None or not place.path:
            raise NotPermitted("the root and whole shares stay where they are")
        return await self._server.share(place.share), place

    async def _seen(self, share: Share, place: Place) -> Entry:
        facts, path = await share.look(place.path)
        return _entry(self._layout.true_parts(place, path), facts)


def _hidden(share: Share, folder: Place) -> AbstractAsyncContextManager[Handle]:
    """A new file that nobody else may open, and that goes at its close unless it was given a place."""
    path = folder.child(TEMPORARY + secrets.token_hex(16)).path
    access = Access.WRITE | Access.DELETE
    return share.opened(path, access, Sharing.NOTHING, CREATE, FILE, [messages.deleting(True)])


async def _replaceable(share: Share, path: str, etag: str | None, *, taken: bool = False) -> None:
    """What can be seen before a file takes the path: the server itself does not compare versions.

    Raises:
        AlreadyExists: a folder is there, or, when `taken`, anything.
        PreconditionFailed: the file is not this version.
    """
    try:
        there, _ = await share.look(path)
    except NotFound:
        there = None
    if there is not None and (taken or there.is_folder):
        raise AlreadyExists("the name is taken")
    if etag is not None and (there is None or there.etag != etag):
        raise PreconditionFailed("the file is another version now")


def _page(above: Parts, found: Iterable[Facts], cursor: str | None, limit: int) -> Page:
    after = (facts for facts in found if facts.name > (cursor or ""))
    first = heapq.nsmallest(limit + 1, after, key=attrgetter("name"))
    entries = [_entry([*above, facts.name], facts) for facts in first[:limit]]
    return Page(entries, entries[-1].name if len(first) > limit else None)


def _entry(path: Parts, facts: Facts) -> Entry:
    is_folder = facts.is_folder or not path
    name = path[-1] if path else ""
    return Entry(
        raw_id="/".join(path),
        name=name,
        kind=Kind.FOLDER if is_folder else Kind.FILE,
        parent=parent_of(path),
        size=None if is_folder else facts.size,
        modified=messages.moment(facts.written),
        created=messages.moment(facts.created),
        etag=None if is_folder else facts.etag,
        mime_type=None if is_folder else mimetypes.guess_type(name)[0],
    )
