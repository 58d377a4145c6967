"""TLS to a store: whom it is checked with, and what we show if it asks."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.interface import Identity


def tls_context(ca: str | None, identity: Identity | None = None) -> ssl.SSLContext:
    """Checks chain and name, TLS 1.2 at least.

    Args:
        ca: PEM certificates to trust; None is the machine's own list.
        identity: shown when the store asks for a client certificate.
    """
    made = ssl.create_default_context(cadata=ca)
    if identity is not None:
        with _file(f"{identity.key}\n{identity.certificate}") as path:
            made.load_cert_chain(path, password=b"")  # never asks at a terminal
    return made


@contextmanager
def _file(text: str) -> Iterator[str]:
    """The path of a file in memory with the text: OpenSSL's door for keys takes names, and no disk has it."""
    descriptor = os.memfd_create("client certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
