"""A folder tree that can't be left: every step is opened from the one before, and no link is followed.

Blocking; called in threads. Path checks by text alone lose races (a folder swapped for a link between check
and use); walking by descriptors with O_NOFOLLOW has nothing to lose.
"""

import errno
import os
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
            folder = stat.S_ISDIR(facts.st_mode)
            give_name(source, parts[-1], target, name, folder=folder, replace=replace)

    def chmod(self, parts: list[str], mode: int) -> None:
        """Gives a file or folder these permission bits, links refused as in `stat`. Raises OSError."""
        self.stat(parts)
        with self.folder(parts[:-1]) as parent:
            name = parts[-1] if parts else "."
            # Linux has no chmod that refuses links; the descriptor's own path can't be swapped for one
            entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                if stat.S_ISLNK(os.fstat(entry).st_mode):
                    raise FileNotFoundError(errno.ENOENT, "a link")
                Path(f"/proc/self/fd/{entry}").chmod(mode)
            finally:
                os.close(entry)

    def room(self) -> os.statvfs_result:
        """What the file system of the root says of its room. Raises OSError."""
        return os.statvfs(self._root)


def give_name(source: int, old: str, target: int, name: str, *, folder: bool, replace: bool) -> None:
    """Renames between two open folders; without `replace` FileExistsError when the name is taken."""
    if not replace and not folder:
        # a link refuses a taken name atomically, a rename would replace it
        os.link(old, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        os.unlink(old, dir_fd=source)
        return
    if not replace and _exists(name, target):
        raise FileExistsError(errno.EEXIST, "taken")
    os.rename(old, name, src_dir_fd=source, dst_dir_fd=target)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
