"""Unsealing: needs the private key. Only the worker imports this module; an import contract holds it."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from store.envelope.layout import BLOCK, Context, Sealed
from store.envelope.seal import AES_KEY, MAC_KEY, WRAPPING, key_id, tag


class Unsealable(Exception):
    """The one error of unsealing: it says nothing of what was wrong, so that it is no oracle."""

    def __init__(self) -> None:
        super().__init__("the secret can't be unsealed")


@dataclass(frozen=True, slots=True)
class UnsealingKey:
    """The private half."""

    private: RSAPrivateKey
    id: bytes

    @classmethod
    def load(cls, path: Path) -> "UnsealingKey":
        """From a PEM file. Raises ValueError when it holds no RSA key."""
        private = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(private, RSAPrivateKey):
            raise ValueError("unsealing needs an RSA key")
        return cls(private, key_id(private.public_key()))


def unseal(sealed: bytes, context: Context, keys: Sequence[UnsealingKey]) -> bytes:
    """The plaintext. Raises Unsealable for a flipped or cut byte, another context, an unknown key alike.

    The tag is checked, in constant time, before anything is decrypted.
    """
    try:
        parts = Sealed.from_bytes(sealed)
        key = next(key for key in keys if key.id == parts.key_id)
        secrets = key.private.decrypt(parts.wrapped, WRAPPING)
        if len(secrets) != AES_KEY + MAC_KEY:
            raise ValueError("wrapped keys of another length")
        if not hmac.compare_digest(parts.tag, tag(secrets[AES_KEY:], context, parts)):
            raise ValueError("the tag is another one")
        decryptor = Cipher(algorithms.AES(secrets[:AES_KEY]), modes.CBC(parts.iv)).decryptor()
        padded = decryptor.update(parts.ciphertext) + decryptor.finalize()
        unpadder = padding.PKCS7(BLOCK * 8).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except (ValueError, StopIteration):
        raise Unsealable from None
