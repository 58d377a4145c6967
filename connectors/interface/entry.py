"""What a store holds: entries (files and folders), pages of them, spans of bytes."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


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


class Chunks(Protocol):
    """Pieces of content in order, each taken once; an async generator is one."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Itself."""
        ...

    def __anext__(self) -> Awaitable[bytes]:
        """The next piece. Raises StopAsyncIteration at the end."""
        ...

    def aclose(self) -> Awaitable[None]:
        """Releases the store's side at once, whether or not a piece was ever taken."""
        ...


class Held:
    """An async generator with what it stands on: a generator that never began runs no `finally`.

    Args:
        pieces: releases by itself what it stands on, once it has begun.
        release: does so for one that has not.
    """

    def __init__(self, pieces: AsyncGenerator[bytes], release: Callable[[], Awaitable[object]]) -> None:
        self._pieces = pieces
        self._release: Callable[[], Awaitable[object]] | None = release

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Itself."""
        return self

    def __anext__(self) -> Awaitable[bytes]:
        """The generator's next piece."""
        self._release = None
        return self._pieces.__anext__()

    async def aclose(self) -> None:
        """Ends the generator; releases if it never began."""
        await self._pieces.aclose()
        if (release := self._release) is not None:
            self._release = None
            await release()


@dataclass(slots=True)
class Content:
    """An opened file: the version that was opened, and its bytes.

    `chunks` gives pieces of 1 B to 256 KiB, of exactly the span that was asked for. Closing it (`aclose`, or
    leaving an `aclosing`) releases the store's side at once; whoever opened the file always does.
    """

    entry: Entry
    chunks: Chunks
