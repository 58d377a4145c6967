"""Certificate authorities that somebody hands in as PEM: checked before anything is trusted by them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

_LARGEST = 256 * 1024
_MOST = 64
"""A network has a few of its own: more is a whole list, taken by mistake."""


class BadAuthorities(ValueError):
    """What is wrong with them, in words for who handed them in."""


@dataclass(frozen=True, slots=True)
class Authority:
    """One certificate, as people compare them.

    Attributes:
        fingerprint: SHA-256 of the certificate, in hexadecimal.
    """

    subject: str
    fingerprint: str
    expires: datetime


def checked(given: str, now: datetime | None = None) -> str:
    """The certificates alone, as PEM, each once, without what stands around them.

    Raises BadAuthorities: none or too many, malformed, not valid now, or a private key lies beside them.
    """
    if len(given) > _LARGEST:
        raise BadAuthorities("this is larger than 256 KiB: name the authorities of this network alone")
    if "PRIVATE KEY-----" in given:
        raise BadAuthorities("there is a private key in it: hand in the certificates alone")
    found = list(dict.fromkeys(_parsed(given)))
    if len(found) > _MOST:
        raise BadAuthorities(f"these are {len(found)} certificates, and {_MOST} are the most")
    moment = now or datetime.now(UTC)
    for one in found:
        name = one.subject.rfc4514_string()
        if one.not_valid_after_utc < moment:
            raise BadAuthorities(f"the certificate {name} expired on {one.not_valid_after_utc:%Y-%m-%d}")
        if one.not_valid_before_utc > moment:
            raise BadAuthorities(
                f"the certificate {name} is not valid before {one.not_valid_before_utc:%Y-%m-%d}"
            )
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def described(pem: str) -> Sequence[Authority]:
    """What each certificate of `checked` says, in its order."""
    return [
        Authority(
            one.subject.rfc4514_string(), one.fingerprint(hashes.SHA256()).hex(), one.not_valid_after_utc
        )
        for one in _parsed(pem)
    ]


def _parsed(pem: str) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise BadAuthorities("there are no PEM certificates in it (-----BEGIN CERTIFICATE-----)") from None
