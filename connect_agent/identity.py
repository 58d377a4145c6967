"""Who this agent is: its Ed25519 key pair, made here and never sent; and the token that lets it join."""

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

_TOKEN = "isthmus1."  # noqa: S105  # the prefix of every token, no secret


class IdentityError(Exception):
    """A key file or token that can't be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The agent's key pair. Only the public half ever leaves the machine."""

    key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def create(cls) -> Self:
        """A new key pair, in memory."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> Self:
        """The key pair in the file. Raises IdentityError, also when others than its owner may read it."""
        try:
            text = path.read_bytes()
            mode = path.stat().st_mode
        except OSError as error:
            raise IdentityError(
                f"the key file {path} can't be read ({error.strerror}): join again"
            ) from error
        if mode & 0o077:
            raise IdentityError(f"the key file {path} is open to other users: run 'chmod 600 {path}'")
        try:
            key = load_pem_private_key(text, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise IdentityError(f"{path} is not a private key: join again with a new token") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise IdentityError(f"{path} is not an Ed25519 key: join again with a new token")
        return cls(key)

    def save(self, path: Path) -> None:
        """Writes the private key, for its owner's eyes only, in one step."""
        write_private(path, self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    @property
    def public_key(self) -> bytes:
        """The public half, 32 bytes."""
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


@dataclass(frozen=True, slots=True)
class JoinToken:
    """What `isthmus network invite` printed: where to join, and the secret that is good for it once."""

    gateway: str
    network: str
    secret: str = field(repr=False)
    hub_fingerprint: str
    expires: int

    @classmethod
    def parse(cls, text: str, *, now: float) -> Self:
        """Reads a token. Raises IdentityError when it is damaged or too old."""
        text = "".join(text.split())
        if not text.startswith(_TOKEN):
            raise IdentityError("this is not a join token: it begins with 'isthmus1.'; copy all of it")
        try:
            fields = json.loads(from_base64(text.removeprefix(_TOKEN)))
            token = cls(
                gateway=_text(fields["g"]).rstrip("/"),
                network=_text(fields["n"]),
                secret=_text(fields["s"]),
                hub_fingerprint=bytes.fromhex(_text(fields["f"])).hex(),
                expires=int(fields["e"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise IdentityError("the join token is damaged: copy all of it, or ask for a new one") from error
        if not token.gateway.startswith(("http://", "https://")):
            raise IdentityError("the join token names no gateway URL: ask for a new one")
        if token.expires <= now:
            raise IdentityError(
                f"the join token has expired: ask for a new one ('isthmus network invite {token.network}'), "
                "or set this machine's clock if it is wrong"
            )
        return token

    def is_for(self, hub_public_key: bytes) -> bool:
        """Whether the hub's public key is the one whose fingerprint came with the token."""
        return hmac.compare_digest(fingerprint(hub_public_key), self.hub_fingerprint)


def fingerprint(public_key: bytes) -> str:
    """SHA-256 of a raw public key, in hex."""
    return hashlib.sha256(public_key).hexdigest()


def to_base64(data: bytes) -> str:
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64(text: str) -> bytes:
    """The bytes of URL-safe base64, padded or not. Raises ValueError."""
    try:
        return base64.b64decode(
            text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("not base64") from error


def write_private(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Writes a file of mode 0600 in one step: readers see the old bytes or the new ones.

    A durable one is on the disk when this returns, which takes as long as the disk takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a text is missing")
    return value
