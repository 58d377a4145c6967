"""Sealing: needs the public key alone."""

import hashlib
import hmac
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from store.envelope.layout import BLOCK, IV, KEY_ID, Context, Sealed

WRAPPING = OAEP(mgf=MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
AES_KEY = 32
MAC_KEY = 32


@dataclass(frozen=True, slots=True)
class SealingKey:
    """The public half: seals, and can't open what it sealed."""

    public: RSAPublicKey
    id: bytes

    @classmethod
    def load(cls, path: Path) -> "SealingKey":
        """From a PEM file. Raises ValueError when it holds no RSA key of 2048 bits or more."""
        return cls.of(load_pem_public_key(path.read_bytes()))

    @classmethod
    def of(cls, public: object) -> "SealingKey":
        """From a loaded key; the id is the first 8 bytes of the SHA-256 of its SubjectPublicKeyInfo."""
        if not isinstance(public, RSAPublicKey) or public.key_size < 2048:
            raise ValueError("sealing needs an RSA key of 2048 bits or more")
        return cls(public, key_id(public))


def key_id(public: RSAPublicKey) -> bytes:
    """The first 8 bytes of the SHA-256 of the key's DER SubjectPublicKeyInfo."""
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()[:KEY_ID]


def seal(plaintext: bytes, context: Context, key: SealingKey) -> bytes:
    """The sealed secret, bound to its context; two seals of one plaintext share no byte that matters."""
    secrets = os.urandom(AES_KEY + MAC_KEY)
    iv = os.urandom(IV)
    padder = padding.PKCS7(BLOCK * 8).padder()
    padded = padder.update(plaintext) + padder.finalize()
    encryptor = Cipher(algorithms.AES(secrets[:AES_KEY]), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padded) + encryptor.finalize()
    unsigned = Sealed(key.id, key.public.encrypt(secrets, WRAPPING), iv, ciphertext, b"")
    return unsigned.body() + tag(secrets[AES_KEY:], context, unsigned)


def tag(mac_key: bytes, context: Context, sealed: Sealed) -> bytes:
    """HMAC-SHA256 over the context and everything before the tag."""
    return hmac.digest(mac_key, context.encoded() + sealed.body(), "sha256")
