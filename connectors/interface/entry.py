"""What a store holds: entries (files and folders), pages of them, spans of bytes."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What an entry is."""

    FILE = "file"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder, as its store describes it.

    Attributes:
        raw_id: the store's own id; for a path-based store the path under the account's root, with `/`
            between parts and none in front; `""` is the root. An object store's folder ends with `/`, so
            that it is another id than an object of that name.
        parent: the parent folder's raw_id; None for the root.
        size: bytes; None where the store does not say, and for folders.
        etag: an opaque version; changes whenever the bytes do. None where the store has none.
        modified, created: aware, UTC; None where the store does not say.
        raw: the store's own description as JSON has it, where there is more than the above; no part of
            what makes two entries equal.
    """

    raw_id: str
    name: str
    kind: Kind
    parent: str | None
    size: int | None = None
    modified: datetime | None = None
    created: datetime | None = None
    etag: str | None = None
    mime_type: str | None = None
    owner: str | None = None
    raw: Mapping[str, object] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Page:
    """A slice of a listing. `next_cursor` is None on the last, else opaque and handed back as it came."""

    entries: list[Entry]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A byte range: `first` and `last`, both included (RFC 9110, 14.1.2). `last` None means to the end."""

    first: int
    last: int | None = None


@dataclass(slots=True)
class Content:
    """An opened file: the version that was opened, and its bytes.

    `chunks` yields pieces of 1 B to 256 KiB, of exactly the span that was asked for. Closing it
    (`aclose`, or leaving an `async for` inside `aclosing`) releases the store's side at once.
    """

    entry: Entry
    chunks: AsyncIterator[bytes]
