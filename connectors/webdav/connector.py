"""The WebDAV connector: requests of RFC 4918 over our own streaming client."""

import asyncio
import bisect
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Self

from connectors.http1.spans import cut
from connectors.interface import (
    AlreadyExists,
    Authorised,
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
    Locks,
    NotAFolder,
    NotEmpty,
    NotFound,
    Origin,
    Page,
    PreconditionFailed,
    Quota,
    Request,
    Settings,
    Span,
    Unsupported,
)
from connectors.interface.paths import Parts, check_name, split, temporary_name
from connectors.webdav import hidden
from connectors.webdav.answers import LARGEST, done
from connectors.webdav.entries import entry_of, name_of, path_of, path_of_entry, usable
from connectors.webdav.multistatus import PROPERTIES, QUOTA, Resource, failure, parse, plain_etag
from connectors.webdav.properties import ALL, kept, update
from connectors.webdav.server import Server, refusal, refused
from connectors.webdav.settings import WebdavSettings

type Resources = list[Resource]

_PARSE_ASIDE = 256 * 1024  # bytes of XML from which parsing goes to a thread
_NO_PROPERTIES = "the store keeps no properties of others"


class WebdavConnector(Connector):
    """Files under one folder of a WebDAV server."""

    name: ClassVar[str] = "webdav"
    friendly_name: ClassVar[str] = "WebDAV"
    settings: ClassVar[type[Settings]] = WebdavSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.MKDIR,
            Capability.MOVE,
            Capability.COPY,
            Capability.PROPERTIES,
            Capability.QUOTA,
            Capability.HEADERS,
            Capability.RAW,
        }
    )

    def __init__(self, server: Server, locks: Locks) -> None:
        self._server = server
        self._locks = locks

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """Connects at the first verb."""
        assert isinstance(settings, WebdavSettings)  # noqa: S101  the registry pairs them
        return cls(Server(settings, context), context.locks)

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """The same account; its requests carry these headers, but for those that are ours to say."""
        return type(self)(self._server.with_headers(headers), self._locks)

    def origins(self) -> Sequence[Origin]:
        """The account's URL."""
        return [self._server.place]

    async def authorise(self, request: Request, *, refused: str | None = None) -> Authorised:
        """By Basic or Digest, as the server asks; copies and moves only to below the account's URL."""
        return await self._server.authorise(request, refused)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._server.aclose()

    # verbs

    async def stat(self, raw_id: str) -> Entry:
        """The entry, as PROPFIND describes it."""
        parts = split(raw_id)
        return entry_of(parts, (await self._find(parts, b"0"))[0])

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """Entries by name; the cursor is the last name of the page before. WebDAV itself has no pages."""
        parts = split(folder)
        found = await self._children(parts)
        first = 0 if cursor is None else bisect.bisect_right(found, cursor, key=name_of)
        entries = [entry_of([*parts, name_of(one)], one) for one in found[first : first + limit]]
        return Page(entries, entries[-1].name if first + limit < len(found) else None)

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """The version that PROPFIND named; the answer's own ETag has to be the same."""
        parts = split(raw_id)
        entry = await self.stat(raw_id)
        if entry.kind is Kind.FOLDER:
            raise NotAFolder("this is a folder, not a file")
        if etag is not None and etag != entry.etag:
            raise PreconditionFailed("the file is another version now")
        if span is not None and entry.size is not None and span.first >= entry.size:
            raise BadSpan("the span starts at or after the file's end")
        asked = [(b"accept-encoding", b"identity")]
        if span is not None:
            last = "" if span.last is None else span.last
            asked.append((b"range", f"bytes={span.first}-{last}".encode()))
        answer = await self._server.request("GET", path_of(parts), asked)
        if answer.status not in (200, 206):
            raise await refusal(answer)
        now = plain_etag(answer.header(b"etag"))
        if entry.etag is not None and now is not None and now != entry.etag:
            await answer.aclose()
            raise PreconditionFailed("the file changed while it was opened")
        if answer.status == 206 or span is None:
            return Content(entry, answer.chunks())
        return Content(entry, Held(cut(answer, span), answer.aclose))

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
        """Put beside under a hidden name, then moved."""
        parts = split(parent)
        check_name(name)
        if (await self.stat(parent)).kind is Kind.FILE:
            raise NotAFolder("this is a file, not a folder")
        temporary, target = [*parts, temporary_name()], [*parts, name]
        await hidden.put(self._server, path_of(temporary), chunks, size)
        await self._server.leavers.made(self._named(temporary, target, replace=replace, etag=etag))
        return await self.stat("/".join(target))

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """Removes the entry. The protocol only knows whole trees: an empty folder is looked at before."""
        parts = split(raw_id)
        entry = await self.stat(raw_id)
        if entry.kind is Kind.FOLDER and not recursive and await self._children(parts):
            raise NotEmpty("the folder is not empty")
        await done(await self._server.request("DELETE", path_of_entry(entry)), 200, 204)

    async def mkdir(self, parent: str, name: str) -> Entry:
        """The new folder."""
        parts = split(parent)
        check_name(name)
        answer = await self._server.request("MKCOL", path_of([*parts, name]))
        if answer.status == 405:
            await answer.aclose()
            raise AlreadyExists("the name is taken")
        await done(answer, 201)
        return await self.stat("/".join([*parts, name]))

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """The entry at its new place. A folder is never replaced: the server would drop its content."""
        parts, to = split(raw_id), [*split(parent), name]
        entry = await self._original(parts, name)
        if to == parts and not replace:
            raise AlreadyExists("the name is taken")
        if to != parts:
            if replace:
                await self._check_target(to, replace=True, etag=None)
            await self._transfer("MOVE", parts, to, replace=replace, folder=entry.kind is Kind.FOLDER)
        return await self.stat("/".join(to))

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        """The copy, made by the server beside its place and then moved: half a one never has the name."""
        parts, to = split(raw_id), split(parent)
        entry = await self._original(parts, name)
        if to[: len(parts)] == parts:
            raise InvalidName("a folder can't be put into itself")
        folder = entry.kind is Kind.FOLDER
        temporary, target = [*to, temporary_name()], [*to, name]
        await self._check_target(target, replace=False, etag=None)
        # a removal in the middle of it would leave what the server copies after that
        await self._server.leavers.made(
            self._copied(parts, temporary, folder=folder),
            lambda _: hidden.remove(self._server, path_of(temporary, folder=folder)),
        )
        await self._server.leavers.made(self._named(temporary, target, folder=folder))
        return await self.stat("/".join(target))

    async def properties(self, raw_id: str) -> dict[str, str]:
        """The callers' properties, kept by the server as dead ones."""
        return kept((await self._find(split(raw_id), b"0", ALL))[0])

    async def set_properties(self, raw_id: str, changes: Mapping[str, str | None]) -> dict[str, str]:
        """All changes or none (RFC 4918, 9.2). Unsupported where the server keeps no dead properties."""
        entry = await self.stat(raw_id)
        if changes:
            await self._update(path_of_entry(entry), changes)
        after = await self.properties(raw_id)
        if any(value is not None and key not in after for key, value in changes.items()):
            raise Unsupported(_NO_PROPERTIES)  # it said yes all the same, as rclone does
        return after

    async def quota(self) -> Quota:
        """The room of the account's folder (RFC 4331). Unsupported where the server does not say."""
        root = (await self._find([], b"0", QUOTA))[0]
        if root.available is None and root.used is None:
            raise Unsupported("the store does not say how much room there is")
        total = None if root.available is None or root.used is None else root.available + root.used
        return Quota(total=total, used=root.used, free=root.available)

    # requests

    async def _update(self, target: str, changes: Mapping[str, str | None]) -> None:
        headers = [(b"content-type", b"application/xml")]
        answer = await self._server.request("PROPPATCH", target, headers, body=update(changes))
        if answer.status != 207:
            raise await refusal(answer)
        status = failure(await answer.read(LARGEST))
        if status == 403:  # of the property alone (RFC 4918, 9.2.1): the account may write here
            raise Unsupported(_NO_PROPERTIES)
        if status is not None:
            raise refused(status)

    async def _find(self, parts: Parts, depth: bytes, asked: bytes = PROPERTIES) -> Resources:
        """PROPFIND: at least one resource. Raises NotFound."""
        headers = [(b"depth", depth), (b"content-type", b"application/xml")]
        answer = await self._server.request("PROPFIND", path_of(parts), headers, body=asked)
        if answer.status in (301, 302, 307, 308):  # some servers want a folder's slash
            await answer.aclose()
            target = path_of(parts, folder=True)
            answer = await self._server.request("PROPFIND", target, headers, body=asked)
        if answer.status != 207:
            raise await refusal(answer)
        body = await answer.read(LARGEST)
        found = parse(body) if len(body) < _PARSE_ASIDE else await asyncio.to_thread(parse, body)
        if not found:
            raise BadAnswer("the store described nothing")
        return found

    async def _children(self, parts: Parts) -> Resources:
        """What is in the folder, by name. Raises NotAFolder.

        The folder itself is the resource with the shortest path: servers behind a proxy may name another
        prefix than the one they were asked for.
        """
        found = await self._find(parts, b"1")
        itself = min(found, key=lambda one: len(one.parts))
        if not itself.is_folder:
            raise NotAFolder("this is a file, not a folder")
        depth = len(itself.parts)
        below = [one for one in found if len(one.parts) == depth + 1 and one.parts[:depth] == itself.parts]
        return sorted((one for one in below if usable(name_of(one))), key=name_of)

    async def _original(self, parts: Parts, name: str) -> Entry:
        """What is to be moved or copied. Raises NotFound, InvalidName for its new name."""
        check_name(name)
        if not parts:
            raise NotFound("the root can't be moved or copied")
        return await self.stat("/".join(parts))

    async def _transfer(
        self, method: str, parts: Parts, to: Parts, *, replace: bool, folder: bool = False
    ) -> None:
        headers = [
            # absolute: Apache takes no bare path (RFC 4918, 10.3 allows both)
            (b"destination", (self._server.origin + self._server.path(path_of(to, folder=folder))).encode()),
            (b"overwrite", b"T" if replace else b"F"),
        ]
        answer = await self._server.request(method, path_of(parts, folder=folder), headers)
        if answer.status == 412:
            await answer.aclose()
            raise AlreadyExists("the name is taken")
        await done(answer, 201, 204)

    async def _copied(self, parts: Parts, temporary: Parts, *, folder: bool) -> None:
        """Copies to a hidden name; nothing is left of a copy that failed."""
        try:
            await self._transfer("COPY", parts, temporary, replace=False, folder=folder)
        except BaseException:
            await hidden.discard(self._server, path_of(temporary, folder=folder))
            raise

    async def _named(
        self,
        temporary: Parts,
        target: Parts,
        *,
        replace: bool = False,
        etag: str | None = None,
        folder: bool = False,
    ) -> None:
        """Gives what is whole by now its name, or removes it where the name can't be had."""
        try:
            async with self._naming("/".join(target)):
                if await self._check_target(target, replace=replace, etag=etag):
                    await self._keep_properties("/".join(target), temporary)
                await self._transfer("MOVE", temporary, target, replace=replace, folder=folder)
        except BaseException:
            await hidden.discard(self._server, path_of(temporary, folder=folder))
            raise

    def _naming(self, raw_id: str) -> asyncio.Lock:
        """One writer of a name at a time: Apache itself looks whether it is free, then moves."""
        return self._locks.setdefault(raw_id, asyncio.Lock())

    async def _keep_properties(self, former: str, temporary: Parts) -> None:
        """Gives new bytes the properties of the file they replace, which a MOVE onto it would drop."""
        if there := await self.properties(former):
            await self._update(path_of(temporary), there)

    async def _check_target(self, parts: Parts, *, replace: bool, etag: str | None) -> bool:
        """Whether there is a file to be replaced. Raises AlreadyExists, PreconditionFailed."""
        try:
            there = await self.stat("/".join(parts))
        except NotFound:
            there = None
        if there is not None and (not replace or there.kind is Kind.FOLDER):
            raise AlreadyExists("the name is taken")
        if etag is not None and (there is None or there.etag != etag):
            raise PreconditionFailed("the file is another version now")
        return there is not None
