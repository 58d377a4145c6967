"""A signer of uploads in chunks, for tests: botocore has none. Written from S3's API reference alone.

It signs with plain `hmac` and knows nothing of the code that it is to test.
"""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

KIB = 1024


@dataclass
class ChunkSigner:
    """One upload's signatures, each of which follows from the one before."""

    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"
    at: datetime | None = None

    def __post_init__(self) -> None:
        now = self.at or datetime.now(UTC)
        self.time, self.day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        self.scope = f"{self.day}/{self.region}/s3/aws4_request"
        self.previous = ""

    def _sign(self, text: str) -> str:
        key = ("AWS4" + self.secret_access_key).encode()
        for part in [*self.scope.split("/")]:
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def head(
        self, method: str, url: str, length: int, trailer: str | None = None, **more: str
    ) -> dict[str, str]:
        """The headers of an upload of that many bytes, signed; not its Content-Length."""
        kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
        headers = {
            "content-encoding": "aws-chunked",
            "host": urlsplit(url).netloc,
            "x-amz-content-sha256": kind,
            "x-amz-date": self.time,
            "x-amz-decoded-content-length": str(length),
            **({"x-amz-trailer": trailer} if trailer else {}),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        names = sorted(headers)
        canonical = "".join(f"{name}:{headers[name]}\n" for name in names)
        asked = "\n".join((method, urlsplit(url).path, "", canonical, ";".join(names), kind))
        digest = hashlib.sha256(asked.encode()).hexdigest()
        self.previous = self._sign(f"AWS4-HMAC-SHA256\n{self.time}\n{self.scope}\n{digest}")
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/{self.scope},"
            f"SignedHeaders={';'.join(names)},Signature={self.previous}"
        )
        return headers

    def chunk(self, content: bytes) -> bytes:
        """The next chunk; one of no bytes ends the content."""
        digests = f"{hashlib.sha256().hexdigest()}\n{hashlib.sha256(content).hexdigest()}"
        self.previous = self._sign(
            f"AWS4-HMAC-SHA256-PAYLOAD\n{self.time}\n{self.scope}\n{self.previous}\n{digests}"
        )
        head = f"{len(content):x};chunk-signature={self.previous}\r\n".encode()
        return head + content + (b"\r\n" if content else b"")

    def trailer(self, name: str, value: str, end: str = "\r\n") -> bytes:
        """What follows the last chunk."""
        digest = hashlib.sha256(f"{name}:{value}\n".encode()).hexdigest()
        self.previous = self._sign(
            f"AWS4-HMAC-SHA256-TRAILER\n{self.time}\n{self.scope}\n{self.previous}\n{digest}"
        )
        return f"{name}:{value}{end}x-amz-trailer-signature:{self.previous}\r\n\r\n".encode()

    def pieces(self, chunks: Sequence[bytes], trailer: tuple[str, str] | None = None) -> Iterator[bytes]:
        """The whole body, a chunk at a time."""
        for content in chunks:
            yield self.chunk(content)
        yield self.chunk(b"")
        yield self.trailer(*trailer) if trailer else b"\r\n"


def encoded_length(sizes: Sequence[int]) -> int:
    """Bytes of a body without a trailer whose chunks are of these sizes."""
    return sum(len(f"{size:x};chunk-signature=") + 64 + 2 + size + 2 for size in [*sizes, 0])
