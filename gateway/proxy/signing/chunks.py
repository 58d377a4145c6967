"""Uploads whose chunks are signed one by one (aws-chunked), taken apart and checked as they stream.

S3's API reference, "Transferring Payload in Multiple Chunks", and "Including Trailing Headers". A chunk goes
on when its own signature was right, and the last one when everything behind it was right as well: until then
a store lacks bytes of what it was promised, and keeps nothing. No I/O here.

Both classes are fed each piece of the body, then `b""` at its end (as mitmproxy does), give what may be sent
on, and raise Refused.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Final

from gateway.proxy.signing.signatures import NOTHING, Refused, Signed, right

LARGEST_CHUNK: Final = 4 * 1024 * 1024
"""Bytes that are held until their signature is checked. Amazon's SDKs make chunks of 64 KiB to 1 MiB."""
CHECKSUMS: Final = {
    "x-amz-checksum-crc32": 8,
    "x-amz-checksum-crc32c": 8,
    "x-amz-checksum-crc64nvme": 12,
    "x-amz-checksum-sha1": 28,
    "x-amz-checksum-sha256": 44,
}
"""Trailers that an upload may have, and how long each is in Base64."""
_SENT_ON: Final = 1024 * 1024  # bytes of a chunk as it is sent on, as botocore makes them
_CHUNK = "AWS4-HMAC-SHA256-PAYLOAD"
_TRAILER = "AWS4-HMAC-SHA256-TRAILER"
_HEAD = re.compile(rb"([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})")
_SIGNATURE = b"x-amz-trailer-signature"
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_LONGEST_LINE = 1024
_LAST_LINE = (b"\r\n", b"\r", b"\n")  # behind a trailer, whole or its first half; some have none


class SignedChunks:
    """Gives the content of the chunks.

    Args:
        signed: the head's signature, the first chunk's predecessor.
        length: bytes of content that the head promised, x-amz-decoded-content-length.
        trailer: name of the checksum that follows the chunks; None where nothing does.
    """

    def __init__(self, signed: Signed, length: int, trailer: str | None = None) -> None:
        self.checksum: str | None = None
        """The trailer's value, once it was found to be signed."""
        self._signed = signed
        self._previous = signed.signature
        self._left = length
        self._trailer = trailer
        self._buffer = bytearray()
        self._step: Callable[[], bool] = self._head
        self._ready: list[bytes] = []  # checked, and sent on with the next answer
        # of the chunk that is read
        self._size = 0
        self._claimed = ""
        self._pieces: list[bytes] = []
        self._hash = hashlib.sha256()

    def __call__(self, piece: bytes) -> list[bytes]:
        """Content whose signature is right; of the last chunk at the end only."""
        self._buffer += piece
        while self._buffer and self._step():
            pass
        if not piece and self._step != self._nothing:
            raise Refused("IncompleteBody", "the upload ended before its last chunk", 400)
        if not piece or self._left:
            self._ready, ready = [], self._ready
            return ready
        return []

    def _head(self) -> bool:
        """A chunk's size, and what its sender says to be its signature."""
        line = self._line()
        if line is None:
            return False
        found = _HEAD.fullmatch(line)
        if found is None:
            raise Refused("InvalidRequest", "the head of a signed chunk is malformed", 400)
        self._size, self._claimed = int(found[1], 16), found[2].decode()
        if self._size > min(self._left, LARGEST_CHUNK):
            why = "is larger than 4 MiB" if self._left > LARGEST_CHUNK else "goes beyond the promised length"
            raise Refused("InvalidRequest", f"a signed chunk {why}", 400)
        self._pieces, self._hash = [], hashlib.sha256()
        if self._size:
            self._step = self._content
        else:
            self._end_of_content()
        return True

    def _content(self) -> bool:
        """What there is of a chunk; it waits in `_pieces` until it is whole."""
        piece = bytes(self._buffer[: self._size])
        del self._buffer[: len(piece)]
        self._hash.update(piece)
        self._pieces.append(piece)
        self._size -= len(piece)
        if not self._size:
            self._left -= sum(map(len, self._pieces))
            self._require_right(_CHUNK, self._claimed, NOTHING, self._hash.hexdigest())
            self._ready += self._pieces
            self._pieces = []
            self._step = self._behind_content
        return True

    def _behind_content(self) -> bool:
        return self._empty_line(self._head)

    def _end_of_content(self) -> None:
        """The chunk of no bytes, which is signed too: nothing was cut off."""
        if self._left:
            raise Refused("IncompleteBody", "the upload is shorter than it promised to be", 400)
        self._require_right(_CHUNK, self._claimed, NOTHING, NOTHING)
        self._step = self._behind_last if self._trailer is None else self._trailing

    def _behind_last(self) -> bool:
        return self._empty_line(self._nothing)

    def _trailing(self) -> bool:
        """A line of the trailer; Amazon's own example ends them with LF, its SDKs with CRLF."""
        line = self._line(b"\n")
        if line is None:
            return False
        if not line.strip():
            return True
        name, _, value = line.strip().partition(b":")
        if name == _SIGNATURE:
            self._end_of_trailer(value.decode("latin-1"))
        elif name.lower().decode("latin-1") == self._trailer and self.checksum is None:
            self.checksum = value.strip().decode("latin-1")
        else:
            raise Refused("MalformedTrailerError", "the trailer is not the one that was promised", 400)
        return True

    def _end_of_trailer(self, claimed: str) -> None:
        if self.checksum is None or self._trailer is None:
            raise Refused("MalformedTrailerError", "the trailer that was promised is missing", 400)
        signed = f"{self._trailer}:{self.checksum}\n".encode("latin-1")
        self._require_right(_TRAILER, claimed, hashlib.sha256(signed).hexdigest())
        if len(self.checksum) != CHECKSUMS[self._trailer] or not _BASE64.fullmatch(self.checksum):
            raise Refused("InvalidRequest", "the trailer is no checksum of its kind", 400)
        self._step = self._nothing

    def _nothing(self) -> bool:
        """Behind the end: at most an empty line."""
        if self._trailer is None or bytes(self._buffer) not in _LAST_LINE:
            raise Refused("InvalidRequest", "the upload goes on behind its last chunk", 400)
        return False

    def _line(self, end: bytes = b"\r\n") -> bytes | None:
        """The next line without its end; None when it is not whole yet."""
        at = self._buffer.find(end, 0, _LONGEST_LINE)
        if at < 0:
            if len(self._buffer) >= _LONGEST_LINE:
                raise Refused("InvalidRequest", "a line between the upload's chunks is too long", 400)
            return None
        line = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return line

    def _empty_line(self, following: Callable[[], bool]) -> bool:
        line = self._line()
        if line:
            raise Refused("InvalidRequest", "a chunk is longer than its head says", 400)
        if line is not None:
            self._step = following
        return line is not None

    def _require_right(self, kind: str, claimed: str, *digests: str) -> None:
        """Raises Refused unless the claimed signature is the one that follows the previous."""
        signed = self._signed
        text = "\n".join((kind, signed.timestamp, signed.scope, self._previous, *digests))
        if not right(claimed, signed.key, text):
            raise Refused("SignatureDoesNotMatch", "the signature of a chunk is not right")
        self._previous = claimed


