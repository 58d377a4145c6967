"""One certificate authority of the proxy: made here, for every host or constrained to some.

Clients trust its certificate; for each host that a client is let through to, the proxy makes a certificate of
its own under it. EC P-256: a handshake with it costs a tenth of RSA's.

Constraints are RFC 5280's (4.2.1.10), critical as it has them: what does not know them must not trust. They
name hosts and all below them, for that is what a DNS name means there; of the kind of name (DNS, address) of
which no host is, all are excluded, since a kind that is not mentioned would not be constrained at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME: Final = timedelta(days=10 * 365)
_BACKDATED: Final = timedelta(days=2)  # a client's clock may be slow
_ALL_ADDRESSES = ("0.0.0.0/0", "::/0")
_ALL_NAMES = ""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that clients trust, of an authority of ours."""

    certificate: x509.Certificate

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hexadecimal."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def made(self) -> datetime:
        """When."""
        return self.certificate.not_valid_before_utc + _BACKDATED

    @property
    def expires(self) -> datetime:
        """Until when clients take what it signs."""
        return self.certificate.not_valid_after_utc

    @property
    def pem(self) -> str:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def hosts(self) -> Sequence[str] | None:
        """Names, each with all below it, and addresses, that it is constrained to; None for every host."""
        try:
            found = self.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            return None
        return [str(one.value).partition("/")[0] for one in found.permitted_subtrees or ()]

    def covers(self, host: str) -> bool:
        """Whether clients take a certificate for the host (a name in ASCII, or an address) by it."""
        allowed = self.hosts
        if allowed is None:
            return True
        if _is_address(host):
            return str(ip_address(host)) in allowed
        return any(host == one or host.endswith(f".{one}") for one in allowed if not _is_address(one))


def make(hosts: Sequence[str] | None = None, now: datetime | None = None) -> tuple[Authority, str]:
    """A new authority and its key as PEM, constrained to the hosts unless they are None.

    Raises ValueError for an empty list, and for what is neither a host's name nor an address.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    constraints = None if hosts is None else _constraints(hosts)
    return Authority(_certificate(key, constraints, now or datetime.now(UTC))), pem


def ascii_host(host: str) -> str:
    """A host as certificates have it: an address in its short form, a name in lower case and ASCII.

    Raises ValueError for neither.
    """
    bare = host.strip().strip("[]").rstrip(".").lower()
    if _is_address(bare):
        return str(ip_address(bare))
    try:
        name = bare.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"{host!r} is no host's name or address") from None
    if not name or not all(letter.isalnum() or letter in ".-_" for letter in name):
        raise ValueError(f"{host!r} is no host's name or address")
    return name


def _constraints(hosts: Sequence[str]) -> x509.NameConstraints:
    wanted = list(dict.fromkeys(ascii_host(host) for host in hosts))
    if not wanted:
        raise ValueError("an authority that is constrained to no host is of no use")
    addresses: list[x509.GeneralName] = [x509.IPAddress(ip_network(h)) for h in wanted if _is_address(h)]
    names: list[x509.GeneralName] = [x509.DNSName(h) for h in wanted if not _is_address(h)]
    excluded: list[x509.GeneralName] = []
    if not addresses:
        excluded += [x509.IPAddress(ip_network(one)) for one in _ALL_ADDRESSES]
    if not names:
        excluded.append(x509.DNSName(_ALL_NAMES))
    return x509.NameConstraints([*names, *addresses], excluded or None)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _certificate(
    key: ec.EllipticCurvePrivateKey, constraints: x509.NameConstraints | None, now: datetime
) -> x509.Certificate:
    """Self-signed, fit for what checks strictly (RFC 5280, 4.2; OpenSSL's X509_V_FLAG_X509_STRICT).

    Its name has a mark of its key: of two with one name, some clients try only the first.
    """
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Isthmus"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Isthmus native proxy {identifier.digest.hex()[:8]}"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
    )
    if constraints is not None:
        made = made.add_extension(constraints, critical=True)
    return made.sign(key, hashes.SHA256())
