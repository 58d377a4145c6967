"""Keys and tokens: 256 random bits, looked up by their SHA-256."""

import hashlib
import secrets


def make() -> str:
    """A new key or token, URL-safe."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What the database knows a token by."""
    return hashlib.sha256(token.encode()).digest()
