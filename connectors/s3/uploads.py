"""Content on its way into the bucket: one request, or a multipart upload, never half an object.

A key holds its former object, or none, until the store has every byte: a PUT that is cut short stores
nothing, and the parts of a multipart upload are not the key's until it is completed (S3's user guide,
"Uploading and copying objects using multipart upload").
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Self

from connectors.interface import BadAnswer, NotFound, Part, StoreError, Unavailable
from connectors.objects import Source, replayed, total
from connectors.s3 import documents
from connectors.s3.bucket import Bucket, Fields

_MIB = 1024 * 1024
LARGEST_SINGLE = 1024 * _MIB
"""Bytes of a known length up to which a file is one PUT, whose pieces are nowhere kept. S3 takes 5 GiB."""

FIRST_PART = 8 * _MIB
STREAMED_PART = 64 * _MIB
UNKNOWN_PART = 16 * _MIB
MOST_PARTS = 10_000
_LARGEST_PART = 1024 * _MIB
_GROWS_AFTER = 1000
_ABANDON_WITHIN = 10.0


async def store(
    bucket: Bucket,
    key: str,
    chunks: AsyncIterator[bytes],
    size: int | None,
    mime_type: str,
    condition: Fields,
) -> None:
    """Stores the content under the key.

    Args:
        bucket: where.
        key: the whole key.
        chunks: the content; its errors are passed on.
        size: bytes, or None. An unknown length costs memory for one part: 8 MiB, more beyond 8 GB.
        mime_type: kept with the object.
        condition: If-Match or If-None-Match; the store checks it when the last byte is there.
    """
    fields = {"content-type": mime_type}
    if size is not None and size <= LARGEST_SINGLE:
        answer = await bucket.request("PUT", key, (), {**fields, **condition}, body=chunks, length=size)
        await answer.aclose()
        return
    source = Source(chunks)
    if size is None:
        first = await source.fill(FIRST_PART)
        if source.ended:
            length = total(first)
            answer = await bucket.request(
                "PUT", key, (), {**fields, **condition}, body=replayed(first), length=length
            )
            await answer.aclose()
            return
        parts = _buffered(source, first)
    else:
        parts = _streamed(source, size)
    await _in_parts(bucket, key, parts, fields, condition)


type Portion = tuple[AsyncIterator[bytes], int]


async def _buffered(source: Source, pieces: list[bytes]) -> AsyncGenerator[Portion]:
    """Portions of a content of unknown length: the store wants each part's length before its bytes."""
    number = 1
    while pieces:
        yield replayed(pieces), total(pieces)
        number += 1
        pieces = await source.fill(growing_part(number))


async def _streamed(source: Source, size: int) -> AsyncGenerator[Portion]:
    """Portions of a content of known length, handed on as they come."""
    each = max(STREAMED_PART, part_size(size))
    for start in range(0, size, each):
        length = min(each, size - start)
        yield source.take(length), length
    if await source.more():
        raise Unavailable("the content has another length than was declared")


async def _in_parts(
    bucket: Bucket, key: str, portions: AsyncIterator[Portion], fields: Fields, condition: Fields
) -> None:
    upload = await begin(bucket, key, fields)
    try:
        parts: list[Part] = []
        async for pieces, length in portions:
            number = len(parts) + 1
            tag = await write_part(bucket, key, upload, number, pieces, length)
            parts.append(Part(number, length, tag))
        await complete(bucket, key, upload, parts, condition)
    except BaseException:
        # runs on although its caller was cancelled: parts that are left cost money and are seen by nobody
        await asyncio.shield(asyncio.ensure_future(abandon_soon(bucket, key, upload)))
        raise


def part_size(size: int | None) -> int:
    """Bytes of each part of an upload of that size, in whole MiB, so that 10,000 are enough."""
    if size is None:
        return UNKNOWN_PART
    return max(FIRST_PART, _whole_mib(-(-size // MOST_PARTS)))


def growing_part(number: int) -> int:
    """Bytes of the part of that number where the whole is not known: twice as many after each 1000 parts.

    The first thousand hold 8 GB, and a hundred GB need parts of 64 MiB; 10,000 parts hold 3.9 TiB. Growing
    in steps, since some stores want parts of one size: those take 8 GB in this way.
    """
    return int(min(FIRST_PART << ((number - 1) // _GROWS_AFTER), _LARGEST_PART))


def _whole_mib(size: int) -> int:
    return -(-size // _MIB) * _MIB


async def abandon_soon(bucket: Bucket, key: str, upload: str) -> None:
    """Drops the upload of a write that failed, or tries to: the write's own error is the one to tell."""
    with suppress(StoreError, TimeoutError):
        async with asyncio.timeout(_ABANDON_WITHIN):
            await abandon(bucket, key, upload)


# multipart uploads (CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an upload in parts is known by between requests."""

    upload: str
    raw_id: str
    replace: bool

    def written(self) -> str:
        """As ASCII, at most 4096 characters: a key has 1024 bytes at most, and no NUL."""
        text = "\0".join((self.upload, "replace" if self.replace else "", self.raw_id))
        return urlsafe_b64encode(text.encode()).decode()

    @classmethod
    def read(cls, state: str) -> Self:
        """The ticket again. Raises NotFound for a state that is none of ours."""
        try:
            upload, replace, raw_id = urlsafe_b64decode(state.encode()).decode().split("\0")
        except ValueError:
            raise NotFound("there is no such upload") from None
        return cls(upload, raw_id, bool(replace))


async def begin(bucket: Bucket, key: str, fields: Fields) -> str:
    """The id of a new upload. It is dropped when the caller is gone by then: nobody else knows of it."""
    return await bucket.leavers.made(_begun(bucket, key, fields), partial(abandon_soon, bucket, key))


async def _begun(bucket: Bucket, key: str, fields: Fields) -> str:
    answer = await bucket.document("POST", key, [("uploads", "")], fields)
    if not (upload := answer.text("UploadId")):
        raise BadAnswer("the store gave the upload no id")
    return upload


async def write_part(
    bucket: Bucket, key: str, upload: str, number: int, pieces: AsyncIterator[bytes], length: int
) -> str:
    """The part's entity tag, without quotes. Raises NotFound for an upload that is no more."""
    query = [("partNumber", str(number)), ("uploadId", upload)]
    answer = await bucket.request("PUT", key, query, body=pieces, length=length)
    tag = documents.plain_etag(answer.header(b"etag"))
    await answer.aclose()
    if tag is None:
        raise BadAnswer("the store gave the part no entity tag")
    return tag


async def complete(bucket: Bucket, key: str, upload: str, parts: Sequence[Part], condition: Fields) -> None:
    """Makes the object of these parts."""
    quoted = [Part(part.number, part.size, f'"{part.tag}"') for part in parts]
    fields = {"content-type": "application/xml", **condition}
    await bucket.document("POST", key, [("uploadId", upload)], fields, body=documents.completion(quoted))


async def abandon(bucket: Bucket, key: str, upload: str) -> None:
    """Drops the upload and its parts; nothing if it is gone already."""
    with suppress(NotFound):
        await (await bucket.request("DELETE", key, [("uploadId", upload)])).aclose()
