"""What a store's TLS says of a client certificate, by real handshakes in memory, of both libraries."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from connectors.http1.errors import refused_certificate
from connectors.http1.secure import tls_context
from connectors.interface import Identity
from gateway.proxy.wire.store_tls import StoreRecords
from tests.servers.issuer import Issuer

type Client = Callable[[str, Identity | None, "Wire"], str]


class Wire:
    """A store's side of TLS that asks for a certificate; `said` is what it sends for what it is given."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    def said(self, data: bytes) -> bytes:
        self._in.write(data)
        try:
            self._tls.do_handshake()
            self._tls.read(1)
        except ssl.SSLError:
            pass
        return self._out.read()


def by_ssl(ca: str, shown: Identity | None, wire: Wire) -> str:
    """The worker's way."""
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls_context(ca, shown).wrap_bio(came, goes, server_hostname="localhost")
    for _ in range(4):
        try:
            client.do_handshake()
            client.read(1)
        except ssl.SSLWantReadError:
            came.write(wire.said(goes.read()))
        except ssl.SSLError as error:
            refused = refused_certificate(error)
            return refused.message if refused else ""
    raise AssertionError("the store refused nothing")


def by_pyopenssl(ca: str, shown: Identity | None, wire: Wire) -> str:
    """The proxy's way: it has no certificate to show."""
    assert shown is None
    made = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    made.set_connect_state()
    client: Any = StoreRecords(made)
    for _ in range(4):
        try:
            client.do_handshake()
            client.recv(1)
        except SSL.WantReadError:
            client.bio_write(wire.said(client.bio_read(65535)))
        except SSL.Error:
            return str(client.refusal)
    raise AssertionError("the store refused nothing")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("client", "shows", "said"),
    [
        (by_ssl, "a stranger's", "does not know its issuer"),
        (by_ssl, "nothing", "wants a client certificate"),
        (by_pyopenssl, "nothing", "wants a client certificate"),
    ],
)
def test_the_alert_is_understood(
    version: ssl.TLSVersion, client: Client, shows: str, said: str, tmp_path: Path
) -> None:
    issuer = Issuer()
    own = issuer.issue("localhost")
    (tmp_path / "own").write_text(f"{own.key}\n{own.certificate}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own")
    context.load_verify_locations(cadata=issuer.certificate)
    context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, version
    stranger = Issuer("Stranger").issue("program", client=True)
    shown = Identity(stranger.certificate, stranger.key) if shows != "nothing" else None
    if shown is None and version is ssl.TLSVersion.TLSv1_2:
        said = ""  # there it is a mere handshake_failure (RFC 5246, 7.4.6), which may mean anything
    found = client(issuer.certificate, shown, Wire(context))
    assert said in found
    assert bool(found) == bool(said)
