"""Which shares a server has: NetrShareEnum of the server service ([MS-SRVS] 3.1.4.8), by DCE/RPC over a pipe.

No more of DCE/RPC ([C706], [MS-RPCE]) than this one call needs: one context, no authentication of its own, as
the SMB session has one; the answer may come in several fragments.
"""

import struct
from collections.abc import Awaitable, Callable
from uuid import UUID

from connectors.interface import BadAnswer, NotPermitted

PIPE = "srvsvc"
FRAGMENT = 4280
"""Bytes of one fragment at most, both ways."""

_SERVICE = UUID("4b324fc8-1670-01d3-1278-5a47bf6ee188").bytes_le + struct.pack("<I", 3)
_NDR = UUID("8a885d04-1ceb-11c9-9fe8-08002b104860").bytes_le + struct.pack("<I", 2)
_REQUEST, _RESPONSE, _FAULT, _BIND, _BIND_ACK = 0, 2, 3, 11, 12
_LAST = 2
_SHARE_ENUM = 15
_DISK = 0  # [MS-SRVS] 2.2.2.4; the high bits mark shares that are the server's own
_MOST = 4 * 1024 * 1024
_ACCESS_DENIED = 5

type Read = Callable[[], Awaitable[bytes]]


def bind() -> bytes:
    """The first message: which service we want."""
    context = struct.pack("<BxxxHBx", 1, 0, 1) + _SERVICE + _NDR
    return _message(_BIND, struct.pack("<HHI", FRAGMENT, FRAGMENT, 0) + context)


def share_enum() -> bytes:
    """The call: names and types (level 1) of all shares."""
    no_name = struct.pack("<I", 0)  # of the server: the one that is asked
    container = struct.pack("<IIIII", 1, 1, 0x20000, 0, 0)
    everything = struct.pack("<II", 0xFFFFFFFF, 0)
    stub = no_name + container + everything
    return _message(_REQUEST, struct.pack("<IHH", len(stub), 0, _SHARE_ENUM) + stub)


def check_bound(fragment: bytes) -> None:
    """Raises BadAnswer unless the answer to `bind` is the service's."""
    if len(fragment) < 16 or fragment[2] != _BIND_ACK:
        raise BadAnswer("the store does not tell its shares")


async def answer(first: bytes, more: Read) -> bytes:
    """What the call gave, of all its fragments.

    Args:
        first: the bytes that came already.
        more: the next bytes.
    """
    stub = b""
    buffer = first
    while True:
        while len(buffer) < 16 or len(buffer) < _length(buffer):
            buffer = _grown(buffer, await more())
        fragment, buffer = buffer[: _length(buffer)], buffer[_length(buffer) :]
        if fragment[2] != _RESPONSE or len(fragment) < 24:
            raise BadAnswer("the store does not tell its shares")
        stub = _grown(stub, fragment[24:])
        if fragment[3] & _LAST:
            return stub


def names(stub: bytes) -> list[str]:
    """The disk shares that are not hidden. Raises NotPermitted where the server does not tell this user."""
    try:
        if struct.unpack_from("<I", stub, len(stub) - 4)[0] == _ACCESS_DENIED:
            raise NotPermitted("the store does not tell this account its shares: name one")
        count, there = struct.unpack_from("<12xII", stub)
        if not there:
            return []
        kinds = [kind for _, kind, _ in struct.iter_unpack("<III", stub[24 : 24 + 12 * count])]
        at = 24 + 12 * count
        found = []
        for kind in kinds:
            name, at = _string(stub, at)
            _, at = _string(stub, at)  # the comment
            if kind == _DISK and not name.endswith("$"):
                found.append(name)
    except (struct.error, UnicodeDecodeError) as error:
        raise BadAnswer("the store's list of shares can't be read") from error
    return found


def _string(stub: bytes, at: int) -> tuple[str, int]:
    """A string that ends with a null character, and where the next one begins ([C706] 14.3.4.2)."""
    length = struct.unpack_from("<8xI", stub, at)[0]
    end = at + 12 + 2 * length
    return stub[at + 12 : end].decode("utf-16-le").rstrip("\0"), (end + 3) & ~3


def _message(kind: int, body: bytes) -> bytes:
    first_and_last, little_endian, call = 3, 0x10, 1
    return struct.pack("<BBBBIHHI", 5, 0, kind, first_and_last, little_endian, 16 + len(body), 0, call) + body


def _length(fragment: bytes) -> int:
    return max(16, int.from_bytes(fragment[8:10], "little"))


def _grown(buffer: bytes, more: bytes) -> bytes:
    if not more or len(buffer) + len(more) > _MOST:
        raise BadAnswer("the store's list of shares can't be read")
    return buffer + more
