"""Certificates that the proxy shows to clients, one for each host, by the authority that signs just now.

They live for a week, and are made anew at half of it; their key is this process's own, and never on disk.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.proxy.authority import rotation
from gateway.proxy.authority.ca import Authority

_log = logging.getLogger(__name__)
LIFETIME: Final = timedelta(days=7)
WARN_BEFORE: Final = timedelta(days=30)
_BACKDATED: Final = timedelta(days=2)  # a client's clock may be slow
_WARN_EVERY: Final = 86400.0
_MOST_KEPT = 1000
_LONGEST_COMMON_NAME = 64  # X.520's upper bound
_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class NotCovered(Exception):
    """The authority is constrained to other hosts; the message says what to do."""


class Signing:
    """The authority that signs, read anew when its files change or its successor's time comes.

    What can't be read leaves the one that was there, with a line in the log. The first must be there:
    making one raises OSError or ValueError.
    """

    def __init__(self, folder: Path, overlap: timedelta) -> None:
        self._folder = folder
        self._overlap = overlap
        self._warned = -_WARN_EVERY
        self._seen = self._stamp()
        self._authority, self._key, self._switches = self._loaded()

    def now(self) -> tuple[Authority, ec.EllipticCurvePrivateKey]:
        """The authority and its key."""
        stamp = self._stamp()
        due = self._switches is not None and datetime.now(UTC) >= self._switches
        if stamp != self._seen or due:
            self._seen, self._switches = stamp, None
            try:
                self._authority, self._key, self._switches = self._loaded()
            except (OSError, ValueError) as error:
                self._seen = None  # tried again at the next handshake
                _log.error("the proxy's authority can't be read anew, the former signs on: %s", error)
        self._warn()
        return self._authority, self._key

    def _loaded(self) -> tuple[Authority, ec.EllipticCurvePrivateKey, datetime | None]:
        """Who signs, with which key, and until when."""
        found = rotation.state(self._folder, self._overlap)
        key = rotation.load_key(rotation.key_file(self._folder, found.signs))
        _log.info("authority %s signs", found.signs.fingerprint[:16])
        return found.signs, key, found.switches

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = (self._folder / rotation.BUNDLE).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _warn(self) -> None:
        left = self._authority.expires - datetime.now(UTC)
        if left < WARN_BEFORE and time.monotonic() - self._warned >= _WARN_EVERY:
            self._warned = time.monotonic()
            _log.warning("the proxy's authority ends in %d days: run 'isthmus proxy ca rotate'", left.days)


@dataclass(frozen=True, slots=True)
class Leaf:
    """What is shown for some names: certificate, its key, and who signed it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    issuer: x509.Certificate


class Leaves:
    """Makes leaves, and keeps the last thousand."""

    def __init__(self, signing: Signing) -> None:
        self._signing = signing
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._kept: OrderedDict[tuple[str, tuple[str, ...]], Leaf] = OrderedDict()

    def require(self, host: str) -> None:
        """Raises NotCovered for a host for which clients would take no certificate of ours."""
        if not self._signing.now()[0].covers(host):
            raise _not_covered(host)

    def of(self, names: Sequence[str]) -> Leaf:
        """A leaf for those of the names that are covered. Raises NotCovered when none is."""
        authority, key = self._signing.now()
        covered = tuple(dict.fromkeys(name for name in names if authority.covers(name)))
        if not covered:
            raise _not_covered(names[0])
        place = (authority.fingerprint, covered)
        found = self._kept.get(place)
        if found is None or found.certificate.not_valid_after_utc - datetime.now(UTC) < LIFETIME / 2:
            found = Leaf(self._made(authority, key, covered), self._key, authority.certificate)
            self._kept[place] = found
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return found

    def _made(
        self, authority: Authority, key: ec.EllipticCurvePrivateKey, names: tuple[str, ...]
    ) -> x509.Certificate:
        issuer, now = authority.certificate, datetime.now(UTC)
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        common = [
            x509.NameAttribute(NameOID.COMMON_NAME, n) for n in names[:1] if len(n) < _LONGEST_COMMON_NAME
        ]
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name(common))
            .issuer_name(issuer.subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - _BACKDATED, issuer.not_valid_before_utc))
            .not_valid_after(min(now + LIFETIME, issuer.not_valid_after_utc))
            # critical where the subject is empty (RFC 5280, 4.2.1.6)
            .add_extension(x509.SubjectAlternativeName([named(n) for n in names]), critical=not common)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_USAGE, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )
            .sign(key, hashes.SHA256())
        )


def _not_covered(host: str) -> NotCovered:
    return NotCovered(
        f"the proxy's certificate authority is constrained to other hosts than {host}: "
        "'isthmus proxy ca rotate --for-accounts' makes one for this"
    )


def named(name: str) -> x509.GeneralName:
    """A host, in the spelling of `ca.ascii_host`, as certificates say whose they are."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
