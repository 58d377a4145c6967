"""The only place where FTP's replies, sockets and TLS become connector errors.

A reply's text is never passed on: it may have a path or an address inside a private network.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from connectors.interface import (
    BadAnswer,
    BadCredential,
    InvalidName,
    NotFound,
    NotPermitted,
    OutOfSpace,
    StoreError,
    TimedOut,
    Unavailable,
    Unsupported,
    UntrustedHost,
)

BROKE = "the connection to the store broke"


class Closing(Unavailable):
    """The server closes the connection by itself: it is stopping, idle for too long, or has too many."""


class LocalError(Unavailable):
    """Something on the server's own side went wrong (451)."""


# RFC 959, 4.2; RFC 2228, 5.1 and RFC 4217 for 431 and 52x to 53x
_TABLE: dict[int, tuple[type[StoreError], str]] = {
    421: (Closing, "the server closes the connection: it is stopping, or has too many"),
    425: (Unavailable, "the server could not open a data connection"),
    426: (Unavailable, "the server broke the transfer off"),
    430: (BadCredential, "the server does not accept the user name or password"),
    431: (UntrustedHost, "the server can't do TLS now"),
    450: (Unavailable, "the file is in use on the server"),
    451: (LocalError, "the server failed at that, and says no more"),
    452: (OutOfSpace, "no room is left on the server"),
    500: (Unsupported, "the server does not know this command"),
    501: (InvalidName, "the server does not understand the name"),
    502: (Unsupported, "the server lacks this command"),
    503: (BadAnswer, "the server wants other commands first"),
    504: (Unsupported, "the server lacks this command"),
    521: (UntrustedHost, "the server does not permit data connections as they are set: see tls"),
    522: (UntrustedHost, "the server refused TLS on the data connection"),
    530: (Unavailable, "the server ended the login"),
    533: (UntrustedHost, "the server refuses to encrypt"),
    534: (UntrustedHost, "the server refuses the connection as it is encrypted: see tls"),
    536: (UntrustedHost, "the server refuses to encrypt file transfers"),
    550: (NotFound, "there is no such file or folder"),
    551: (NotPermitted, "the server does not permit that to this account"),
    552: (OutOfSpace, "no room is left on the server, or the account's quota is used up"),
    553: (InvalidName, "the server can't hold this name"),
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: its code and its lines, without the code where a line begins with it."""

    code: int
    lines: list[str] = field(repr=False)

    @property
    def good(self) -> bool:
        """Whether what was asked is done."""
        return 200 <= self.code < 300


def refusal(reply: Reply) -> StoreError:
    """What a reply means as an error. 550 is NotFound here: who knows better has looked what is there."""
    if (known := _TABLE.get(reply.code)) is not None:
        kind, message = known
        return kind(message)
    return BadAnswer(f"the server answered with code {reply.code}")


@contextmanager
def ftp_errors() -> Iterator[None]:
    """Maps what sockets, TLS and aioftp raise."""
    try:
        yield
    except StoreError:
        raise
    except TimeoutError as error:
        raise TimedOut("the store did not answer in time") from error
    except ssl.SSLCertVerificationError as error:
        raise UntrustedHost(f"the store's certificate is not trusted: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise UntrustedHost("the store does not speak TLS as it should: are port and tls right?") from error
    except OSError as error:
        raise Unavailable(BROKE) from error
