"""The S3 connectors: folders as prefixes, files as objects."""

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Self

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
    NotEmpty,
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
from connectors.objects import answers, is_folder
from connectors.s3 import documents, downloads, properties, trees, uploads
from connectors.s3.bucket import Bucket, after
from connectors.s3.keys import LONGEST_KEY, NAMING
from connectors.s3.settings import S3CompatibleSettings, S3Settings

_LONGEST_PRESIGNED = 7 * 24 * 3600
_MARKER = {"content-type": "application/x-directory"}
_NO_TYPE = "application/octet-stream"


class S3Connector(Connector):
    """Objects of one bucket of Amazon S3, or those below a prefix."""

    name: ClassVar[str] = "s3"
    friendly_name: ClassVar[str] = "Amazon S3"
    category: ClassVar[str] = "object_store"
    settings: ClassVar[type[Settings]] = S3Settings
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

    def __init__(self, bucket: Bucket, locks: Locks) -> None:
        self._bucket = bucket
        self._locks = locks

    @classmethod
    def normal_id(cls, raw_id: str, kind: Kind) -> str:
        """A folder's ends with `/`, so that a folder and an object of one name are two entries."""
        plain = raw_id.strip("/")
        return f"{plain}/" if plain and kind is Kind.FOLDER else plain

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        """Connects at the first verb."""
        assert isinstance(settings, S3Settings)  # noqa: S101  the registry pairs them
        return cls(await asyncio.to_thread(_bucket, settings, context), context.locks)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._bucket.aclose()

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """The same open account; `x-amz-` headers are signed with the rest.

        Raises Unsupported for those that frame, sign or condition a request: they are the connector's own.
        """
        return type(self)(self._bucket.with_fields(headers), self._locks)

    def origins(self) -> Sequence[Origin]:
        """The bucket, in the host's name and in the path."""
        return self._bucket.others.origins

    async def authorise(self, request: Request, *, refused: str | None = None) -> Authorised:
        """By a signature in the headers, in place of any other."""
        if refused is not None:
            raise BadCredential("the store does not accept the account's key")
        return self._bucket.others.authorise(request)

    # entries

    async def stat(self, raw_id: str) -> Entry:
        """An object as HEAD describes it; a folder where any key lies below its id."""
        NAMING.check_id(raw_id)
        if is_folder(raw_id):
            # asked for the root too: whether the bucket is there, and the key good for it
            if not await self._any_below(raw_id) and raw_id:
                raise NotFound("there is no such folder")
            return downloads.folder(raw_id, self._key(raw_id))
        answer = await self._bucket.request("HEAD", self._key(raw_id))
        await answer.aclose()
        return downloads.described(raw_id, answer)

    async def child(self, parent: str, name: str) -> Entry:
        """The object of that name, else the folder."""
        if not is_folder(parent) or not name or "/" in name:
            raise NotFound("there is no such file or folder")
        try:
            return await self.stat(parent + name)
        except NotFound:
            return await self.stat(f"{parent}{name}/")

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        """In the store's order, by ListObjectsV2. Keys that no id can name are left out."""
        if not is_folder(folder):
            await self._require_folder(folder)
        NAMING.check_id(folder)
        prefix = self._key(folder)
        begin = cursor or after(prefix)
        found, goes_on = await self._bucket.list(prefix, delimiter="/", cursor=begin, limit=limit)
        if cursor is None and not (found.objects or found.prefixes):
            await self._require_folder(folder)
        entries = [
            *(downloads.listed(self._raw_id(one.key), one) for one in found.objects if self._named(one.key)),
            *(downloads.folder(self._raw_id(one), one) for one in found.prefixes if self._named(one)),
        ]
        return Page(sorted((e for e in entries if e.raw_id != folder), key=_raw_id), goes_on)

    async def tree(self, folder: str, cursor: str | None, limit: int) -> Page:
        """Files at any depth, by one listing without a delimiter; no folders."""
        NAMING.check_id(folder)
        if cursor is None:
            await self._require_folder(folder)
        prefix = self._key(folder)
        found, goes_on = await self._bucket.list(prefix, cursor=cursor or after(prefix), limit=limit)
        named = (one for one in found.objects if self._named(one.key) and not one.key.endswith("/"))
        return Page([downloads.listed(self._raw_id(one.key), one) for one in named], goes_on)

    # content

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        """One GET: entry and bytes are of the same version."""
        NAMING.check_id(raw_id)
        if is_folder(raw_id):
            await self._require_folder(raw_id)
            raise NotAFolder("this is a folder, not a file")
        return await downloads.open_content(self._bucket, raw_id, self._key(raw_id), span, etag)

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
        """By PUT or in parts; the store itself checks, at the end, that the name is free, or the version."""
        raw_id = await self._place(parent, name, replace=replace, etag=etag)
        condition = self._bucket.condition(replace=replace, etag=etag)
        mime_type = mimetypes.guess_type(name)[0] or _NO_TYPE
        try:
            await uploads.store(self._bucket, self._key(raw_id), chunks, size, mime_type, condition)
        except PreconditionFailed:
            if etag is None:
                raise AlreadyExists("the name is taken") from None
            raise
        return await self.stat(raw_id)

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        """Deletes an object, a folder's marker, or all below a folder; a bucket may keep versions."""
        if await self._require_doomed(raw_id, recursive=recursive):
            await trees.delete_tree(self._bucket, self._key(raw_id))
        else:
            await self._bucket.delete(self._key(raw_id))

    async def purge(self, raw_id: str, *, recursive: bool = False) -> None:
        """Deletes every version, also of what was deleted before, and the marks of deletion."""
        NAMING.check_id(raw_id)
        try:
            below = await self._require_doomed(raw_id, recursive=recursive)
        except NotFound:  # deleted, perhaps: then its versions are left
            below = recursive and is_folder(raw_id)
        try:
            if raw_id and await trees.purge(self._bucket, self._key(raw_id), below=below):
                return
        except Unsupported:  # a store that lists no versions keeps none
            await self.delete(raw_id, recursive=recursive)
            return
        raise NotFound("there is no such file or folder")

    # places

    async def mkdir(self, parent: str, name: str) -> Entry:
        """A folder's marker: an empty object whose key ends with `/`."""
        raw_id = await self._place(parent, name, replace=False) + "/"
        try:
            fields = {**_MARKER, **self._bucket.condition(replace=False)}
            answer = await self._bucket.request("PUT", self._key(raw_id), (), fields, body=b"")
        except PreconditionFailed:
            raise AlreadyExists("the name is taken") from None
        await answer.aclose()
        return downloads.folder(raw_id, self._key(raw_id))

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """A copy and then a deletion, key by key: not atomic. A folder in the way is never replaced."""
        target = await self._target(raw_id, parent, name, replace=replace)
        source = self._key(raw_id)
        if target == raw_id:
            return await self.stat(raw_id)
        if is_folder(raw_id):
            await trees.move_tree(self._bucket, source, self._key(target))
        else:
            await self._copy_object(source, self._key(target), replace=replace)
            await self._bucket.delete(source)
        return await self.stat(target)

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        """Copied by the store; a folder key by key."""
        target = await self._target(raw_id, parent, name, replace=False)
        if is_folder(raw_id):
            await trees.copy_tree(self._bucket, self._key(raw_id), self._key(target))
        else:
            await self._copy_object(self._key(raw_id), self._key(target), replace=False)
        return await self.stat(target)

    # uploads in parts

    async def begin_upload(self, parent: str, name: str, *, size: int | None, replace: bool) -> Upload:
        """A multipart upload of the store's."""
        raw_id = await self._place(parent, name, replace=replace)
        mime_type = mimetypes.guess_type(name)[0] or _NO_TYPE
        upload = await uploads.begin(self._bucket, self._key(raw_id), {"content-type": mime_type})
        return Upload(uploads.Ticket(upload, raw_id, replace).written(), uploads.part_size(size))

    async def write_part(self, state: str, number: int, chunks: AsyncIterator[bytes], *, size: int) -> str:
        """The part's entity tag."""
        ticket = uploads.Ticket.read(state)
        key = self._key(ticket.raw_id)
        return await uploads.write_part(self._bucket, key, ticket.upload, number, chunks, size)

    async def complete_upload(self, state: str, parts: Sequence[Part]) -> Entry:
        """The file; the store checks that the name is free where it has to be."""
        ticket = uploads.Ticket.read(state)
        if not ticket.replace and await self._there(ticket.raw_id) is not None:
            raise AlreadyExists("the name is taken")
        condition = self._bucket.condition(replace=ticket.replace)
        try:
            await uploads.complete(self._bucket, self._key(ticket.raw_id), ticket.upload, parts, condition)
        except PreconditionFailed:
            if not ticket.replace:
                raise AlreadyExists("the name is taken") from None
            raise
        return await self.stat(ticket.raw_id)

    async def abandon_upload(self, state: str) -> None:
        """Drops the upload and its parts."""
        ticket = uploads.Ticket.read(state)
        await uploads.abandon(self._bucket, self._key(ticket.raw_id), ticket.upload)

    # beyond bytes

    async def upload_url(self, parent: str, name: str, *, expires: int) -> Presigned:
        """A PUT. It replaces what has the name by then."""
        raw_id = await self._place(parent, name, replace=True)
        return Presigned(self._presigned("PUT", raw_id, expires), "PUT")

    async def download_url(self, raw_id: str, *, expires: int) -> Presigned:
        """A GET, of whatever version there is by then."""
        entry = await self.stat(raw_id)
        if entry.kind is Kind.FOLDER:
            raise NotAFolder("this is a folder, not a file")
        return Presigned(self._presigned("GET", raw_id, expires), "GET")

    async def properties(self, raw_id: str) -> dict[str, str]:
        """The object's tags. Folders have none."""
        return properties.from_tags(await self._tags(raw_id))

    async def set_properties(self, raw_id: str, changes: Mapping[str, str | None]) -> dict[str, str]:
        """Kept as the object's tags. The store has no condition for them: one change at a time here."""
        async with self._locks.setdefault(raw_id, asyncio.Lock()):
            after = properties.changed(await self._tags(raw_id), changes)
            await trees.put_tags(self._bucket, self._key(raw_id), properties.to_tags(after))
        return after

    # steps

    def _key(self, raw_id: str) -> str:
        return self._bucket.base + raw_id

    def _raw_id(self, key: str) -> str:
        return key.removeprefix(self._bucket.base)

    def _named(self, key: str) -> bool:
        return NAMING.nameable(self._raw_id(key))

    async def _any_below(self, folder: str) -> bool:
        found, _ = await self._bucket.list(self._key(folder), limit=1)
        return bool(found.objects)

    async def _require_folder(self, raw_id: str) -> None:
        """Raises NotFound, or NotAFolder for an object's id."""
        if raw_id and (await self.stat(raw_id)).kind is Kind.FILE:
            raise NotAFolder("this is a file, not a folder")

    async def _there(self, raw_id: str) -> Entry | None:
        """The entry, None where there is none. The root is not asked for: the next request shows."""
        try:
            return await self.stat(raw_id) if raw_id else downloads.folder("", self._key(""))
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
        if len(self._key(raw_id).encode()) >= LONGEST_KEY:
            raise InvalidName("the name is longer than the store takes")
        wanted = [parent, f"{raw_id}/"] if replace and etag is None else [parent, f"{raw_id}/", raw_id]
        above, folder, *file = await answers(wanted, self._there)
        self._bucket.check_characters(name)
        if above is None:
            raise NotFound("there is no such folder")
        if above.kind is Kind.FILE:
            raise NotAFolder("this is a file, not a folder")
        if folder is not None or (file and file[0] is not None and not replace):
            raise AlreadyExists("the name is taken")
        if etag is not None and (not file or file[0] is None or file[0].etag != etag):
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
        found, _ = await self._bucket.list(self._key(raw_id), limit=2)
        if not found.objects:
            raise NotFound("there is no such folder")
        if not recursive and [one for one in found.objects if one.key != self._key(raw_id)]:
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

    async def _copy_object(self, source: str, target: str, *, replace: bool) -> None:
        try:
            await trees.copy_object(self._bucket, source, target, self._bucket.condition(replace=replace))
        except PreconditionFailed:
            if not replace:
                raise AlreadyExists("the name is taken, or the file changed while it was copied") from None
            raise

    async def _tags(self, raw_id: str) -> dict[str, str]:
        NAMING.check_id(raw_id)
        if is_folder(raw_id):
            await self._require_folder(raw_id)
            raise Unsupported("the store keeps no properties of folders")
        return documents.tags(await self._bucket.document("GET", self._key(raw_id), [("tagging", "")]))

    def _presigned(self, method: str, raw_id: str, expires: int) -> str:
        if not 0 < expires <= _LONGEST_PRESIGNED:
            raise Unsupported("a presigned URL is good for seven days at most")
        return self._bucket.presigned(method, self._key(raw_id), expires)


class S3CompatibleConnector(S3Connector):
    """The same on any store that speaks S3's protocol."""

    name: ClassVar[str] = "s3_compatible"
    friendly_name: ClassVar[str] = "S3 compatible"
    settings: ClassVar[type[Settings]] = S3CompatibleSettings


def _bucket(settings: S3Settings, context: Context) -> Bucket:
    # botocore's import takes a third of a second, and the parsing of the machine's certificates some time too
    from connectors.s3.signing import Signer

    return Bucket(settings, context, Signer(settings))


def _raw_id(entry: Entry) -> str:
    return entry.raw_id
