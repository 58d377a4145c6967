"""What a message's head may be: whole within 64 KiB, and read in one way by every parser. Pure decisions.

A head that is none of it is refused and not mended (RFC 9112, 2.2, 5.1, 5.2 and 11). The one exception are
folded lines in an answer, which old stores send: `injection.without_folds` joins them.
"""

import re
from typing import Final

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer

LARGEST_HEAD: Final = 64 * 1024
"""Bytes of a head; and of a chunk's first line with its extensions, and of the trailers."""
MOST_INFORMATIONAL: Final = 16
"""Answers of status 1xx before the real one (RFC 9110, 15.2)."""
_ENDS = (b"\r\n\r\n", b"\n\n", b"\n\r\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: |\r?\n|$)")
_INFORMATIONAL = range(100, 200)
_SWITCHED = 101


def begun(buffer: ReceiveBuffer) -> tuple[bytes, bool]:
    """What has come of a head, at most a little more than it may have, and whether it is whole."""
    have = bytes(buffer)[: LARGEST_HEAD + 4]
    ends = [at for mark in _ENDS if (at := have.find(mark)) >= 0]
    return (have[: min(ends)], True) if ends else (have, False)


def malformed_request(head: bytes) -> str | None:
    """What is wrong with a whole head that other parsers read in several ways."""
    lines = _lines(head)
    if _CONTROL.search(head.replace(b"\r\n", b"\n")):
        return "a bare CR or another control character in the request's head"
    if any(line[:1] in (b" ", b"\t") for line in lines[1:]):
        return "a folded line in the request's head"
    if any(name != name.rstrip() for name in (line.partition(b":")[0] for line in lines[1:])):
        return "white space before a colon in the request's head"
    hosts = [line for line in lines[1:] if line[:5].lower() == b"host:"]
    return "several Host headers" if len(hosts) > 1 else None


def malformed_answer(head: bytes, *, wants_websocket: bool) -> str | None:
    """What is wrong with the whole head of a store's answer."""
    status = status_of(head)
    if status is None:
        return "the store's answer has no HTTP/1.1 status line"
    if _CONTROL.search(head.replace(b"\r\n", b"\n")):
        return "a bare CR or another control character in the head of the store's answer"
    if any(name != name.rstrip() for name in (line.partition(b":")[0] for line in _lines(head)[1:])):
        return "white space before a colon in the head of the store's answer"
    if status == _SWITCHED and not wants_websocket:
        return "the store changed the protocol, which nobody asked for"
    return None


def status_of(head: bytes) -> int | None:
    """The status in an answer's first line; None where it has none."""
    found = _STATUS.match(head)
    return int(found[1]) if found else None


def is_informational(status: int | None) -> bool:
    """Whether another answer follows this one; 101 is an answer of its own."""
    return status in _INFORMATIONAL and status != _SWITCHED


def _lines(head: bytes) -> list[bytes]:
    return head.replace(b"\r\n", b"\n").split(b"\n")


class Chunks:
    """Reads a chunked body, of which extensions and trailers end here; what has no end is refused.

    A recipient may drop trailers (RFC 9110, 6.5.1), and nothing that authorises or frames may stand in them.
    """

    def __init__(self, reader: ChunkedReader) -> None:
        self._reader = reader

    def __call__(self, buffer: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        """The next event, or None until more has come. Raises h11.RemoteProtocolError."""
        event = self._reader(buffer)
        if event is None and len(buffer) > LARGEST_HEAD:
            raise h11.RemoteProtocolError("a chunk's first line, or the trailers, are larger than 64 KiB")
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event

    def read_eof(self) -> None:
        """Raises h11.RemoteProtocolError: the body was not whole."""
        raise h11.RemoteProtocolError("the connection ended within a chunked body")
