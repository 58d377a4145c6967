"""Uploads in signed chunks: Amazon's own example, any way to cut the stream, and every kind of tampering."""

import hashlib
import itertools
from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http

from gateway.access.placeholders import Placeholder
from gateway.proxy.signing.chunks import CHECKSUMS, LARGEST_CHUNK, SignedChunks, UnsignedChunks
from gateway.proxy.signing.payloads import Digested, Through, admit
from gateway.proxy.signing.signatures import Head, Refused, Signed, checked
from tests.gateway.proxy.chunk_signer import KIB, ChunkSigner, encoded_length

EXAMPLE = Placeholder("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")  # of Amazon's pages
THEN = datetime(2013, 5, 24, tzinfo=UTC)
URL = "https://s3.amazonaws.com/examplebucket/chunkObject.txt"
CONTENT = [b"a" * 65536, b"a" * 1024]
PLAIN_SIGNATURES = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
]
TRAILED_SIGNATURES = [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
]
CRC = "x-amz-checksum-crc32c"


def signer() -> ChunkSigner:
    return ChunkSigner(EXAMPLE.access_key_id, EXAMPLE.secret_access_key, at=THEN)


def seed(headers: dict[str, str]) -> Signed:
    found = checked(Head("PUT", "/examplebucket/chunkObject.txt", list(headers.items())), EXAMPLE, THEN)
    assert found is not None
    return found


def chunked(signatures: list[str]) -> bytes:
    parts = zip([*CONTENT, b""], signatures, strict=True)
    return b"".join(
        b"%x;chunk-signature=%s\r\n%s" % (len(c), s.encode(), c and c + b"\r\n") for c, s in parts
    )


def through(chunks: Through, body: bytes, cuts: Iterable[int] = ()) -> bytes:
    ends = [0, *sorted(cuts), len(body)]
    given = [body[start:end] for start, end in itertools.pairwise(ends) if end > start]
    return b"".join(piece for one in [*given, b""] for piece in chunks(one))


def test_amazons_example() -> None:
    scope = f"{EXAMPLE.access_key_id}/20130524/us-east-1/s3/aws4_request"
    headers = {
        "content-encoding": "aws-chunked",
        "content-length": "66824",
        "host": "s3.amazonaws.com",
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-date": "20130524T000000Z",
        "x-amz-decoded-content-length": "66560",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
    }
    signature = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    field = f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={';'.join(headers)},Signature={signature}"
    body = chunked(PLAIN_SIGNATURES) + b"\r\n"
    assert len(body) == 66824 == encoded_length([65536, 1024])
    assert through(SignedChunks(seed({**headers, "authorization": field}), 66560), body) == b"a" * 66560


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_amazons_example_with_a_trailer(end: bytes) -> None:
    scope = f"{EXAMPLE.access_key_id}/20130524/us-east-1/s3/aws4_request"
    headers = {
        "content-encoding": "aws-chunked",
        "host": "s3.amazonaws.com",
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "x-amz-date": "20130524T000000Z",
        "x-amz-decoded-content-length": "66560",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-trailer": CRC,
    }
    signature = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    field = f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={';'.join(headers)},Signature={signature}"
    trailer = b"x-amz-checksum-crc32c:sOO8/Q==" + end + b"x-amz-trailer-signature:"
    trailer += b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435" + end + end
    chunks = SignedChunks(seed({**headers, "authorization": field}), 66560, CRC)
    assert through(chunks, chunked(TRAILED_SIGNATURES) + trailer) == b"a" * 66560
    assert chunks.checksum == "sOO8/Q=="


def test_the_tests_signer_makes_amazons_signatures() -> None:
    made = signer()
    more = {"content_length": "66824", "x_amz_storage_class": "REDUCED_REDUNDANCY"}
    made.head("PUT", URL, 66560, **more)
    assert b"".join(made.pieces(CONTENT)) == chunked(PLAIN_SIGNATURES) + b"\r\n"


