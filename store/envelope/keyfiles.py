"""Key files: made once, the private one readable by the worker's user alone."""

import contextlib
import errno
import grp
import os
import pwd
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

BITS = 3072
_READ = 4
_ROOT = 0
# acl(5), as Linux keeps it in an attribute: a version, then entries of tag, permissions, id
_ACL = "system.posix_acl_access"
_ACL_HEAD = 4
_ACL_ENTRY = struct.Struct("<HHI")
_USER, _GROUP_OBJ, _GROUP, _MASK = 0x02, 0x04, 0x08, 0x10


@dataclass(frozen=True, slots=True)
class KeyPaths:
    """Where a key pair lies."""

    public: Path
    private: Path

    @classmethod
    def in_directory(cls, directory: Path) -> "KeyPaths":
        """The names of the files in a data folder's `keys`."""
        return cls(directory / "sealing.pub.pem", directory / "unsealing.key.pem")


def create_pair(directory: Path) -> KeyPaths:
    """A new pair, or the one that is there; a public half that is missing is made again.

    The private file is 0600 from its first byte on, and has its name when it is whole.
    Raises ValueError when the private file that is there holds no RSA key.
    """
    paths = KeyPaths.in_directory(directory)
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    if not paths.private.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
        _publish(paths.private, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    if not paths.public.exists():
        key = load_pem_private_key(paths.private.read_bytes(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError(f"{paths.private.name} holds no RSA key")
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _publish(paths.public, public, 0o644)
    return paths


def protect(paths: KeyPaths, worker_user: str, api_user: str) -> None:
    """Lets `worker_user` alone read the private key, and `api_user` the public one, by POSIX ACLs.

    Raises PermissionError when this process may not change the files, or when it would not help.
    """
    if paths.private.owner() == api_user:
        raise PermissionError(
            f"{paths.private.name} belongs to {api_user}, who reads it whatever an ACL says: chown it to root"
        )
    for rule, path in (
        (f"u::rw,g::-,o::-,u:{worker_user}:r,u:{api_user}:-,m::r", paths.private),
        (f"u::rw,g::-,o::-,u:{worker_user}:r,u:{api_user}:r,m::r", paths.public),
        (f"u:{worker_user}:rx,u:{api_user}:rx", paths.private.parent),
    ):
        _setfacl(rule, path)


def protect_for(path: Path, user: str) -> None:
    """Lets the user alone, beside the owner, read this file. Raises PermissionError when that fails."""
    _setfacl(f"u::rw,g::-,o::-,u:{user}:r,m::r", path)
    _setfacl(f"u:{user}:rx", path.parent)


def same_readers(path: Path, like: Path) -> None:
    """Lets those read the file who read the other: its owner, where we may give it away, and its ACL's."""
    owner = like.stat()
    if os.geteuid() == _ROOT:
        os.chown(path, owner.st_uid, owner.st_gid)
    with contextlib.suppress(OSError):  # none there, or none on this file system
        os.setxattr(path, _ACL, os.getxattr(like, _ACL))


def readable(path: Path) -> bool:
    """Whether this process could read the file."""
    return os.access(path, os.R_OK)


def other_readers(path: Path) -> list[str]:
    """Who, besides this process's user and root, the file's owner, mode and ACL let read it: none is good.

    A group counts whoever is in it. An owner counts even without the permission: they can take it.
    """
    status = path.stat()
    friends = {os.geteuid(), _ROOT}
    found = [] if status.st_uid in friends else [_named("owner", pwd.getpwuid, status.st_uid)]
    entries = list(_acl(path))
    # with an ACL, the mode's group bits show its mask, and what the group has is an entry
    mask = next((allowed for tag, allowed, _ in entries if tag == _MASK), 7)
    group = next((allowed for tag, allowed, _ in entries if tag == _GROUP_OBJ), status.st_mode >> 3)
    if group & mask & _READ:
        found.append(_named("group", grp.getgrgid, status.st_gid))
    for tag, allowed, number in entries:
        if tag == _USER and allowed & mask & _READ and number not in friends:
            found.append(_named("user", pwd.getpwuid, number))
        if tag == _GROUP and allowed & mask & _READ:
            found.append(_named("group", grp.getgrgid, number))
    if status.st_mode & _READ:
        found.append("everyone")
    return found


def _publish(path: Path, content: bytes, mode: int) -> None:
    """Writes the file beside its name and links it there when it is whole; one that is there stays."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(beside, path)
    finally:
        Path(beside).unlink()


def _setfacl(rule: str, path: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603  fixed program, no shell
            ["setfacl", "-m", rule, str(path)],  # noqa: S607  found on PATH, as administrators expect
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise PermissionError("setfacl is not installed: it is in the package acl") from None
    if done.returncode:
        raise PermissionError(f"setfacl failed on {path.name}: {done.stderr.strip()}")


def _acl(path: Path) -> Iterator[tuple[int, int, int]]:
    """Each entry's tag, permissions and id; nothing where there is no ACL."""
    try:
        attribute = os.getxattr(path, _ACL)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return
        raise
    yield from _ACL_ENTRY.iter_unpack(attribute[_ACL_HEAD:])


def _named(kind: str, look: Callable[[int], Sequence[object]], number: int) -> str:
    try:
        return f"{kind} {look(number)[0]}"
    except KeyError:
        return f"{kind} {number}"
