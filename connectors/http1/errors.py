"""The only place where socket errors on the way to a store become connector errors."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from connectors.interface import BadCredential, StoreError, TimedOut, Unavailable, UntrustedHost

_NOT_TAKEN: Final = "the store does not take the account's client certificate"
_ALERTS: Final = {  # RFC 8446, 6.2, in OpenSSL's spelling, which has the version of TLS before it
    "CERTIFICATE_REQUIRED": "the store wants a client certificate, and the account has none to show",
    "UNKNOWN_CA": f"{_NOT_TAKEN}: it does not know its issuer",
    "CERTIFICATE_EXPIRED": f"{_NOT_TAKEN}: it has expired, or is not valid yet",
    "CERTIFICATE_REVOKED": f"{_NOT_TAKEN}: it was revoked",
    "CERTIFICATE_UNKNOWN": _NOT_TAKEN,
    "BAD_CERTIFICATE": _NOT_TAKEN,
    "UNSUPPORTED_CERTIFICATE": f"{_NOT_TAKEN}: it is of a kind that the store does not know",
    "ACCESS_DENIED": f"{_NOT_TAKEN}: its holder is not let in",
}


def refused_certificate(error: BaseException | None) -> BadCredential | None:
    """What to raise when the store ended TLS over the client's certificate; None when it was not that.

    With TLS 1.3 that comes after the handshake, as an error of a connection that stood (RFC 8446, 4.4.2.4).
    """
    return of_reason(error.reason or "") if isinstance(error, ssl.SSLError) else None


def of_reason(reason: str) -> BadCredential | None:
    """The same by OpenSSL's reason, as `ssl` writes it (`TLSV1_ALERT_UNKNOWN_CA`) or pyOpenSSL does."""
    words = _ALERTS.get(reason.upper().replace(" ", "_").partition("_ALERT_")[2])
    return BadCredential(words) if words else None


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
