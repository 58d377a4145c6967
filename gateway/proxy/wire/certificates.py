"""TLS on both sides: our authority towards clients; stores are checked with what each is trusted by."""

import logging
import ssl
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from cryptography import x509
from mitmproxy import certs, connection, tls
from mitmproxy.addons.tlsconfig import DEFAULT_HOSTFLAGS, TlsConfig
from mitmproxy.proxy import context
from OpenSSL import SSL, crypto

from gateway.proxy.authority.ca import ascii_host
from gateway.proxy.authority.leaves import Leaves, NotCovered
from gateway.proxy.wire.records import Records
from gateway.proxy.wire.store_tls import StoreRecords

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_VERSIONS: Final = (
    b"h2",
    b"http/1.1",
)  # offered to stores

type Place = tuple[str, int]

_log = logging.getLogger(__name__)


class Certificates(TlsConfig):
    """mitmproxy's own addon with our authority in place of the one it would make in a home folder."""

    def __init__(self, leaves: Leaves) -> None:
        self._leaves = leaves
        self.certstore: Any = SimpleNamespace(dhparams=None)  # all that mitmproxy asks of it here
        self._trusted: MutableMapping[connection.Client, dict[Place, str]] = WeakKeyDictionary()

    def trust(self, client: connection.Client, place: Place, pem: str | None) -> None:
        """What a store is checked with for this client, as PEM; None is the machine's own list."""
        if pem is not None:
            self._trusted.setdefault(client, {})[place] = pem

    def require(self, host: str) -> None:
        """Raises NotCovered for a host for which no client takes a certificate of ours."""
        self._leaves.require(ascii_host(host))

    def get_cert(self, conn_context: context.Context) -> certs.CertStoreEntry:
        """The certificate for the client: for the server name that it asks for, and the host of CONNECT."""
        client, place = conn_context.client, conn_context.server.address
        names = [client.sni or client.sockname[0], *([place[0]] if place else [])]
        leaf = self._leaves.of([ascii_host(name) for name in names])
        return certs.CertStoreEntry(certs.Cert(leaf.certificate), leaf.key, None, [certs.Cert(leaf.issuer)])

    def tls_start_client(self, tls_start: tls.TlsData) -> None:
        """TLS with a client, in large pieces; it ends where we have no certificate."""
        try:
            super().tls_start_client(tls_start)
        except (NotCovered, ValueError) as error:
            _log.warning("no certificate for a client: %s", error)
        if tls_start.ssl_conn is not None:
            tls_start.ssl_conn = Records(tls_start.ssl_conn)  # type: ignore[assignment]  # in its place

    def configure(self, updated: set[str]) -> None:
        """Nothing is read from mitmproxy's own configuration folder."""

    def request(self, flow: Any) -> None:
        """No revocation list is served beside stores' own paths."""

    def tls_start_server(self, tls_start: tls.TlsData) -> None:
        """Checks the store's certificate and name with the account's own authorities, or the machine's."""
        client, server = tls_start.context.client, tls_start.conn
        if not isinstance(server, connection.Server) or server.address is None:
            return
        name = server.sni = server.sni or server.address[0]
        server.alpn_offers = _VERSIONS if client.alpn == b"h2" else _VERSIONS[-1:]
        pem = self._trusted.get(client, {}).get((server.address[0], server.address[1]))
        made = SSL.Connection(_context(pem))
        _require_name(made, name)
        if server.alpn_offers:
            made.set_alpn_protos(list(server.alpn_offers))
        made.set_connect_state()
        tls_start.ssl_conn = StoreRecords(made)  # type: ignore[assignment]  # in its place


@lru_cache(256)
def _context(pem: str | None) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_PEER, None)
    if pem is None:
        context.load_verify_locations(_machine_authorities())
        return context
    store = context.get_cert_store()
    if store is None:
        raise ValueError("OpenSSL gave no store for certificates")
    for certificate in x509.load_pem_x509_certificates(pem.encode()):
        store.add_cert(crypto.X509.from_cryptography(certificate))
    return context


def _require_name(made: SSL.Connection, name: str) -> None:
    """The handshake fails unless the certificate is for the name.

    As mitmproxy does it: pyOpenSSL has no public way.
    """
    lib: Any = SSL._lib  # type: ignore[attr-defined]  # noqa: SLF001
    parameters = lib.SSL_get0_param(made._ssl)  # noqa: SLF001
    lib.X509_VERIFY_PARAM_set_hostflags(parameters, DEFAULT_HOSTFLAGS)
    try:
        packed = ip_address(name).packed
    except ValueError:
        encoded = name.encode("idna")
        made.set_tlsext_host_name(encoded)
        taken = lib.X509_VERIFY_PARAM_set1_host(parameters, encoded, len(encoded))
    else:
        taken = lib.X509_VERIFY_PARAM_set1_ip(parameters, packed, len(packed))
    if taken != 1:
        raise ValueError("the name to check the certificate for was not taken")


def _machine_authorities() -> str:
    """The file with what this machine trusts, as Python's own `ssl` finds it."""
    paths = ssl.get_default_verify_paths()
    for found in (paths.cafile, paths.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt"):
        if found and Path(found).exists():
            return found
    raise FileNotFoundError("this machine has no list of certificate authorities: install ca-certificates")
