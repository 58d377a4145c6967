"""A file's bytes, piece by piece, by SQLite's incremental blob I/O."""

import zlib
from collections.abc import Callable
from typing import Self

from connectors.interface import CHUNK, BadAnswer, BadSpan, Entry, PreconditionFailed, Span
from isthmus_sqlar.archive import Archive
from isthmus_sqlar.connections import Connections


class Download:
    """The chunks of an opened file. The connection is given back at the end, whichever way that comes.

    No generator: one that nobody began would not run its `finally` when it is closed.
    """

    def __init__(self, connections: Connections, archive: Archive, reading: "Reading") -> None:
        self._connections = connections
        self._archive = archive
        self._reading = reading

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._connections.run(self._archive, self._reading.piece)
        except BaseException:
            await self.aclose()
            raise
        if not piece:
            await self.aclose()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Gives the connection back; nothing if that was done."""
        self._connections.release(self._archive)


class Reading:
    """An opened file; blocking. The read transaction keeps its version, whatever others write meanwhile."""

    def __init__(self, archive: Archive, name: str, span: Span | None, etag: str | None) -> None:
        archive.db.execute("BEGIN")
        row = archive.require_file(name)
        if etag is not None and etag != row.etag:
            raise PreconditionFailed("the file is another version now")
        if span is not None and span.first >= row.size:
            raise BadSpan("the span starts at or after the file's end")
        first = 0 if span is None else span.first
        end = row.size if span is None or span.last is None else min(span.last + 1, row.size)
        self.entry: Entry = row.entry()
        self._left = end - first
        self._archive = archive
        self._deflated: Deflated | None = None
        if self._left == 0:
            return  # an empty file may be NULL, which can't be opened
        if row.stored is None or row.stored > row.size:
            raise BadAnswer("the archive's row for the file is damaged")
        self._blob = archive.db.blobopen("sqlar", "data", row.version, readonly=True)
        if row.stored < row.size:
            self._deflated = Deflated(self._blob.read)
            self._skip(first)
        else:
            self._blob.seek(first)

    def piece(self) -> bytes:
        """The next 1 B to 256 KiB; empty at the end."""
        self._archive.go_on()
        length = min(CHUNK, self._left)
        if length == 0:
            return b""
        piece = self._blob.read(length) if self._deflated is None else self._deflated.read(length)
        if not piece:
            raise BadAnswer("the file ends before its size")
        self._left -= len(piece)
        return piece

    def _skip(self, length: int) -> None:
        """Deflated bytes have no places of their own: what is before a span has to be inflated as well."""
        left, self._left = self._left, length
        while self.piece():
            pass
        self._left = left


class Deflated:
    """Inflates what another tool stored deflated, never more at once than is asked for."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._inflater = zlib.decompressobj()

    def read(self, length: int) -> bytes:
        """1 to `length` bytes; empty at the end. Raises zlib.error."""
        while not self._inflater.eof:
            source = self._inflater.unconsumed_tail or self._read(CHUNK)
            piece = self._inflater.decompress(source, length)
            if piece or not source:
                return piece
        return b""
