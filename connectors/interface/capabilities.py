"""The table of what a connector can do beyond the required verbs: one small protocol a capability.

What a connector advertises is found by asking the class, so it can't drift from what is written. A live
store may lack what its connector can do: the verb then raises Unsupported.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol, Self, runtime_checkable

from connectors.interface.entry import Entry, Page
from connectors.interface.parts import Part, Upload
from connectors.interface.requests import Authorised, Origin, Request
from connectors.interface.sharing import Permission, Presigned, Quota


class Capability(StrEnum):
    """Something that a connector can do and its tests prove."""

    MKDIR = "mkdir"
    MOVE = "move"
    COPY = "copy"
    SEARCH = "search"
    TREE = "tree"
    PARTS = "parts"
    PURGE = "purge"
    UPLOAD_URL = "upload_url"
    DOWNLOAD_URL = "download_url"
    PROPERTIES = "properties"
    PERMISSIONS = "permissions"
    QUOTA = "quota"
    HEADERS = "headers"
    RAW = "raw"


@runtime_checkable
class CanMakeFolders(Protocol):
    """Creates folders."""

    async def mkdir(self, parent: str, name: str) -> Entry:
        """The new folder. Raises AlreadyExists, NotFound (no parent), InvalidName."""
        ...


@runtime_checkable
class CanMove(Protocol):
    """Moves and renames, files and folders alike."""

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """The entry at its new place, bytes unchanged. Raises AlreadyExists unless `replace`, NotFound."""
        ...


@runtime_checkable
class CanCopy(Protocol):
    """Copies without moving the bytes through the gateway."""

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        """The copy; folders are copied with their content. Raises AlreadyExists, NotFound."""
        ...


@runtime_checkable
class CanSearch(Protocol):
    """Searches by name on the store's side."""

    async def search(self, query: str, cursor: str | None, limit: int) -> Page:
        """Entries whose name contains the query, whatever its case, in the store's order."""
        ...


@runtime_checkable
class CanListTrees(Protocol):
    """Lists a folder with everything below it at the price of one listing."""

    async def tree(self, folder: str, cursor: str | None, limit: int) -> Page:
        """Files at any depth below the folder, each once, in a stable order; folders may be missing."""
        ...


@runtime_checkable
class CanWriteInParts(Protocol):
    """Takes a file in parts, over days if need be; the name is untouched until the upload is completed."""

    async def begin_upload(self, parent: str, name: str, *, size: int | None, replace: bool) -> Upload:
        """An upload for the name.

        Raises NotFound (no parent), AlreadyExists unless `replace`, InvalidName.
        """
        ...

    async def write_part(self, state: str, number: int, chunks: AsyncIterator[bytes], *, size: int) -> str:
        """A tag of the part, once it is stored; the same number again replaces it.

        An error of `chunks` is passed on as it is, and the part then counts as not written.

        Raises:
            NotFound: the upload was completed or abandoned.
        """
        ...

    async def complete_upload(self, state: str, parts: Sequence[Part]) -> Entry:
        """The file, made of exactly these parts: numbers from 1 on, none missing.

        Raises AlreadyExists (the name was taken meanwhile, and not `replace`), NotFound.
        """
        ...

    async def abandon_upload(self, state: str) -> None:
        """Drops the upload and what it stored; nothing if it is gone already."""
        ...


@runtime_checkable
class CanPurge(Protocol):
    """Has a bin or keeps versions, and can delete past them."""

    async def purge(self, raw_id: str, *, recursive: bool = False) -> None:
        """Removes the entry for good, with its older versions. Raises as `delete`."""
        ...


@runtime_checkable
class CanPresignUploads(Protocol):
    """Lets others upload straight to the store."""

    async def upload_url(self, parent: str, name: str, *, expires: int) -> Presigned:
        """A request that stores its body under the name, good for `expires` seconds."""
        ...


@runtime_checkable
class CanPresignDownloads(Protocol):
    """Lets others download straight from the store."""

    async def download_url(self, raw_id: str, *, expires: int) -> Presigned:
        """A GET of the file's bytes, good for `expires` seconds. Raises NotFound, NotAFolder."""
        ...


@runtime_checkable
class CanKeepProperties(Protocol):
    """Keeps keys and values of the callers' own with a file."""

    async def properties(self, raw_id: str) -> dict[str, str]:
        """Every property. Raises NotFound."""
        ...

    async def set_properties(self, raw_id: str, changes: Mapping[str, str | None]) -> dict[str, str]:
        """Every property after the changes; None removes a key. The bytes and the etag may not change.

        Raises InvalidName for a key or value that the store can't hold.
        """
        ...


@runtime_checkable
class CanSetPermissions(Protocol):
    """Says and changes who may use an entry."""

    async def permissions(self, raw_id: str) -> list[Permission]:
        """Every grant. Raises NotFound."""
        ...

    async def set_permissions(
        self, raw_id: str, grants: Sequence[Permission], *, replace: bool
    ) -> list[Permission]:
        """Every grant afterwards; without `replace` others than the given stay as they are.

        Raises Unsupported for a grant that the store can't express.
        """
        ...


@runtime_checkable
class CanTellQuota(Protocol):
    """Knows how much room there is."""

    async def quota(self) -> Quota:
        """The account's room. Raises Unsupported where this store does not say."""
        ...


@runtime_checkable
class CanSendHeaders(Protocol):
    """Speaks HTTP with its store, and sends headers of the caller's with its requests."""

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """The same open account; its requests carry these headers too. Closing it is left to the original."""
        ...


@runtime_checkable
class CanAuthorise(Protocol):
    """Speaks HTTP with its store, and authorises requests that somebody else makes in the store's own API."""

    def origins(self) -> Sequence[Origin]:
        """Where the account's requests go, and nowhere else; the first is the one of relative URIs."""
        ...

    async def authorise(self, request: Request, *, refused: str | None = None) -> Authorised:
        """The request with the account's authorisation in place of whatever it came with.

        Args:
            request: its origin is one of `origins`.
            refused: the WWW-Authenticate of a 401 to the same request before; None the first time.

        Raises:
            NotPermitted: the origin or path is not the account's.
            Unsupported: a request that can't be authorised, such as a body whose digest has to be known.
            BadCredential: there is nothing better than what was `refused`.
        """
        ...


PROTOCOLS: dict[Capability, type] = {
    Capability.MKDIR: CanMakeFolders,
    Capability.MOVE: CanMove,
    Capability.COPY: CanCopy,
    Capability.SEARCH: CanSearch,
    Capability.TREE: CanListTrees,
    Capability.PARTS: CanWriteInParts,
    Capability.PURGE: CanPurge,
    Capability.UPLOAD_URL: CanPresignUploads,
    Capability.DOWNLOAD_URL: CanPresignDownloads,
    Capability.PROPERTIES: CanKeepProperties,
    Capability.PERMISSIONS: CanSetPermissions,
    Capability.QUOTA: CanTellQuota,
    Capability.HEADERS: CanSendHeaders,
    Capability.RAW: CanAuthorise,
}


def implemented(connector: type) -> frozenset[Capability]:
    """The capabilities whose protocol the class satisfies."""
    return frozenset(c for c, protocol in PROTOCOLS.items() if issubclass(connector, protocol))
