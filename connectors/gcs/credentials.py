"""A service account's key file, as the vendor's console hands it out, and what is signed with it.

https://cloud.google.com/iam/docs/keys-create-delete shows the file.
"""

import json
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_WANTED = ("client_email", "private_key", "token_uri")


@dataclass(frozen=True, slots=True, repr=False)
class ServiceAccount:
    """Who signs, with which key, and where tokens are to be had."""

    email: str
    key_id: str
    token_uri: str
    key: RSAPrivateKey

    @classmethod
    def parse(cls, text: str, *, checked: bool = False) -> Self:
        """The account of a key file's text. Raises ValueError, in words that have nothing of the file.

        `checked` says that this was done before: the key's numbers are not held against each other again,
        which takes 60 ms.
        """
        try:
            told = json.loads(text)
        except ValueError:
            raise ValueError("must be the JSON of a service account's key file") from None
        if not isinstance(told, dict) or told.get("type") != "service_account":
            raise ValueError('must be a key file of type "service_account"')
        missing = [name for name in _WANTED if not isinstance(told.get(name), str) or not told[name]]
        if missing:
            raise ValueError(f"lacks {', '.join(missing)}")
        url = urlsplit(told["token_uri"])
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("has a token_uri that is no web address")
        key_id = str(told.get("private_key_id", ""))
        return cls(told["client_email"], key_id, told["token_uri"], _key(told, checked))

    def sign(self, text: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256: RS256 of RFC 7518, and what V4 signatures are."""
        return self.key.sign(text, PKCS1v15(), SHA256())


def _key(told: dict[str, str], checked: bool) -> RSAPrivateKey:
    pem = told["private_key"].encode()
    try:
        key = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=checked)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("has a private_key that is no PEM key") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("has a private_key that is no RSA key")
    return key
