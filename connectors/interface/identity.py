"""A client certificate: what an account shows to a store that asks its clients for one."""

from dataclasses import dataclass, field
from typing import Annotated, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic import Field, SecretStr


@dataclass(frozen=True, slots=True)
class Identity:
    """Certificate (its issuers may follow it) and key, both PEM."""

    certificate: str
    key: str = field(repr=False)

    @classmethod
    def of(cls, certificate: str | None, key: SecretStr | None) -> Self | None:
        """Of an account's settings; None where there are none.

        Raises ValueError: one without the other, malformed, encrypted, or they do not belong together.
        """
        if not certificate and not key:
            return None
        if not certificate or not key:
            raise ValueError("client_certificate and client_key go together: give both or none")
        secret = key.get_secret_value()
        try:
            shown = x509.load_pem_x509_certificate(certificate.encode())
        except ValueError:
            raise ValueError("client_certificate must be PEM (-----BEGIN CERTIFICATE-----)") from None
        try:
            private = load_pem_private_key(secret.encode(), password=None)
        except TypeError:
            raise ValueError("client_key must not be encrypted: it is sealed here anyway") from None
        except ValueError:
            raise ValueError("client_key must be PEM (-----BEGIN PRIVATE KEY-----)") from None
        if _public(shown.public_key()) != _public(private.public_key()):
            raise ValueError("client_key is the key of another certificate than client_certificate")
        return cls(certificate, secret)


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


ClientCertificate = Annotated[
    str | None,
    Field(description="PEM certificate to show to a store that asks its clients for one, issuers behind it."),
]
ClientKey = Annotated[SecretStr | None, Field(description="Its key: PEM, not encrypted.")]
