"""A file that has its name only once it is whole. Blocking; called in threads."""

import errno
import os
import stat
from typing import Self

from connectors.interface.paths import temporary_name
from connectors.local.confined import Tree, give_name

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class NewFile:
    """A hidden file beside its place, open. Every method may raise OSError.

    Make it by `create`, or `reopen` one that was left by `close`.
    """

    def __init__(self, tree: Tree, parts: list[str], temporary: str, flags: int) -> None:
        self._temporary = temporary
        with tree.folder(parts) as parent:
            self._parent = os.dup(parent)
        try:
            self._file = os.open(temporary, flags, 0o666, dir_fd=self._parent)
        except OSError:
            os.close(self._parent)
            raise

    @classmethod
    def create(cls, tree: Tree, parts: list[str], temporary: str | None = None) -> Self:
        """A new one in the folder `parts`."""
        return cls(tree, parts, temporary or temporary_name(), _FLAGS | os.O_CREAT | os.O_EXCL)

    @classmethod
    def reopen(cls, tree: Tree, parts: list[str], temporary: str) -> Self:
        """One that was created before, perhaps by another process. Raises FileNotFoundError."""
        return cls(tree, parts, temporary, _FLAGS)

    def write(self, data: bytes) -> None:
        """Appends."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def write_at(self, data: bytes, offset: int) -> None:
        """Writes at a place; the bytes in between are zeros until they are written."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written

    def size(self) -> int:
        """Bytes so far."""
        return os.fstat(self._file).st_size

    def cut(self, size: int) -> None:
        """Drops what is behind."""
        os.ftruncate(self._file, size)

    def current(self, name: str) -> os.stat_result | None:
        """What has that name beside it now."""
        try:
            return os.stat(name, dir_fd=self._parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def commit(self, name: str, *, replace: bool) -> os.stat_result:
        """Gives the file its name. FileExistsError when that is a folder's, or taken and not `replace`."""
        there = self.current(name)
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise FileExistsError(errno.EEXIST, "a folder has the name")
        give_name(self._parent, self._temporary, self._parent, name, folder=False, replace=replace)
        return os.fstat(self._file)

    def close(self, *, discard: bool) -> None:
        """Ends it; `discard` removes the hidden name, else it can be opened again."""
        try:
            if discard:
                os.unlink(self._temporary, dir_fd=self._parent)
        except FileNotFoundError:
            pass
        finally:
            file, parent = self._file, self._parent
            # a thread that was stuck and goes on must not meet another file under these numbers
            self._file = self._parent = -1
            os.close(file)
            os.close(parent)