@given(
    sizes=st.lists(st.integers(1, 300), max_size=5),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
    trailer=st.booleans(),
)
def test_however_the_stream_is_cut_it_gives_the_content(
    sizes: list[int], cuts: list[int], trailer: bool
) -> None:
    content = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    made = signer()
    head = seed(made.head("PUT", URL, sum(sizes), CRC if trailer else None))
    body = b"".join(made.pieces(content, (CRC, "AAAAAA==") if trailer else None))
    chunks = SignedChunks(head, sum(sizes), CRC if trailer else None)
    assert through(chunks, body, [cut for cut in cuts if cut < len(body)]) == b"".join(content)


def upload(sizes: list[int]) -> tuple[Signed, list[bytes]]:
    made = signer()
    head = seed(made.head("PUT", URL, sum(sizes)))
    return head, list(made.pieces([bytes([65 + n]) * size for n, size in enumerate(sizes)]))


def sent_before_refusal(head: Signed, length: int, body: bytes) -> tuple[bytes, str]:
    """What a store was sent of a body, a byte at a time, and why no more."""
    chunks, sent = SignedChunks(head, length), b""
    try:
        for piece in [*(body[at : at + 1] for at in range(len(body))), b""]:
            sent += b"".join(chunks(piece))
    except Refused as refused:
        return sent, refused.code
    raise AssertionError("nothing was refused")


def test_every_changed_byte_is_refused_before_its_chunk_goes_on() -> None:
    head, pieces = upload([40, 30])
    body = b"".join(pieces)
    for at in range(len(body)):
        if (
            body[at : at + 1] in b"abcdef"
        ):  # a size or a signature in capitals is the same, or refused as well
            continue
        wrong = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        sent, _ = sent_before_refusal(head, 70, wrong)
        assert sent in (b"", b"A" * 40), at
        assert at >= len(pieces[0]) - 2 or not sent, at  # behind its content there is CRLF


def test_chunks_in_another_order_left_out_repeated_cut_off_or_added_are_refused() -> None:
    head, (first, second, third, last, end) = upload([40, 40, 40])
    for wrong in (
        first + third + second + last + end,
        second + third + last + end,
        first + first + third + last + end,
        first + second + last + end,
        first + second + third,
        first + second + third + last,
        first + second + third + last + end + b"more",
        first + second + third + last + end + end,
        first + second + third + last + b"x-amz-checksum-crc32c:AAAAAA==\r\n",
        first + second + third[:-5],
        b"",
    ):
        sent, _ = sent_before_refusal(head, 120, wrong)
        assert len(sent) < 120


def test_content_that_is_longer_or_shorter_than_promised_is_refused() -> None:
    head, pieces = upload([40, 40])
    for promised in (79, 81, 40, 0):
        sent, _ = sent_before_refusal(head, promised, b"".join(pieces))
        assert len(sent) < promised or promised == 0


def test_a_chunk_larger_than_is_held_is_refused_at_its_head() -> None:
    head, _ = upload([1])
    large = b"%x;chunk-signature=%s\r\n" % (LARGEST_CHUNK + 1, b"0" * 64)
    with pytest.raises(Refused, match="larger than 4 MiB"):
        SignedChunks(head, 10 * LARGEST_CHUNK)(large)
    with pytest.raises(Refused, match="too long"):
        SignedChunks(head, 10 * LARGEST_CHUNK)(b"1" * 2000)


@pytest.mark.parametrize("name", ["x-amz-checksum-crc32", "x-amz-meta-colour"])
def test_a_trailer_that_was_not_promised_is_refused(name: str) -> None:
    made = signer()
    head = seed(made.head("PUT", URL, 1, CRC))
    body = b"".join(made.pieces([b"a"], (name, "AAAAAA==")))
    with pytest.raises(Refused, match="not the one that was promised"):
        through(SignedChunks(head, 1, CRC), body)


