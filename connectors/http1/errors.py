"""The only place where socket errors on the way to a store become connector errors."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.interface import BadCredential, StoreError, TimedOut, Unavailable, UntrustedHost


def refused_certificate(error: BaseException | None) -> StoreError | None:
    """What to raise when the store ended TLS over the client's certificate; None when it was not that.

    With TLS 1.3 that comes after the handshake, as an error of a connection that stood (RFC 8446, 4.4.2.4).
    """
    reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return BadCredential("the store wants a client certificate, and one that it knows the issuer of")
    return None


@contextmanager
def store_errors() -> Iterator[None]:
    """Maps what sockets raise. The message never has an address."""
    try:
        yield
    except StoreError:
        raise
    except TimeoutError as error:
        raise TimedOut("the store did not answer in time") from error
    except ssl.SSLCertVerificationError as error:
        raise UntrustedHost(f"the store's certificate is not trusted: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise refused_certificate(error) or Unavailable("the store and we could not agree on TLS") from error
    except ConnectionRefusedError as error:
        raise Unavailable(
            "the store refused the connection: is it running, and is the port right?"
        ) from error
    except OSError as error:
        raise Unavailable("the connection to the store broke") from error