class UnsignedChunks:
    """Gives the same upload as one whose chunks aren't signed, with its checksum still behind it.

    So it is the store that checks the checksum, whichever it is, and keeps it with the content. How long the
    whole is, is known before any of it has come.
    """

    def __init__(self, chunks: SignedChunks, length: int, trailer: str) -> None:
        self._chunks = chunks
        self._length = length
        self._trailer = trailer
        self._at = 0

    @property
    def size(self) -> int:
        """Bytes of the upload, chunks' heads and trailer included."""
        whole, rest = divmod(self._length, _SENT_ON)
        heads = whole * len(_chunk_head(_SENT_ON)) + (len(_chunk_head(rest)) if rest else 0)
        ends = 2 * (whole + bool(rest))
        return heads + self._length + ends + len(self._end("*" * CHECKSUMS[self._trailer]))

    def __call__(self, piece: bytes) -> list[bytes]:
        """The next bytes of the upload, in pieces of 1 B to 1 MiB."""
        made: list[bytes] = []
        for content in self._chunks(piece):
            self._add(content, made)
        if not piece:
            made.append(self._end(self._chunks.checksum or ""))
        return made

    def _add(self, content: bytes, made: list[bytes]) -> None:
        while content:
            into = self._at % _SENT_ON
            if not into:
                made.append(_chunk_head(min(_SENT_ON, self._length - self._at)))
            now, content = content[: _SENT_ON - into], content[_SENT_ON - into :]
            made.append(now)
            self._at += len(now)
            if self._at == self._length or not self._at % _SENT_ON:
                made.append(b"\r\n")

    def _end(self, checksum: str) -> bytes:
        return f"0\r\n{self._trailer}:{checksum}\r\n\r\n".encode()


def _chunk_head(size: int) -> bytes:
    return b"%x\r\n" % size