def test_a_trailer_that_was_changed_or_left_out_is_refused() -> None:
    made = signer()
    head = seed(made.head("PUT", URL, 1, CRC))
    body = b"".join(made.pieces([b"a"], (CRC, "AAAAAA==")))
    line = f"{CRC}:AAAAAA==\r\n".encode()
    for wrong in (body.replace(b"AAAAAA", b"AAAAAB"), body.replace(line, b""), body.replace(line, line * 2)):
        chunks = SignedChunks(head, 1, CRC)
        assert b"".join(chunks(wrong[:100])) == b""
        with pytest.raises(Refused):
            through(chunks, wrong[100:])


@pytest.mark.parametrize("length", [0, 1, 5000, 1024 * KIB, 1024 * KIB + 1, 2 * 1024 * KIB])
def test_chunks_with_a_trailer_go_on_as_unsigned_ones_of_a_known_length(length: int) -> None:
    made = signer()
    head = seed(made.head("PUT", URL, length, CRC))
    content = b"x" * length
    body = b"".join(
        made.pieces([content[at : at + 65536] for at in range(0, length, 65536)], (CRC, "AAAAAA=="))
    )
    again = UnsignedChunks(SignedChunks(head, length, CRC), length, CRC)
    size = again.size
    sent = through(again, body, range(0, len(body), 9999))
    assert len(sent) == size
    assert decoded(sent) == (content, b"x-amz-checksum-crc32c:AAAAAA==\r\n\r\n")


def decoded(body: bytes) -> tuple[bytes, bytes]:
    content = b""
    while True:
        head, _, body = body.partition(b"\r\n")
        if (size := int(head, 16)) == 0:
            return content, body
        content, ended, body = content + body[:size], body[size : size + 2], body[size + 2 :]
        assert ended == b"\r\n"


# what the head says of the body that is sent on


def put(headers: dict[str, str]) -> http.Request:
    request = http.Request.make("PUT", URL)
    request.headers = http.Headers([(name.encode(), value.encode()) for name, value in headers.items()])
    return request


def test_the_head_becomes_that_of_the_plain_body() -> None:
    request = put({**signer().head("PUT", URL, 70), "content-length": str(encoded_length([40, 30]))})
    request.headers["content-encoding"] = "gzip, aws-chunked"
    with pytest.raises(Refused):  # it is signed
        admit(request, EXAMPLE, THEN)
    request = put(
        signer().head("PUT", URL, 70, content_encoding="gzip,aws-chunked") | {"content-length": "1"}
    )
    assert isinstance(admit(request, EXAMPLE, THEN), SignedChunks)
    assert request.headers["content-length"] == "70"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert "x-amz-decoded-content-length" not in request.headers


@pytest.mark.parametrize("body", [b"content", b""])
def test_a_body_with_a_promised_digest_ends_before_its_end_when_it_is_another(body: bytes) -> None:
    digest = hashlib.sha256(body).hexdigest()
    for length in (len(body), None):
        assert through(Digested(digest, length), body, [3]) == body
        with pytest.raises(Refused, match="not the one that was signed"):
            through(Digested(hashlib.sha256(b"other").hexdigest(), length), body)
    kept = Digested(hashlib.sha256(b"contenT").hexdigest(), 7)
    assert kept(b"conten") == [b"conten"]
    with pytest.raises(Refused):
        kept(b"t")


@pytest.mark.parametrize(
    ("trailer", "changed", "code"),
    [
        ("x-amz-checksum-md9", {}, "NotImplemented"),
        (None, {"content-length": None}, "MissingContentLength"),
    ],
)
def test_heads_that_do_not_fit_are_refused(
    trailer: str | None, changed: dict[str, str | None], code: str
) -> None:
    headers = {**signer().head("PUT", URL, 70, trailer), "content-length": "1", **changed}
    request = put({name: value for name, value in headers.items() if value is not None})
    with pytest.raises(Refused) as refused:
        admit(request, EXAMPLE, THEN)
    assert refused.value.code == code


def test_trailers_are_as_long_as_their_checksums_in_base64() -> None:
    sizes = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}
    assert {f"x-amz-checksum-{n}": len(b64encode(bytes(size))) for n, size in sizes.items()} == CHECKSUMS
