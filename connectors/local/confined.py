"""A folder tree that can't be left: every step is opened from the one before, and no link is followed.

Blocking; called in threads. Path checks by text alone lose races (a folder swapped for a link between check
and use); walking by descriptors with O_NOFOLLOW has nothing to lose.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from connectors.interface import (
    AlreadyExists,
    InvalidName,
    NotAFolder,
    NotEmpty,
    NotFound,
    NotPermitted,
    OutOfSpace,
    StoreError,
    Unavailable,
)
from connectors.interface.paths import TEMPORARY

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ERRORS: dict[int, tuple[type[StoreError], str]] = {
    errno.ENOENT: (NotFound, "there is no such file or folder"),
    errno.ELOOP: (NotFound, "there is no such file or folder"),  # a link, which we do not follow
    errno.ENOTDIR: (NotFound, "there is no such file or folder"),
    errno.EEXIST: (AlreadyExists, "the name is taken"),
    errno.ENOTEMPTY: (NotEmpty, "the folder is not empty"),
    errno.EISDIR: (NotAFolder, "this is a folder, not a file"),
    errno.EACCES: (NotPermitted, "the gateway's user may not do that there"),
    errno.EPERM: (NotPermitted, "the gateway's user may not do that there"),
    errno.EROFS: (NotPermitted, "the folder is read-only"),
    errno.ENOSPC: (OutOfSpace, "no room is left on the store"),
    errno.EDQUOT: (OutOfSpace, "the store's quota is used up"),
    errno.EFBIG: (OutOfSpace, "the file is larger than the store takes"),
    errno.ENAMETOOLONG: (InvalidName, "the name is longer than the store takes"),
    errno.EILSEQ: (InvalidName, "the store can't hold this name"),
    errno.EINVAL: (InvalidName, "the store can't hold this name"),
}


@contextmanager
def disk_errors() -> Iterator[None]:
    """Maps what the system raises to a connector's errors, without a path."""
    try:
        yield
    except OSError as error:
        leaf, message = _ERRORS.get(error.errno or 0, (Unavailable, "the folder can't be used just now"))
        raise leaf(message) from error


class Tree:
    """The folder `root` and what is under it."""

    def __init__(self, root: str) -> None:
        self._root = root

    @contextmanager
    def folder(self, parts: list[str]) -> Iterator[int]:
        """A descriptor of the folder, closed at the end. Raises OSError."""
        here = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                below = os.open(part, _FOLDER, dir_fd=here)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)

    def stat(self, parts: list[str]) -> os.stat_result:
        """What is there; a link, device or socket is not there. Raises OSError."""
        if not parts:
            return Path(self._root).stat()
        with self.folder(parts[:-1]) as parent:
            found = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise FileNotFoundError(errno.ENOENT, "neither file nor folder")
        return found

    def entries(self, parts: list[str]) -> list[tuple[str, os.stat_result]]:
        """Names and facts of what is in the folder, in no order. Raises OSError."""
        found = []
        with self.folder(parts) as folder, os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(TEMPORARY) or entry.is_symlink():
                    continue
                try:
                    facts = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # it went away while we looked
                if stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode):
                    found.append((entry.name, facts))
        return found

    def open(self, parts: list[str]) -> int:
        """A descriptor of the file for reading. Raises OSError."""
        with self.folder(parts[:-1]) as parent:
            # O_NONBLOCK: opening a named pipe must not hang
            file = os.open(
                parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent
            )
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            os.close(file)
            raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.ENOENT, "not a file")
        return file

    def mkdir(self, parts: list[str], name: str) -> None:
        """Makes a folder. Raises OSError."""
        with self.folder(parts) as parent:
            os.mkdir(name, dir_fd=parent)

    def remove(self, parts: list[str], *, recursive: bool) -> None:
        """Removes a file or folder. Raises OSError."""
        with self.folder(parts[:-1]) as parent:
            facts = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(facts.st_mode):
                os.unlink(parts[-1], dir_fd=parent)
            elif recursive:
                shutil.rmtree(parts[-1], dir_fd=parent)
            else:
                os.rmdir(parts[-1], dir_fd=parent)

    def move(self, parts: list[str], to: list[str], name: str, *, replace: bool) -> None:
        """Renames; without `replace` nothing is overwritten. Raises OSError."""
        with self.folder(parts[:-1]) as source, self.folder(to) as target:
            facts = os.stat(parts[-1], dir_fd=source, follow_symlinks=False)
            if not replace and not stat.S_ISDIR(facts.st_mode):
                # a link refuses a taken name atomically, a rename would replace it
                os.link(parts[-1], name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
                os.unlink(parts[-1], dir_fd=source)
                return
            if not replace and _exists(name, target):
                raise FileExistsError(errno.EEXIST, "taken")
            os.rename(parts[-1], name, src_dir_fd=source, dst_dir_fd=target)


class NewFile:
    """A file that has its name only once it is whole. Blocking; one caller at a time."""

    def __init__(self, tree: Tree, parts: list[str], name: str) -> None:
        self._name = name
        self._temporary = TEMPORARY + secrets.token_hex(16)
        with tree.folder(parts) as parent:
            self._parent = os.dup(parent)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._temporary, flags, 0o666, dir_fd=self._parent)
        except OSError:
            os.close(self._parent)
            raise

    def write(self, data: bytes) -> None:
        """Appends. Raises OSError."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def current(self) -> os.stat_result | None:
        """What has the name now."""
        try:
            return os.stat(self._name, dir_fd=self._parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def commit(self, *, replace: bool) -> os.stat_result:
        """Gives the file its name. Raises FileExistsError when it is taken and may not be replaced."""
        if replace:
            os.rename(self._temporary, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
        else:
            os.link(self._temporary, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
            os.unlink(self._temporary, dir_fd=self._parent)
        return os.fstat(self._file)

    def close(self, *, discard: bool) -> None:
        """Ends it; `discard` removes the temporary name."""
        try:
            if discard:
                os.unlink(self._temporary, dir_fd=self._parent)
        except FileNotFoundError:
            pass
        finally:
            os.close(self._file)
            os.close(self._parent)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
