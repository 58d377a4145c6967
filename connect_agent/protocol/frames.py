"""One dataclass a frame, and its codec.

A frame is one binary websocket message:

    type u8 | flags u8 | stream u32 | payload

Numbers are big-endian. Flags are 0 in this version, and not looked at.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from connect_agent.protocol.errors import PeerFault

HEAD = struct.Struct(">BBI")
_CREDIT = struct.Struct(">QI")
_ROW = struct.Struct(">IBQQI")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
LARGEST_DATA = 256 * 1024
LARGEST_CONTROL = 64 * 1024
MOST_STREAMS = 2000


class Type(IntEnum):
    """Frame types; HELLO to WELCOME are the handshake's."""

    HELLO = 1
    CHALLENGE = 2
    PROOF = 3
    WELCOME = 4
    RESUME = 5
    OPEN = 6
    OPENED = 7
    REFUSED = 8
    DATA = 9
    CREDIT = 10
    FIN = 11
    RESET = 12
    PING = 13
    PONG = 14
    POLICY = 15
    DRAIN = 16


class Code(IntEnum):
    """Why an OPEN was refused, or a stream reset."""

    NOT_ALLOWED = 1
    UNKNOWN_NAME = 2
    CONNECTION_REFUSED = 3
    UNREACHABLE = 4
    TIMED_OUT = 5
    SHUTTING_DOWN = 6
    FAILED = 7
    GONE = 8


@dataclass(frozen=True, slots=True)
class Open:
    """Hub to agent: connect to host and port."""

    stream: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Opened:
    """Agent to hub: connected."""

    stream: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Agent to hub: not connected, and why. The text may be shown to anyone."""

    stream: int
    code: Code
    text: str


@dataclass(frozen=True, slots=True)
class Data:
    """The stream's next bytes."""

    stream: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Credit:
    """The receiver consumed everything before `consumed`; the sender may go up to `consumed + window`."""

    stream: int
    consumed: int
    window: int


@dataclass(frozen=True, slots=True)
class Fin:
    """No more bytes from this side. Takes one place behind the last byte, so that it is acknowledged too."""

    stream: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The stream is over at once, both ways."""

    stream: int
    code: Code


@dataclass(frozen=True, slots=True)
class Row:
    """What one end knows of a stream when a session goes on over a new websocket."""

    stream: int
    opened: bool
    received: int
    consumed: int
    window: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Everything that one end knows; `highest` is the highest stream that it ever saw."""

    highest: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a PONG with the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a PING."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Policy:
    """Agent to hub: its allow-list changed; JSON."""

    text: str


@dataclass(frozen=True, slots=True)
class Drain:
    """No new streams here, please; those that run may finish."""


type Frame = Open | Opened | Refused | Data | Credit | Fin | Reset | Resume | Ping | Pong | Policy | Drain


def encode(frame: Frame) -> bytes:  # noqa: C901  one case a frame
    """The frame as one message."""
    match frame:
        case Data(stream, data):
            return HEAD.pack(Type.DATA, 0, stream) + data
        case Credit(stream, consumed, window):
            return HEAD.pack(Type.CREDIT, 0, stream) + _CREDIT.pack(consumed, window)
        case Open(stream, host, port):
            return HEAD.pack(Type.OPEN, 0, stream) + _U16.pack(port) + host.encode()
        case Opened(stream):
            return HEAD.pack(Type.OPENED, 0, stream)
        case Refused(stream, code, text):
            return HEAD.pack(Type.REFUSED, 0, stream) + bytes([code]) + text.encode()
        case Fin(stream):
            return HEAD.pack(Type.FIN, 0, stream)
        case Reset(stream, code):
            return HEAD.pack(Type.RESET, 0, stream) + bytes([code])
        case Resume(highest, rows):
            packed = (_ROW.pack(r.stream, r.opened, r.received, r.consumed, r.window) for r in rows)
            return HEAD.pack(Type.RESUME, 0, 0) + _U32.pack(highest) + b"".join(packed)
        case Ping(payload):
            return HEAD.pack(Type.PING, 0, 0) + payload
        case Pong(payload):
            return HEAD.pack(Type.PONG, 0, 0) + payload
        case Policy(text):
            return HEAD.pack(Type.POLICY, 0, 0) + text.encode()
        case Drain():
            return HEAD.pack(Type.DRAIN, 0, 0)


def decode(message: bytes) -> Frame | None:
    """The frame; None for a type that this version does not know. Raises PeerFault."""
    if len(message) < HEAD.size:
        raise PeerFault("a message shorter than a frame's head")
    kind, _, stream = HEAD.unpack_from(message)
    if kind == Type.DATA:
        if not 0 < len(message) - HEAD.size <= LARGEST_DATA:
            raise PeerFault("DATA of no bytes or too many")
        return Data(stream, memoryview(message)[HEAD.size :])
    payload = message[HEAD.size :]
    if len(payload) > LARGEST_CONTROL:
        raise PeerFault("a control frame over 64 KiB")
    try:
        return _control(kind, stream, payload)
    except (struct.error, ValueError, IndexError) as error:
        raise PeerFault(f"a frame of type {kind} that can't be read") from error


def _control(kind: int, stream: int, payload: bytes) -> Frame | None:  # noqa: C901  one case a frame
    match kind:
        case Type.CREDIT:
            return Credit(stream, *_CREDIT.unpack(payload))
        case Type.OPEN:
            return Open(stream, payload[2:].decode(), *_U16.unpack(payload[:2]))
        case Type.OPENED:
            return Opened(stream)
        case Type.REFUSED:
            return Refused(stream, _code(payload[0]), payload[1:].decode())
        case Type.FIN:
            return Fin(stream)
        case Type.RESET:
            return Reset(stream, _code(payload[0]))
        case Type.RESUME:
            rows = (Row(r[0], bool(r[1]), *r[2:]) for r in _ROW.iter_unpack(payload[4:]))
            return Resume(_U32.unpack(payload[:4])[0], tuple(rows))
        case Type.PING:
            return Ping(payload[:64])
        case Type.PONG:
            return Pong(payload[:64])
        case Type.POLICY:
            return Policy(payload.decode())
        case Type.DRAIN:
            return Drain()
        case Type.HELLO | Type.CHALLENGE | Type.PROOF | Type.WELCOME:
            raise PeerFault("a handshake's frame in a running session")
    return None


def _code(value: int) -> Code:
    """A code of a later version reads as FAILED."""
    return Code(value) if value in Code else Code.FAILED
