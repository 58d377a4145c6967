"""Many keys at once: what copies, moves, deletes or purges an object, or all that lies below a prefix.

S3 has no request for any of these trees. A tree is gone through in batches; a failure or cancellation in
the middle leaves those before it done. A move deletes only what it has copied; what others write to a
key between the two is lost, since not every store deletes on a condition.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from connectors.interface import BadAnswer, Part, Unsupported
from connectors.objects import answers, for_each
from connectors.s3 import documents, uploads
from connectors.s3.bucket import Bucket, Fields
from connectors.s3.documents import Version

LARGEST_COPY = 5 * 1024**3
"""Bytes above which an object is copied in parts (CopyObject, "up to 5 GB in size in a single operation")."""

COPIED_PART = 512 * 1024**2
_BATCH = 1000  # DeleteObjects takes no more
# what only CopyObject takes along by itself
_KEPT = (
    "content-type",
    "content-disposition",
    "content-encoding",
    "content-language",
    "cache-control",
    "expires",
)


async def copy_object(bucket: Bucket, source: str, target: str, condition: Fields) -> None:
    """Copies one version of the object on the store's side. Raises PreconditionFailed if it changes."""
    answer = await bucket.request("HEAD", source)
    size, etag = int(answer.header(b"content-length") or 0), answer.header(b"etag") or "*"
    told = {k.decode(): v.decode("utf-8", "replace") for k, v in answer.headers}
    about = {k: v for k, v in told.items() if k in _KEPT or k.startswith("x-amz-meta-")}
    await answer.aclose()
    fields = {"x-amz-copy-source": bucket.source(source), "x-amz-copy-source-if-match": etag}
    if not size and source.endswith("/"):  # SeaweedFS copies no folder's marker
        await (await bucket.request("PUT", target, (), {**about, **condition}, body=b"")).aclose()
        return
    if size <= LARGEST_COPY:
        await bucket.document("PUT", target, (), {**fields, **condition})
        return
    upload = await uploads.begin(bucket, target, about)
    try:
        parts = await _copied_parts(bucket, target, upload, size, fields)
        await uploads.complete(bucket, target, upload, parts, condition)
        with suppress(Unsupported):  # a store without tags has none to take along
            await _copy_tags(bucket, source, target)
    except BaseException:
        await asyncio.shield(asyncio.ensure_future(uploads.abandon_soon(bucket, target, upload)))
        raise


async def _copied_parts(bucket: Bucket, target: str, upload: str, size: int, fields: Fields) -> list[Part]:
    each = max(COPIED_PART, uploads.part_size(size))

    async def copy_part(number: int) -> Part:
        start = (number - 1) * each
        length = min(each, size - start)
        span = {"x-amz-copy-source-range": f"bytes={start}-{start + length - 1}"}
        query = [("partNumber", str(number)), ("uploadId", upload)]
        answer = await bucket.document("PUT", target, query, {**fields, **span})
        if (tag := documents.plain_etag(answer.text("ETag"))) is None:
            raise BadAnswer("the store gave the part no entity tag")
        return Part(number, length, tag)

    return await answers(range(1, -(-size // each) + 1), copy_part)


async def _copy_tags(bucket: Bucket, source: str, target: str) -> None:
    found = documents.tags(await bucket.document("GET", source, [("tagging", "")]))
    if found:
        await put_tags(bucket, target, found)


async def put_tags(bucket: Bucket, key: str, tags: Fields) -> None:
    """Gives the object exactly these tags."""
    body = documents.tagging(tags.items())
    fields = {"content-type": "application/xml", "content-md5": documents.md5(body)}
    await (await bucket.request("PUT", key, [("tagging", "")], fields, body=body)).aclose()


# trees


async def copy_tree(bucket: Bucket, source: str, target: str) -> None:
    """Copies all below one prefix to the other, neither of which may begin with the other."""
    async for batch in _batches(_objects(bucket, source)):
        await _copy_each(bucket, batch, source, target)


async def move_tree(bucket: Bucket, source: str, target: str) -> None:
    """As `copy_tree`, each batch deleted once it is copied: a broken move is in two places, and whole."""
    async for batch in _batches(_objects(bucket, source)):
        await _copy_each(bucket, batch, source, target)
        await bucket.delete_all(batch)


async def delete_tree(bucket: Bucket, prefix: str) -> None:
    """Deletes all below the prefix."""
    async for batch in _batches(_objects(bucket, prefix)):
        await bucket.delete_all(batch)


async def purge(bucket: Bucket, key: str, *, below: bool) -> bool:
    """Deletes every version of a key, or of all that begin with it; whether there was any.

    Raises Unsupported where the store knows no versions at all.
    """
    found = False
    async for batch in _batches(_versions(bucket, key, below=below)):
        await bucket.delete_all(batch)
        found = True
    return found


async def _objects(bucket: Bucket, prefix: str) -> AsyncIterator[Version]:
    """Every object whose key begins with the prefix, in the store's order, as its current version."""
    cursor = None
    while True:
        page, cursor = await bucket.list(prefix, cursor=cursor)
        for one in page.objects:
            yield Version(one.key, "")
        if cursor is None:
            return


async def _versions(bucket: Bucket, key: str, *, below: bool) -> AsyncIterator[Version]:
    """Every version of the key, or of all that begin with it."""
    page = await bucket.versions(key)
    while True:
        for one in page.versions:
            if below or one.key == key:
                yield one
            else:  # a key's own versions come before those of longer keys
                return
        if page.key_marker is None:
            return
        page = await bucket.versions(key, page.key_marker, page.id_marker)


async def _batches(found: AsyncIterator[Version]) -> AsyncIterator[list[Version]]:
    """As many as one deletion takes, a folder's marker after all that lies below it.

    SeaweedFS keeps an empty folder for ever that lost its marker before its last file. A sorted listing has
    the marker first, so the markers of the folders that it is in just now wait: one for each level.
    """
    batch: list[Version] = []
    waiting: list[Version] = []
    async for one in found:
        while waiting and not one.key.startswith(waiting[-1].key):
            batch.append(waiting.pop())
        (waiting if one.key.endswith("/") else batch).append(one)
        if len(batch) >= _BATCH:
            yield batch[:_BATCH]
            batch = batch[_BATCH:]
    batch += reversed(waiting)
    for start in range(0, len(batch), _BATCH):
        yield batch[start : start + _BATCH]


async def _copy_each(bucket: Bucket, batch: list[Version], source: str, target: str) -> None:
    async def copy(one: Version) -> None:
        await copy_object(bucket, one.key, target + one.key.removeprefix(source), {})

    await for_each(batch, copy)
