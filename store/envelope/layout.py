"""The bytes of a sealed secret, and what it is bound to.

    version u8 | key id 8 | length of wrapped u16 | wrapped | iv 16 | ciphertext | tag 32

`wrapped` is RSA-OAEP (SHA-256, RFC 8017 7.1) over a 256-bit AES key followed by a 256-bit MAC key. The
ciphertext is AES-256-CBC with PKCS#7 (RFC 5652 6.3). The tag is HMAC-SHA256 (RFC 2104) over the context,
each part with its length, followed by everything before the tag.
"""

import struct
from dataclasses import dataclass

VERSION = 1
KEY_ID = 8
IV = 16
TAG = 32
BLOCK = 16
_HEAD = struct.Struct(f">B{KEY_ID}sH")


@dataclass(frozen=True, slots=True)
class Context:
    """Where a secret lives; a seal opens nowhere else."""

    table: str
    row: str
    column: str

    def encoded(self) -> bytes:
        """Each part with its length in front, so that no two contexts read the same."""
        parts = (self.table.encode(), self.row.encode(), self.column.encode())
        return b"".join(struct.pack(">I", len(part)) + part for part in parts)


@dataclass(frozen=True, slots=True)
class Sealed:
    """The parts of a sealed secret."""

    key_id: bytes
    wrapped: bytes
    iv: bytes
    ciphertext: bytes
    tag: bytes

    def body(self) -> bytes:
        """Everything before the tag."""
        head = _HEAD.pack(VERSION, self.key_id, len(self.wrapped))
        return head + self.wrapped + self.iv + self.ciphertext

    def to_bytes(self) -> bytes:
        """The whole, as it is stored."""
        return self.body() + self.tag

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Sealed":
        """The parts. Raises ValueError when they can't be."""
        if len(stored) < _HEAD.size:
            raise ValueError("too short")
        version, key_id, length = _HEAD.unpack_from(stored)
        iv_at = _HEAD.size + length
        text_at = iv_at + IV
        ciphertext = stored[text_at:-TAG]
        if version != VERSION or not ciphertext or len(ciphertext) % BLOCK or len(stored) < text_at + TAG:
            raise ValueError("not a sealed secret of this version")
        return cls(key_id, stored[_HEAD.size : iv_at], stored[iv_at:text_at], ciphertext, stored[-TAG:])
