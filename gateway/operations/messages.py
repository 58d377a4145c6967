"""What api and worker say to each other, and the names of it on the wire.

Ids in these messages are public ids: opaque, made and read by the worker alone. Errors travel as the name
of a `StoreError` leaf with its message, and are raised again as that leaf on the api's side.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

ROOT = "root"


class Conflict(StrEnum):
    """What a write does when the name is taken."""

    RENAME = "rename"
    REPLACE = "replace"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class AccountRef:
    """Which account an operation is for; the revision tells the worker when its open connector is stale."""

    id: int
    revision: int


@dataclass(frozen=True, slots=True)
class ParentView:
    """The folder that holds an entry."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class EntryView:
    """One file or folder with public ids. `type` is "file" or "folder"; times are aware UTC or None.

    `raw` is the store's own description, where the request wishes for it and the connector has one.
    """

    id: str
    raw_id: str
    name: str
    type: str
    path: str | None
    parent: ParentView | None
    size: int | None = None
    modified: datetime | None = None
    created: datetime | None = None
    etag: str | None = None
    mime_type: str | None = None
    owner: str | None = None
    raw: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object; times as ISO 8601."""
        return {
            "id": self.id,
            "raw_id": self.raw_id,
            "name": self.name,
            "type": self.type,
            "path": self.path,
            "parent": None if self.parent is None else {"id": self.parent.id, "name": self.parent.name},
            "size": self.size,
            "modified": self.modified.isoformat() if self.modified else None,
            "created": self.created.isoformat() if self.created else None,
            "etag": self.etag,
            "mime_type": self.mime_type,
            "owner": self.owner,
            "raw": self.raw,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The view that `to_json` described."""
        parent = value["parent"]
        return cls(
            id=value["id"],
            raw_id=value["raw_id"],
            name=value["name"],
            type=value["type"],
            path=value["path"],
            parent=ParentView(parent["id"], parent["name"]) if parent else None,
            size=value["size"],
            modified=datetime.fromisoformat(value["modified"]) if value["modified"] else None,
            created=datetime.fromisoformat(value["created"]) if value["created"] else None,
            etag=value["etag"],
            mime_type=value["mime_type"],
            owner=value["owner"],
            raw=value.get("raw"),
        )


@dataclass(frozen=True, slots=True)
class PageView:
    """A slice of a listing; `next_cursor` None on the last one.

    A walk that a bound ended says so in `stopped`, and counts the folders that it could not list.
    """

    entries: list[EntryView]
    next_cursor: str | None
    stopped: str | None = None
    passed_over: int = 0


@dataclass(frozen=True, slots=True)
class RecentView:
    """The newest files, newest first, of `total` that there are (as far as they were looked at)."""

    entries: list[EntryView]
    total: int
    stopped: str | None = None
    passed_over: int = 0


@dataclass(slots=True)
class Reading:
    """An opened file: its version, first byte and length (None: not known) of what follows, how to stop.

    `chunks` may be iterated once; `aclose` cancels everything behind it at once, and is always called.
    """

    entry: EntryView
    first: int
    length: int | None
    chunks: AsyncIterator[bytes]
    aclose: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class TunnelView:
    """One live agent of a network, as the hub sees it."""

    agent_id: int
    network_id: int
    connected: bool
    since: float
    streams: int
    bytes_in: int
    bytes_out: int
    resumes: int
    policy: list[str] = field(default_factory=list)
