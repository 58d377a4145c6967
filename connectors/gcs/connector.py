"""The Google Cloud Storage connector: folders as prefixes, files as objects."""

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Self

from connectors.gcs import entries, objects, trees, uploads
from connectors.gcs.bucket import Bucket
from connectors.gcs.downloads import open_content
from connectors.gcs.entries import Object
from connectors.gcs.keys import LONGEST, NAMING
from connectors.gcs.settings import GcsSettings
from connectors.gcs.signing import LONGEST as LONGEST_URL
from connectors.gcs.signing import presigned
from connectors.interface import (
    AlreadyExists,
    Authorised,
    Capability,
    Connector,
    Content,
    Context,
    Entry,
    InvalidName,
    Kind,
    NotAFolder,
    NotEmpty,
    NotFound,
    Origin,
    Page,
    PreconditionFailed,
    Presigned,
    Request,
    Settings,
    Span,
    Unsupported,
)
from connectors.objects import answers, is_folder

_NO_TYPE = "application/octet-stream"


class GcsConnector(Connector):
    """Objects of one bucket of Google Cloud Storage, or those below a prefix."""

    name: ClassVar[str] = "gcs"
    friendly_name: ClassVar[str] = "Google Cloud Storage"
    category: ClassVar[str] = "object_store"
    settings: ClassVar[type[Settings]] = GcsSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.MKDIR,
            Capability.MOVE,
            Capability.COPY,
            Capability.TREE,
            Capability.PURGE,
            Capability.UPLOAD_URL,
            Capability.DOWNLOAD_URL,
            Capability.PROPERTIES,
            Capability.HEADERS,
            Capability.RAW,
        }
    )

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @classmethod
    def normal_id(cls, raw_id: str, kind: Kind) -> str:
        """A folder's ends with `/`, so that a folder and an object of one name are two entries."""
        plain = raw_id.strip("/")
        return f"{plain}/" if plain and kind is Kind.FOLDER else plain

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """Connects at the first verb."""
        assert isinstance(settings, GcsSettings)  # noqa: S101  the registry pairs them
        # parsing the machine's certificates and the key takes some time
        return cls(await asyncio.to_thread(Bucket, settings, context))

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._bucket.aclose()

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """The same open account.

        Raises Unsupported for those that frame, condition or authorise a request: they are the connector's.
        """
        return type(self)(self._bucket.with_fields(headers))

    def origins(self) -> Sequence[Origin]:
        """The bucket in the JSON API: its own place, and those for uploads and downloads."""
        return self._bucket.others.origins

    async def authorise(self, request: Request, *, refused: str | None = None) -> Authorised:
        """By the service account's current token."""
        return await self._bucket.others.authorise(request, refused)

    # entries

    async def stat(self, raw_id: str) -> Entry:
        """An object as the store describes it; a folder where any object lies below its id."""
        NAMING.check_id(raw_id)
        if not is_folder(raw_id):
            return entries.file(raw_id, await objects.look(self._bucket, self._name(raw_id)))
        # asked for the root too: whether the bucket is there, and the account good for it
        if not await objects.some(self._bucket, self._name(raw_id), 1) and raw_id:
            raise NotFound("there is no such folder")
        return entries.folder(raw_id)

    async def child(self, parent: str, name: str) -> Entry:
        """The object of that name, else the folder."""
        if not is_folder(parent) or not name or "/" in name:
            raise NotFound("there is no such file or folder")
        try:
            return await self.stat(parent + name)
        except NotFound:
            return await self.stat(f"{parent}{name}/")

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """In the order of names. The cursor is the last one; names that no id can be are left out."""
        if not is_folder(folder):
            await self._require_folder(folder)
        NAMING.check_id(folder)
        names, more = await objects.names(self._bucket, self._name(folder), cursor, limit, delimiter="/")
        if not names and cursor is None:
            await self._require_folder(folder)
        listed = [
            entries.folder(self._raw_id(name)) if one is None else entries.file(self._raw_id(name), one)
            for name, one in names
            if self._listed(name)
        ]
        return Page(listed, names[-1][0] if more else None)

    async def tree(self, folder: str, cursor: str | None, limit: int) -> Page:
        """Files at any depth, by one listing without a delimiter; no folders."""
        NAMING.check_id(folder)
        if cursor is None:
            await self._require_folder(folder)
        names, more = await objects.names(self._bucket, self._name(folder), cursor, limit)
        files = [
            entries.file(self._raw_id(name), one)
            for name, one in names
            if one is not None and not name.endswith("/") and self._listed(name)
        ]
        return Page(files, names[-1][0] if more else None)

    # content

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """The generation that the store named first, or none."""
        NAMING.check_id(raw_id)
        if is_folder(raw_id):
            await self._require_folder(raw_id)
            raise NotAFolder("this is a folder, not a file")
        return await open_content(self._bucket, raw_id, span, etag)

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
        """By a resumable session; the store itself checks, at its end, that the name or version is right."""
        raw_id = await self._place(parent, name, replace=replace, etag=etag)
        mime_type = mimetypes.guess_type(name)[0] or _NO_TYPE
        match = etag if replace else objects.NO_OBJECT
        try:
            stored = await uploads.store(
                self._bucket, self._name(raw_id), chunks, size=size, mime_type=mime_type, match=match
            )
        except PreconditionFailed:
            if not replace:
                raise AlreadyExists("the name is taken") from None
            raise
        return entries.file(raw_id, stored)

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """Deletes an object, a folder's marker, or all below a folder; a bucket may keep versions."""
        if await self._require_doomed(raw_id, recursive=recursive):
            await trees.delete_tree(self._bucket, self._name(raw_id))
        else:
            await objects.delete(self._bucket, self._name(raw_id))

    async def purge(self, raw_id: str, *, recursive: bool = False) -> None:
        """Deletes every generation, also of what was deleted before. Soft deletion is the bucket's own."""
        NAMING.check_id(raw_id)
        try:
            below = await self._require_doomed(raw_id, recursive=recursive)
        except NotFound:  # deleted, perhaps: then its versions are left
            below = recursive and is_folder(raw_id)
        if not raw_id or not await trees.purge(self._bucket, self._name(raw_id), below=below):
            raise NotFound("there is no such file or folder")

    # places

    async def mkdir(self, parent: str, name: str) -> Entry:
        """A folder's marker: an empty object whose name ends with `/`."""
        raw_id = await self._place(parent, name, replace=False) + "/"
        try:
            await objects.make_empty(self._bucket, self._name(raw_id))
        except PreconditionFailed:
            raise AlreadyExists("the name is taken") from None
        return entries.folder(raw_id)

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """A copy and then a deletion, object by object: not atomic. A folder in the way is never replaced."""
        target = await self._target(raw_id, parent, name, replace=replace)
        if target == raw_id:
            return await self.stat(raw_id)
        if is_folder(raw_id):
            await trees.move_tree(self._bucket, self._name(raw_id), self._name(target))
            return entries.folder(target)
        source = await objects.look(self._bucket, self._name(raw_id))
        moved = await self._copied(source, target, replace=replace)
        await objects.delete(self._bucket, source.name, only=source.generation)
        return moved

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        """Copied by the store; a folder object by object."""
        target = await self._target(raw_id, parent, name, replace=False)
        if is_folder(raw_id):
            await trees.copy_tree(self._bucket, self._name(raw_id), self._name(target))
            return entries.folder(target)
        return await self._copied(await objects.look(self._bucket, self._name(raw_id)), target, replace=False)

    # beyond bytes

    async def upload_url(self, parent: str, name: str, *, expires: int) -> Presigned:
        """A PUT. It replaces what has the name by then."""
        raw_id = await self._place(parent, name, replace=True)
        return self._presigned("PUT", raw_id, expires)

    async def download_url(self, raw_id: str, *, expires: int) -> Presigned:
        """A GET, of whatever generation there is by then."""
        if (await self.stat(raw_id)).kind is Kind.FOLDER:
            raise NotAFolder("this is a folder, not a file")
        return self._presigned("GET", raw_id, expires)

    async def properties(self, raw_id: str) -> dict[str, str]:
        """The object's metadata. Folders have none."""
        await self._require_file(raw_id)
        return (await objects.look(self._bucket, self._name(raw_id))).metadata

    async def set_properties(self, raw_id: str, changes: Mapping[str, str | None]) -> dict[str, str]:
        """Kept as the object's metadata, changed by the store in one step; the generation stays."""
        await self._require_file(raw_id)
        if "" in changes:
            raise InvalidName("the store can't hold a property without a name")
        return (await objects.set_metadata(self._bucket, self._name(raw_id), dict(changes))).metadata

    # steps

    def _name(self, raw_id: str) -> str:
        return self._bucket.base + raw_id

    def _raw_id(self, name: str) -> str:
        return name.removeprefix(self._bucket.base)

    def _listed(self, name: str) -> bool:
        return NAMING.nameable(self._raw_id(name))

    async def _require_folder(self, raw_id: str) -> None:
        """Raises NotFound, or NotAFolder for an object's id."""
        if (await self.stat(raw_id)).kind is Kind.FILE:
            raise NotAFolder("this is a file, not a folder")

    async def _require_file(self, raw_id: str) -> None:
        NAMING.check_id(raw_id)
        if is_folder(raw_id):
            await self._require_folder(raw_id)
            raise Unsupported("the store keeps no properties of folders")

    async def _there(self, raw_id: str) -> Entry | None:
        """The entry, None where there is none. The root is not asked for: the next request shows."""
        try:
            return await self.stat(raw_id) if raw_id else entries.folder("")
        except NotFound:
            return None

    async def _place(self, parent: str, name: str, *, replace: bool, etag: str | None = None) -> str:
        """The raw id of a file of that name: looked at before its content is asked for, all at once.

        Raises:
            NotFound: no such folder.
            NotAFolder: the parent is a file.
            InvalidName: the store can't hold it.
            AlreadyExists: the name is taken; a folder in the way can't be replaced.
            PreconditionFailed: not this version.
        """
        NAMING.check_id(parent)
        NAMING.check_name(name)
        raw_id = parent + name
        if len(self._name(raw_id).encode()) >= LONGEST:  # one more for a folder's slash
            raise InvalidName("the name is longer than the store takes")
        wanted = [parent, f"{raw_id}/"] if replace and etag is None else [parent, f"{raw_id}/", raw_id]
        above, folder, *file = await answers(wanted, self._there)
        there = file[0] if file else None
        if above is None:
            raise NotFound("there is no such folder")
        if above.kind is Kind.FILE:
            raise NotAFolder("this is a file, not a folder")
        if folder is not None or (there is not None and not replace):
            raise AlreadyExists("the name is taken")
        if etag is not None and (there is None or there.etag != etag):
            raise PreconditionFailed("the file is another version now")
        return raw_id

    async def _require_doomed(self, raw_id: str, *, recursive: bool) -> bool:
        """Whether all below the id goes. Raises NotFound, NotEmpty."""
        if raw_id == "":
            raise NotFound("the root can't be removed")
        NAMING.check_id(raw_id)
        if not is_folder(raw_id):
            await self.stat(raw_id)
            return False
        found = await objects.some(self._bucket, self._name(raw_id), 2)
        if not found:
            raise NotFound("there is no such folder")
        if not recursive and [one for one in found if one.name != self._name(raw_id)]:
            raise NotEmpty("the folder is not empty")
        return recursive

    async def _target(self, raw_id: str, parent: str, name: str, *, replace: bool) -> str:
        """Where a move or copy leads; an id of the source's kind."""
        if raw_id == "":
            raise NotFound("the root can't be moved or copied")
        await self.stat(raw_id)
        if is_folder(raw_id) and parent.startswith(raw_id):
            raise InvalidName("a folder can't be put into itself")
        if replace and parent + name == raw_id.removesuffix("/"):
            return raw_id
        target = await self._place(parent, name, replace=replace and not is_folder(raw_id))
        return f"{target}/" if is_folder(raw_id) else target

    async def _copied(self, source: Object, target: str, *, replace: bool) -> Entry:
        match = None if replace else objects.NO_OBJECT
        try:
            copied = await objects.rewrite(self._bucket, source, self._name(target), match=match)
        except PreconditionFailed:
            if not replace and await self._there(target) is not None:
                raise AlreadyExists("the name is taken") from None
            raise
        return entries.file(target, copied)

    def _presigned(self, method: str, raw_id: str, expires: int) -> Presigned:
        account = self._bucket.account
        if account is None:
            raise Unsupported("an account without credentials can't sign URLs")
        if not 0 < expires <= LONGEST_URL:
            raise Unsupported("a presigned URL is good for seven days at most")
        bucket, now = self._bucket, datetime.now(UTC)
        url = presigned(account, bucket.origin, method, bucket.name, self._name(raw_id), expires, now)
        return Presigned(url, method)
