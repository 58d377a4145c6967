"""Content from one store to another, or to another place in one: streamed, files and whole folders.

In memory are a piece or two of each file on its way, a page of a listing, and for each level above it the
folders still to come. Nothing is copied to disk.
"""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    CanMakeFolders,
    Connector,
    Entry,
    Kind,
    StoreError,
    Unsupported,
)
from gateway.worker.content import transfers
from gateway.worker.groups import one_error
from gateway.worker.tasks import Progress

_log = logging.getLogger(__name__)
_PAGE = 1000
_DEEPEST = 100
_MODULUS = 1 << 256
_CLEAN_UP_WITHIN = 30.0


class Fingerprint:
    """What some entries were like, whatever their order: two that are equal saw the same tree."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, path: str, entry: Entry) -> None:
        """Takes an entry in, under its path below the tree's top."""
        facts = repr((path, entry.kind.value, entry.size, entry.etag, entry.modified))
        if entry.kind is Kind.FOLDER:  # its time changes with what is in it; its version says nothing more
            facts = repr((path, entry.kind.value))
        digest = hashlib.sha256(facts.encode("utf-8", "surrogateescape")).digest()
        self._sum = (self._sum + int.from_bytes(digest)) % _MODULUS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and self._sum == other._sum

    __hash__ = None  # type: ignore[assignment]  # it grows


@dataclass(slots=True)
class Copying:
    """One copy. `seen` is what was copied, to be compared with what is there afterwards.

    Args:
        source, target: the stores, or twice the same.
        files_at_once: of one folder.
        resume_within: seconds for which a broken read is tried again.
    """

    source: Connector
    target: Connector
    progress: Progress
    files_at_once: int
    resume_within: float
    seen: Fingerprint = field(default_factory=Fingerprint)

    async def entry(self, entry: Entry, parent: str, name: str) -> Entry:
        """The copy. On any error, cancellation included, nothing of it is left at the target.

        Raises what both stores raise; AlreadyExists when the name is taken by now; BadAnswer when the target
        kept another number of bytes than it was given.
        """
        self.seen.add("", entry)
        if entry.kind is Kind.FILE:
            self.progress.total = entry.size
            return await self._file(entry, parent, name)
        made = await self._mkdir(parent, name)
        try:
            await self._fill(entry.raw_id, made.raw_id, "", 1)
        except BaseException:
            await self.undo(made)
            raise
        return made

    async def unchanged(self, entry: Entry) -> bool:
        """Whether the source is still what was copied."""
        now = Fingerprint()
        now.add("", await self.source.stat(entry.raw_id))
        if entry.kind is Kind.FOLDER:
            await self._look(entry.raw_id, "", now)
        return now == self.seen

    async def undo(self, made: Entry) -> None:
        """Removes a copy; what the target does not let go of is logged, as the reason is elsewhere."""
        try:
            async with asyncio.timeout(_CLEAN_UP_WITHIN):
                await self.target.delete(made.raw_id, recursive=made.kind is Kind.FOLDER)
        except (StoreError, TimeoutError) as error:
            _log.warning("a copy that failed could not be removed", extra={"cause": str(error)})

    async def _fill(self, folder: str, into: str, path: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise Unsupported(f"folders are nested more than {_DEEPEST} deep")
        cursor: str | None = None
        while True:
            page = await self.source.list(folder, cursor, _PAGE)
            for entry in page.entries:
                self.seen.add(f"{path}/{entry.name}", entry)
            await self._files([entry for entry in page.entries if entry.kind is Kind.FILE], into)
            below = [(entry.raw_id, entry.name) for entry in page.entries if entry.kind is Kind.FOLDER]
            cursor = page.next_cursor
            del page
            for raw_id, name in below:
                made = await self._mkdir(into, name)
                await self._fill(raw_id, made.raw_id, f"{path}/{name}", depth + 1)
            if cursor is None:
                return

    async def _files(self, files: Sequence[Entry], into: str) -> None:
        """Copies them, some at once."""
        waiting = iter(files)

        async def some() -> None:
            for entry in waiting:
                await self._file(entry, into, entry.name)

        with one_error():
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.files_at_once, len(files))):
                    group.create_task(some(), name="copy files")

    async def _file(self, entry: Entry, parent: str, name: str) -> Entry:
        _, _, length, chunks = await transfers.open_reading(
            self.source,
            entry.raw_id,
            first=None,
            last=None,
            suffix=None,
            etag=None,
            resume_within=self.resume_within,
        )
        own = Progress()
        async with aclosing(own.counted(self.progress.counted(chunks))) as pieces:
            written = await self.target.write(parent, name, pieces, size=length, replace=False)
        size = written.size if written.size is not None else (await self.target.stat(written.raw_id)).size
        if (length is not None and own.passed != length) or size not in (None, own.passed):
            await self.undo(written)
            raise BadAnswer("the store kept another number of bytes than it was given")
        self.progress.entries += 1
        return written

    async def _mkdir(self, parent: str, name: str) -> Entry:
        if not isinstance(self.target, CanMakeFolders):
            raise Unsupported(f"the {self.target.name} connector can't create folders")
        made = await self.target.mkdir(parent, name)
        self.progress.entries += 1
        return made

    async def _look(self, folder: str, path: str, now: Fingerprint) -> None:
        cursor: str | None = None
        while True:
            page = await self.source.list(folder, cursor, _PAGE)
            for entry in page.entries:
                now.add(f"{path}/{entry.name}", entry)
            below = [(entry.raw_id, entry.name) for entry in page.entries if entry.kind is Kind.FOLDER]
            cursor = page.next_cursor
            del page
            for raw_id, name in below:
                await self._look(raw_id, f"{path}/{name}", now)
            if cursor is None:
                return


async def free_name(target: Connector, parent: str, name: str) -> str:
    """The name, or the first like it that is free."""
    if await transfers.find(target, parent, name) is None:
        return name
    return await transfers.free_name(target, parent, name)


async def require_free(target: Connector, parent: str, name: str) -> None:
    """Raises AlreadyExists when the name is taken."""
    if await transfers.find(target, parent, name) is not None:
        raise AlreadyExists(f"the name {name!r} is taken")
