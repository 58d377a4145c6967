"""The Azure connector: folders as prefixes, files as block blobs."""

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import ClassVar, Self

from connectors.azure import downloads, properties, trees, uploads
from connectors.azure.container import Container
from connectors.azure.names import LONGEST, NAMING, check_name
from connectors.azure.settings import AzureSettings
from connectors.interface import (
    AlreadyExists,
    Authorised,
    BadCredential,
    Capability,
    Connector,
    Content,
    Context,
    Entry,
    InvalidName,
    Kind,
    Locks,
    NotAFolder,
    NotFound,
    Origin,
    Page,
    Part,
    PreconditionFailed,
    Presigned,
    Request,
    Settings,
    Span,
    Unsupported,
    Upload,
)
from connectors.objects import is_folder

_FREE = {"if-none-match": "*"}
_NO_TYPE = "application/octet-stream"


class AzureConnector(Connector):
    """Blobs of one container of Azure Blob Storage, or those below a prefix."""

    name: ClassVar[str] = "azure"
    friendly_name: ClassVar[str] = "Azure Blob Storage"
    category: ClassVar[str] = "object_store"
    settings: ClassVar[type[Settings]] = AzureSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.MKDIR,
            Capability.MOVE,
            Capability.COPY,
            Capability.TREE,
            Capability.PARTS,
            Capability.PURGE,
            Capability.UPLOAD_URL,
            Capability.DOWNLOAD_URL,
            Capability.PROPERTIES,
            Capability.HEADERS,
            Capability.RAW,
        }
    )

    def __init__(self, container: Container, locks: Locks) -> None:
        self._container = container
        self._locks = locks

    @classmethod
    def normal_id(cls, raw_id: str, kind: Kind) -> str:
        """A folder's ends with `/`, so that a folder and a blob of one name are two entries."""
        plain = raw_id.strip("/")
        return f"{plain}/" if plain and kind is Kind.FOLDER else plain

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """Connects at the first verb."""
        assert isinstance(settings, AzureSettings)  # noqa: S101  the registry pairs them
        # parsing the machine's certificates takes some time
        return cls(await asyncio.to_thread(Container, settings, context), context.locks)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._container.aclose()

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """The same open account; `x-ms-` headers are signed with the rest.

        Raises Unsupported for those that frame, sign or condition a request: they are the connector's own.
        """
        return type(self)(self._container.with_fields(headers), self._locks)

    def origins(self) -> Sequence[Origin]:
        """The container."""
        return [self._container.others.origin]

    async def authorise(self, request: Request, *, refused: str | None = None) -> Authorised:
        """By a signature in the headers, or the token in the query, in place of any other."""
        if refused is not None:
            raise BadCredential("the store does not accept the account's key or token")
        return self._container.others.authorise(request)

    # entries

    async def stat(self, raw_id: str) -> Entry:
        """A blob as HEAD describes it; a folder where any blob lies below its id."""
        NAMING.check_id(raw_id)
        if is_folder(raw_id):
            # asked for the root too: whether the container is there, and the credential good for it
            if not await self._any_below(raw_id) and raw_id:
                raise NotFound("there is no such folder")
            return downloads.folder(raw_id, self._blob(raw_id))
        return downloads.described(raw_id, await self._container.act("HEAD", self._blob(raw_id)))

    async def child(self, parent: str, name: str) -> Entry:
        """The blob of that name, else the folder."""
        if not is_folder(parent) or "/" in name:
            raise NotFound("there is no such file or folder")
        try:
            return await self.stat(parent + name)
        except NotFound:
            return await self.stat(f"{parent}{name}/")

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """In the store's order, by List Blobs. Blobs that no id can name are left out."""
        NAMING.check_id(folder)
        if not is_folder(folder):
            await self._require_folder(folder)
        found = await self._container.page(self._blob(folder), delimiter="/", marker=cursor, limit=limit)
        if folder and cursor is None and not (found.blobs or found.prefixes or found.marker):
            raise NotFound("there is no such folder")
        blobs = ((self._raw_id(one.name), one) for one in found.blobs)
        below = (self._raw_id(one) for one in found.prefixes)
        entries = [
            *(downloads.listed(raw_id, one) for raw_id, one in blobs if _is_file(raw_id)),
            *(downloads.folder(raw_id, self._blob(raw_id)) for raw_id in below if NAMING.nameable(raw_id)),
        ]
        return Page(sorted(entries, key=_raw_id), found.marker)

    async def tree(self, folder: str, cursor: str | None, limit: int) -> Page:
        """Files at any depth, by one listing without a delimiter; no folders."""
        NAMING.check_id(folder)
        if cursor is None:
            await self._require_folder(folder)
        found = await self._container.page(self._blob(folder), marker=cursor, limit=limit)
        blobs = ((self._raw_id(one.name), one) for one in found.blobs)
        entries = [downloads.listed(raw_id, one) for raw_id, one in blobs if _is_file(raw_id)]
        return Page(entries, found.marker)

    # content

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """One GET: entry and bytes are of the same version."""
        NAMING.check_id(raw_id)
        if is_folder(raw_id):
            await self._require_folder(raw_id)
            raise NotAFolder("this is a folder, not a file")
        return await downloads.open_content(self._container, raw_id, self._blob(raw_id), span, etag)

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
        """Small ones by Put Blob, others in blocks; the store checks name and version when it commits."""
        raw_id = await self._place(parent, name, replace=replace, etag=etag)
        condition = {"if-match": f'"{etag}"'} if etag is not None else {} if replace else _FREE
        try:
            await uploads.store(self._container, self._blob(raw_id), chunks, size, _type(name), condition)
        except PreconditionFailed:
            if condition is _FREE:
                raise AlreadyExists("the name is taken") from None
            raise
        return await self.stat(raw_id)

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """Deletes a blob, a folder's marker, or all below a folder; the store may keep versions of them.

        A blob with snapshots is NotPermitted: they would go with it, and `purge` says so.
        """
        await self._require_doomed(raw_id)
        if is_folder(raw_id):
            await trees.delete_tree(self._container, self._blob(raw_id), recursive=recursive)
        else:
            await trees.delete(self._container, self._blob(raw_id))

    async def purge(self, raw_id: str, *, recursive: bool = False) -> None:
        """Deletes snapshots and every version too, also of what was deleted before."""
        with suppress(NotFound):  # deleted, perhaps: then its versions are left
            await self._require_doomed(raw_id)
            if is_folder(raw_id) and not recursive:
                return await trees.delete_tree(self._container, self._blob(raw_id), recursive=False)
        if raw_id and NAMING.nameable(raw_id) and (recursive or not is_folder(raw_id)):
            name = self._blob(raw_id)
            if await trees.purge(self._container, name, below=is_folder(raw_id)):
                return None
        raise NotFound("there is no such file or folder")

    # places

    async def mkdir(self, parent: str, name: str) -> Entry:
        """A folder's marker: an empty blob whose name ends with `/`, as rclone and others make it."""
        raw_id = await self._place(parent, name, replace=False) + "/"
        fields = {"x-ms-blob-type": "BlockBlob", "x-ms-meta-hdi_isfolder": "true", **_FREE}
        try:
            await self._container.act("PUT", self._blob(raw_id), (), fields, body=b"")
        except PreconditionFailed:
            raise AlreadyExists("the name is taken") from None
        return downloads.folder(raw_id, self._blob(raw_id))

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """A copy and then a deletion, blob by blob: not atomic. A folder in the way is never replaced."""
        target = await self._target(raw_id, parent, name, replace=replace)
        source = self._blob(raw_id)
        if target == raw_id:
            return await self.stat(raw_id)
        if is_folder(raw_id):
            await trees.move_tree(self._container, source, self._blob(target))
        else:
            await trees.move_blob(self._container, source, self._blob(target), {} if replace else _FREE)
        return await self.stat(target)

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        """Copied by the store; a folder blob by blob."""
        target = await self._target(raw_id, parent, name, replace=False)
        if is_folder(raw_id):
            await trees.copy_tree(self._container, self._blob(raw_id), self._blob(target))
        else:
            await trees.copy_blob(self._container, self._blob(raw_id), self._blob(target), _FREE)
        return await self.stat(target)

    # uploads in parts

    async def begin_upload(self, parent: str, name: str, *, size: int | None, replace: bool) -> Upload:
        """A marker beside the file's place; parts are uncommitted blocks of the file itself."""
        raw_id = await self._place(parent, name, replace=replace)
        ticket = uploads.Ticket(uploads.new_upload(), raw_id, replace)
        upload = Upload(ticket.written(), uploads.part_size(size))
        await uploads.mark(self._container, self._blob(ticket.marker()))
        return upload

    async def write_part(self, state: str, number: int, chunks: AsyncIterator[bytes], *, size: int) -> str:
        """The block's id."""
        ticket = await self._ticket(state)
        name = self._blob(ticket.raw_id)
        return await uploads.stage(self._container, name, ticket.upload, number, chunks, size)

    async def complete_upload(self, state: str, parts: Sequence[Part]) -> Entry:
        """The file; the store checks that the name is free where it has to be.

        Raises NotFound also where another upload of the name came first: the store drops all parts then.
        """
        ticket = await self._ticket(state)
        ids = [uploads.block_id(ticket.upload, part.number) for part in parts]
        name, mime_type = self._blob(ticket.raw_id), _type(ticket.raw_id)
        try:
            await uploads.commit(self._container, name, ids, mime_type, {} if ticket.replace else _FREE)
        except PreconditionFailed as error:
            if not ticket.replace:
                await self._require_free(ticket.raw_id)
            raise NotFound(error.message) from None
        await uploads.unmark(self._container, self._blob(ticket.marker()))
        return await self.stat(ticket.raw_id)

    async def abandon_upload(self, state: str) -> None:
        """Removes the marker. Blocks can't be deleted: the store drops those that nobody commits."""
        ticket = uploads.Ticket.read(state)
        await uploads.unmark(self._container, self._blob(ticket.marker()))

    # beyond bytes

    async def upload_url(self, parent: str, name: str, *, expires: int) -> Presigned:
        """A PUT of at most 5,000 MiB. It replaces what has the name by then."""
        raw_id = await self._place(parent, name, replace=True)
        url = self._container.presigned(self._blob(raw_id), "cw", expires)
        return Presigned(url, "PUT", {"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": _type(name)})

    async def download_url(self, raw_id: str, *, expires: int) -> Presigned:
        """A GET, of whatever version there is by then."""
        entry = await self.stat(raw_id)
        if entry.kind is Kind.FOLDER:
            raise NotAFolder("this is a folder, not a file")
        return Presigned(self._container.presigned(self._blob(raw_id), "r", expires), "GET")

    async def properties(self, raw_id: str) -> dict[str, str]:
        """The blob's index tags. Folders have none."""
        return properties.from_tags(await self._tags(raw_id))

    async def set_properties(self, raw_id: str, changes: Mapping[str, str | None]) -> dict[str, str]:
        """Kept as the blob's index tags, which have no version: one change at a time here."""
        async with self._locks.setdefault(raw_id, asyncio.Lock()):
            after = properties.changed(await self._tags(raw_id), changes)
            await trees.set_tags(self._container, self._blob(raw_id), properties.to_tags(after))
        return after

    # steps

    def _blob(self, raw_id: str) -> str:
        return self._container.base + raw_id

    def _raw_id(self, name: str) -> str:
        return name.removeprefix(self._container.base)

    async def _any_below(self, folder: str) -> bool:
        return await self._container.first_below(self._blob(folder)) is not None

    async def _require_folder(self, raw_id: str) -> None:
        """Raises NotFound, or NotAFolder for a file's id."""
        entry = await self.stat(raw_id) if raw_id else None
        if entry is not None and entry.kind is Kind.FILE:
            raise NotAFolder("this is a file, not a folder")

    async def _require_free(self, raw_id: str) -> None:
        if await uploads.exists(self._container, self._blob(raw_id)):
            raise AlreadyExists("the name is taken")

    async def _require_version(self, raw_id: str, etag: str) -> None:
        try:
            found = (await self.stat(raw_id)).etag
        except NotFound:
            found = None
        if found != etag:
            raise PreconditionFailed("the file is another version now")

    async def _place(self, parent: str, name: str, *, replace: bool, etag: str | None = None) -> str:
        """The raw id of a file of that name: looked at before its content is asked for.

        Raises NotFound, NotAFolder, InvalidName, AlreadyExists (a folder in the way can't be replaced).
        """
        NAMING.check_id(parent)
        check_name(name)
        await self._require_folder(parent)
        raw_id = parent + name
        if len(self._blob(raw_id)) >= LONGEST:
            raise InvalidName("the name is longer than the store takes")
        if await self._any_below(raw_id + "/"):
            raise AlreadyExists("the name is taken")
        if etag is not None:
            await self._require_version(raw_id, etag)
        elif not replace:
            await self._require_free(raw_id)
        return raw_id

    async def _require_doomed(self, raw_id: str) -> None:
        """Raises NotFound for what is not there, and for the root."""
        if raw_id == "":
            raise NotFound("the root can't be removed")
        await self.stat(raw_id)

    async def _target(self, raw_id: str, parent: str, name: str, *, replace: bool) -> str:
        """Where a move or copy leads; an id of the source's kind."""
        if raw_id == "":
            raise NotFound("the root can't be moved or copied")
        await self.stat(raw_id)
        if is_folder(raw_id) and parent.startswith(raw_id):
            raise InvalidName("a folder can't be put into itself")
        if parent + name == raw_id.removesuffix("/") and replace:
            return raw_id
        target = await self._place(parent, name, replace=replace and not is_folder(raw_id))
        return f"{target}/" if is_folder(raw_id) else target

    async def _ticket(self, state: str) -> uploads.Ticket:
        """An upload's ticket. Raises NotFound unless it still runs."""
        ticket = uploads.Ticket.read(state)
        await uploads.require_mark(self._container, self._blob(ticket.marker()))
        return ticket

    async def _tags(self, raw_id: str) -> dict[str, str]:
        NAMING.check_id(raw_id)
        if is_folder(raw_id):
            await self._require_folder(raw_id)
            raise Unsupported("the store keeps no properties of folders")
        return await trees.tags(self._container, self._blob(raw_id))


def _type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or _NO_TYPE


def _is_file(raw_id: str) -> bool:
    return not is_folder(raw_id) and NAMING.nameable(raw_id)


def _raw_id(entry: Entry) -> str:
    return entry.raw_id
