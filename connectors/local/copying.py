"""Copies of files and folders inside the tree, made in small steps so that they can be stopped. Blocking.

The kernel copies, and shares the blocks where the file system can: copy_file_range(2) on XFS, Btrfs, NFS.
"""

import errno
import os
import shutil
import stat
from collections.abc import Generator, Iterator
from contextlib import suppress

from connectors.interface.paths import TEMPORARY, temporary_name
from connectors.local.confined import Tree, give_name

_STEP = 16 * 1024 * 1024
_SMALL = 1024 * 1024
_NOT_HERE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copying(tree: Tree, parts: list[str], to: list[str], name: str) -> Generator[None]:
    """Copies the entry into the folder `to`, a step at each `next`; the name is given at the end.

    Links, devices and unfinished uploads inside a folder are left out. Closing the generator earlier removes
    what was copied so far. Modes go along as far as the umask allows; owners and times do not.

    Raises OSError; FileExistsError when the name is taken, at the beginning or in the end.
    """
    with tree.folder(parts[:-1]) as source, tree.folder(to) as target:
        original = _opened(source, parts[-1])
        if original is None:
            raise FileNotFoundError(errno.ENOENT, "neither file nor folder")
        folder = stat.S_ISDIR(os.fstat(original).st_mode)
        temporary = temporary_name()
        try:
            _refuse_taken(target, name)
            yield from _copied(original, target, temporary)
            give_name(target, temporary, target, name, folder=folder, replace=False)
        except BaseException:
            _remove(target, temporary, folder=folder)
            raise
        finally:
            os.close(original)


def _opened(folder: int, name: str) -> int | None:
    """A descriptor of the file or folder; None for links and devices, and what is not there."""
    try:
        entry = os.open(name, _READ, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # gone, a link, a socket
            return None
        raise
    mode = os.fstat(entry).st_mode
    if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        return entry
    os.close(entry)
    return None


def _copied(original: int, target: int, new: str) -> Iterator[None]:
    mode = os.fstat(original).st_mode
    if stat.S_ISDIR(mode):
        yield from _folder(original, target, new, stat.S_IMODE(mode))
    else:
        yield from _file(original, target, new, stat.S_IMODE(mode))


def _folder(original: int, target: int, new: str, mode: int) -> Iterator[None]:
    # the copy has to be filled by us, whatever the original's owner may do
    os.mkdir(new, mode & 0o777 | 0o700, dir_fd=target)
    into = os.open(new, _FOLDER, dir_fd=target)
    try:
        yield
        for name in os.listdir(original):
            entry = None if name.startswith(TEMPORARY) else _opened(original, name)
            if entry is None:
                continue
            try:
                yield from _copied(entry, into, name)
            finally:
                os.close(entry)
    finally:
        os.close(into)


def _file(original: int, target: int, new: str, mode: int) -> Iterator[None]:
    file = os.open(new, _NEW, mode & 0o777, dir_fd=target)
    try:
        copy = _by_kernel
        while True:
            try:
                copied = copy(original, file)
            except OSError as error:
                if copy is _by_hand or error.errno not in _NOT_HERE:
                    raise
                copied = 0
            if copied == 0 and copy is _by_hand:
                return
            if copied == 0:
                copy = _by_hand  # at the end, or on a file system where the kernel only says so
            yield
    finally:
        os.close(file)


def _by_kernel(original: int, target: int) -> int:
    return os.copy_file_range(original, target, _STEP)


def _by_hand(original: int, target: int) -> int:
    data = os.read(original, _SMALL)
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
    return len(data)


def _refuse_taken(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, "taken")


def _remove(parent: int, name: str, *, folder: bool) -> None:
    with suppress(OSError):
        if folder:
            shutil.rmtree(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)
