"""Key files: made once, the private one readable by the worker's user alone."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

BITS = 3072
_OTHERS_READ = 0o044


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
    """A new pair, or the one that is there. The private file is 0600 from its first byte on."""
    paths = KeyPaths.in_directory(directory)
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    if paths.private.exists():
        return paths
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    descriptor = os.open(paths.private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    paths.public.write_bytes(public)
    return paths


def protect(paths: KeyPaths, worker_user: str, api_user: str) -> None:
    """Lets `worker_user` alone read the private key, and `api_user` the public one, by POSIX ACLs.

    Raises PermissionError when this process may not change the files.
    """
    for rule, path in (
        (f"u::rw,g::-,o::-,u:{worker_user}:r,u:{api_user}:-,m::r", paths.private),
        (f"u::rw,g::-,o::-,u:{worker_user}:r,u:{api_user}:r,m::r", paths.public),
        (f"u:{worker_user}:rx,u:{api_user}:rx", paths.private.parent),
    ):
        done = subprocess.run(  # noqa: S603  fixed program, no shell
            ["setfacl", "-m", rule, str(path)],  # noqa: S607  found on PATH, as administrators expect
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PermissionError(f"setfacl failed on {path.name}: {done.stderr.strip()}")


def readable(path: Path) -> bool:
    """Whether this process could read the file."""
    return os.access(path, os.R_OK)


def readable_by_others(path: Path) -> bool:
    """Whether the file's mode lets its group or the world read it (an ACL's mask counts as the group)."""
    return bool(path.stat().st_mode & _OTHERS_READ)
