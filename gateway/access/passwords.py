"""Developers' passwords: argon2id."""

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

_HASHER = PasswordHasher()


def hashed(password: str) -> str:
    """The password's argon2id hash, with its parameters."""
    return _HASHER.hash(password)


def matches(password: str, stored: str) -> bool:
    """Whether it is the password of this hash."""
    try:
        return _HASHER.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False
