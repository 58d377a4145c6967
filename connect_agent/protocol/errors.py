"""Whose fault a broken rule of the protocol is.

ProtocolError
├── OurFault    the caller of this package did what the session's state does not allow
└── PeerFault   the other end did; the tunnel is to be closed
"""


class ProtocolError(Exception):
    """Root of this package's errors."""


class OurFault(ProtocolError):
    """The caller did what the state does not allow."""


class PeerFault(ProtocolError):
    """The other end broke a rule."""
