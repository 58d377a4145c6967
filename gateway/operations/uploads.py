"""Uploads in parts: what api and worker say to each other about them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from gateway.operations.messages import AccountRef, Conflict, EntryView

type Ask = Callable[..., Awaitable[Any]]
"""Calls an operation by name, with a body and its length where there is one, and arguments."""


@dataclass(frozen=True, slots=True)
class PartView:
    """A part that the store has: its number from 1, its bytes, when it was last stored."""

    number: int
    size: int
    modified: datetime

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The view that the worker sent."""
        return cls(value["number"], value["size"], datetime.fromisoformat(value["modified"]))


@dataclass(frozen=True, slots=True)
class UploadView:
    """A file on its way in parts.

    Attributes:
        size: bytes of the whole file, when its client told.
        part_size: bytes of every part but the last, which may be shorter.
        parallel: whether parts may be sent at the same time.
        expires: when what was sent is dropped.
        parts: those that the store has, by number.
    """

    id: str
    name: str
    size: int | None
    part_size: int
    parallel: bool
    created: datetime
    expires: datetime
    parts: tuple[PartView, ...] = ()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The view that the worker sent."""
        return cls(
            id=value["id"],
            name=value["name"],
            size=value["size"],
            part_size=value["part_size"],
            parallel=value["parallel"],
            created=datetime.fromisoformat(value["created"]),
            expires=datetime.fromisoformat(value["expires"]),
            parts=tuple(map(PartView.from_json, value["parts"])),
        )


class Uploads:
    """Calls a worker about uploads. An upload that is over, expired or another account's is NotFound."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def begin(
        self, account: AccountRef, parent_id: str, name: str, *, size: int | None, conflict: Conflict
    ) -> UploadView:
        """A new upload. Raises Unsupported where the store takes no parts, AlreadyExists."""
        begun = await self._ask(
            "begin_upload", account=account, parent_id=parent_id, name=name, size=size, conflict=conflict
        )
        return UploadView.from_json(begun)

    async def fetch(self, account: AccountRef, upload_id: str) -> UploadView:
        """The upload with its parts."""
        return UploadView.from_json(await self._ask("upload", account=account, upload_id=upload_id))

    async def write_part(
        self, account: AccountRef, upload_id: str, number: int, chunks: AsyncIterator[bytes], *, size: int
    ) -> PartView:
        """The part, once it is stored. An error of `chunks` cancels it; one of this number is replaced.

        Raises PreconditionFailed while the upload is being completed.
        """
        written = await self._ask(
            "write_part", chunks, size, account=account, upload_id=upload_id, number=number, size=size
        )
        return PartView.from_json(written)

    async def complete(self, account: AccountRef, upload_id: str, *, parts: int, size: int) -> EntryView:
        """The file, made of this number of parts with this many bytes together.

        Raises PreconditionFailed when the parts are others by now, or one is being written; AlreadyExists
        when the name was taken meanwhile: the upload then goes on.
        """
        made = await self._ask(
            "complete_upload", account=account, upload_id=upload_id, parts=parts, size=size
        )
        return EntryView.from_json(made)

    async def abandon(self, account: AccountRef, upload_id: str) -> None:
        """Drops the upload, on the store too; parts that are being written break off with NotFound."""
        await self._ask("abandon_upload", account=account, upload_id=upload_id)

    async def abandon_all(self, account: AccountRef) -> None:
        """Drops every upload of the account."""
        await self._ask("abandon_uploads", account=account)
