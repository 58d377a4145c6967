"""The only place where socket errors on the way to a store become connector errors."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.interface import StoreError, TimedOut, Unavailable, UntrustedHost


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
        raise Unavailable("the store and we could not agree on TLS") from error
    except ConnectionRefusedError as error:
        raise Unavailable(
            "the store refused the connection: is it running, and is the port right?"
        ) from error
    except OSError as error:
        raise Unavailable("the connection to the store broke") from error
