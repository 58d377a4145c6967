"""What a signed request's body goes through on its way, and what its head says of it then.

A body's promised digest is compared here and not left to the store, since not every store does it. Chunks
that were signed one by one go on unsigned, because the key that signs anew is the worker's and stays there:
their signatures are what proved the content up to here. With a checksum behind them they stay chunks
(STREAMING-UNSIGNED-PAYLOAD-TRAILER), without one they become a body as it is (UNSIGNED-PAYLOAD).
"""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from mitmproxy import http

from gateway.access.placeholders import Placeholder
from gateway.proxy.signing.chunks import CHECKSUMS, SignedChunks, UnsignedChunks
from gateway.proxy.signing.signatures import (
    NOTHING,
    SIGNED_CHUNKS,
    SIGNED_CHUNKS_AND_TRAILER,
    UNSIGNED,
    UNSIGNED_CHUNKS,
    Head,
    Refused,
    Signed,
    checked,
)

type Through = Callable[[bytes], list[bytes]]
"""Is given each piece of a body, then `b""`; gives what may be sent on, or raises Refused."""

_DIGEST: Final = "x-amz-content-sha256"
_LENGTH: Final = "x-amz-decoded-content-length"
_NUMBER = re.compile(r"[0-9]{1,18}")


def admit(request: http.Request, keys: Placeholder, now: datetime) -> Through | None:
    """What the body goes through of a request that is signed with these keys, or not signed at all.

    None: it goes as it is. The request's head becomes the one of the body that is sent on.

    Raises Refused for any other signature.
    """
    signed = checked(_head(request), keys, now)
    if signed is None or signed.payload in (UNSIGNED, UNSIGNED_CHUNKS):
        return None
    length = _length(request, signed)
    if signed.payload in (SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER):
        return _chunked(request, signed)
    return Digested(signed.payload, length)


class Digested:
    """A body whose SHA-256 was promised, as it is; its last piece only if the promise was kept.

    Args:
        promised: in hexadecimal.
        length: bytes of the body; None where its end is found out when it comes.
    """

    def __init__(self, promised: str, length: int | None) -> None:
        self._promised = promised
        self._left = length
        self._hash = hashlib.sha256()
        if length == 0:
            self._require_kept()

    def __call__(self, piece: bytes) -> list[bytes]:
        """The piece."""
        self._hash.update(piece)
        if self._left is not None:
            self._left -= len(piece)
        if not piece or self._left == 0:
            self._require_kept()
        return [piece] if piece else []

    def _require_kept(self) -> None:
        if self._hash.hexdigest() != self._promised:
            raise Refused("XAmzContentSHA256Mismatch", "the body is not the one that was signed", 400)


def _head(request: http.Request) -> Head:
    fields = [
        (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.headers.fields
    ]
    if "host" not in request.headers:  # HTTP/2 has it elsewhere
        fields.append(("host", request.authority))
    return Head(request.method, request.path, fields)


def _length(request: http.Request, signed: Signed) -> int | None:
    """The body's, None where chunked transfer or nothing says it. Raises Refused where a body lacks it."""
    if "content-length" in request.headers:
        return _number(request, "content-length")
    if "transfer-encoding" not in request.headers and signed.payload != NOTHING:
        raise Refused("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    return None


def _number(request: http.Request, name: str) -> int:
    text = request.headers.get(name, "").strip()
    if not _NUMBER.fullmatch(text):
        raise Refused("MissingContentLength", f"the request has no {name} that is a number", 411)
    return int(text)


def _chunked(request: http.Request, signed: Signed) -> Through:
    headers, length = request.headers, _number(request, _LENGTH)
    trailer = headers.get("x-amz-trailer", "").strip().lower() or None
    if (signed.payload == SIGNED_CHUNKS_AND_TRAILER) != (trailer is not None):
        raise Refused("MalformedTrailerError", "x-amz-trailer does not fit the kind of upload", 400)
    if trailer is not None and trailer not in CHECKSUMS:
        raise Refused("NotImplemented", f"of trailers the proxy takes one of {', '.join(CHECKSUMS)}", 501)
    chunks = SignedChunks(signed, length, trailer)
    headers.pop("transfer-encoding", None)
    if trailer is not None:
        again = UnsignedChunks(chunks, length, trailer)
        headers[_DIGEST], headers["content-length"] = UNSIGNED_CHUNKS, str(again.size)
        return again
    headers[_DIGEST], headers["content-length"] = UNSIGNED, str(length)
    del headers[_LENGTH]
    codings = [one.strip() for one in headers.pop("content-encoding", "").split(",")]
    if kept := [one for one in codings if one and one.lower() != "aws-chunked"]:
        headers["content-encoding"] = ", ".join(kept)
    return chunks
