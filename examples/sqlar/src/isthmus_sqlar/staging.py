"""An upload until it is whole: a file without a name, on the archive's own disk.

A transaction that stays open for as long as a caller takes would lock out everybody else. The file goes when
it is closed, and by itself when the gateway is killed.
"""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from connectors.interface import CHUNK, OutOfSpace
from isthmus_sqlar.connections import Connections
from isthmus_sqlar.errors import store_errors

_LARGEST = 1_000_000_000 - 16 * 1024
"""Bytes of a row, as SQLite is built by default (https://sqlite.org/limits.html), less some for the name."""


class Staged:
    """Takes an upload's chunks at constant memory, whether their length is known or not."""

    length = 0

    def __init__(self, connections: Connections, folder: Path) -> None:
        self._connections = connections
        with store_errors():
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    async def take(self, chunks: AsyncIterator[bytes], size: int | None) -> None:
        """All chunks. Raises OutOfSpace as soon as they are, or will be, more than a row can hold."""
        _check(size or 0)
        async for chunk in chunks:
            self.length += len(chunk)
            _check(self.length)
            await self._connections.run(None, lambda chunk=chunk: self._file.write(chunk))  # type: ignore[misc]  # bound now

    def pieces(self) -> Iterator[bytes]:
        """The bytes from the beginning. Blocking."""
        self._file.seek(0)
        return iter(lambda: self._file.read(CHUNK), b"")


def _check(length: int) -> None:
    if length > _LARGEST:
        raise OutOfSpace("the file is larger than an archive can hold")
