"""Many keys at once: what copies, moves, deletes or purges an object, or all that lies below a prefix.

S3 has no request for any of these trees. A tree is gone through page by page; a failure or cancellation in
the middle leaves the pages before it done. A move deletes only what it has copied, so nothing is ever lost.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress

from connectors.interface import BadAnswer, Part, StoreError, Unsupported
from connectors.s3 import documents, uploads
from connectors.s3.bucket import Bucket, Fields
from connectors.s3.documents import Found, Version, Versions

LARGEST_COPY = 5 * 1024**3
"""Bytes above which an object is copied in parts (CopyObject, "up to 5 GB in size in a single operation")."""

COPIED_PART = 512 * 1024**2
_AT_ONCE = 8
# what a copy in parts has to be told, since only CopyObject takes it along
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
    kept = {k.decode(): v.decode("latin-1") for k, v in answer.headers}
    await answer.aclose()
    fields = {"x-amz-copy-source": bucket.source(source), "x-amz-copy-source-if-match": etag}
    if size <= LARGEST_COPY:
        await bucket.document("PUT", target, (), {**fields, **condition})
        return
    about = {k: v for k, v in kept.items() if k in _KEPT or k.startswith("x-amz-meta-")}
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
    parts: dict[int, Part] = {}

    async def copy_part(number: int) -> None:
        start = (number - 1) * each
        length = min(each, size - start)
        span = {"x-amz-copy-source-range": f"bytes={start}-{start + length - 1}"}
        query = [("partNumber", str(number)), ("uploadId", upload)]
        answer = await bucket.document("PUT", target, query, {**fields, **span})
        if (tag := documents.plain_etag(answer.text("ETag"))) is None:
            raise BadAnswer("the store gave the part no entity tag")
        parts[number] = Part(number, length, tag)

    await _for_each(range(1, -(-size // each) + 1), copy_part)
    return [parts[number] for number in sorted(parts)]


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


async def pages(bucket: Bucket, prefix: str) -> AsyncIterator[list[Found]]:
    """Every object whose key begins with the prefix, in the store's order."""
    cursor = None
    while True:
        page, cursor = await bucket.list(prefix, cursor=cursor)
        yield page.objects
        if cursor is None:
            return


async def copy_tree(bucket: Bucket, source: str, target: str) -> None:
    """Copies all below one prefix to the other, neither of which may begin with the other."""
    async for page in pages(bucket, source):
        await _copy_page(bucket, page, source, target)


async def move_tree(bucket: Bucket, source: str, target: str) -> None:
    """As `copy_tree`, each page deleted once it is copied: a broken move is in two places, and whole."""
    async for page in pages(bucket, source):
        await _copy_page(bucket, page, source, target)
        await bucket.delete_all([Version(one.key, "") for one in page])


async def delete_tree(bucket: Bucket, prefix: str) -> None:
    """Deletes all below the prefix."""
    async for page in pages(bucket, prefix):
        await bucket.delete_all([Version(one.key, "") for one in page])


async def purge(bucket: Bucket, key: str, *, below: bool) -> bool:
    """Deletes every version of a key, or of all that begin with it; whether there was any.

    Raises Unsupported where the store knows no versions at all.
    """
    found, page = False, await bucket.versions(key)
    while True:
        doomed = list(_of(page, key, below=below))
        found = found or bool(doomed)
        for batch in itertools.batched(doomed, 1000):
            await bucket.delete_all(batch)
        # a key's own versions come first of all that begin with it
        if page.key_marker is None or (not below and len(doomed) < len(page.versions)):
            return found
        page = await bucket.versions(key, page.key_marker, page.id_marker)


def _of(page: Versions, key: str, *, below: bool) -> Iterable[Version]:
    return (one for one in page.versions if below or one.key == key)


async def _copy_page(bucket: Bucket, page: list[Found], source: str, target: str) -> None:
    async def copy(one: Found) -> None:
        await copy_object(bucket, one.key, target + one.key.removeprefix(source), {})

    await _for_each(page, copy)


async def _for_each[T](items: Iterable[T], act: Callable[[T], Awaitable[None]]) -> None:
    """`act` on each, a few at a time. The first error ends the others, and is raised as it is."""
    waiting = iter(items)

    async def one_after_another() -> None:
        for item in waiting:
            await act(item)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(one_after_another())
    except* StoreError as failed:
        raise _first(failed) from None


def _first(failed: BaseExceptionGroup[StoreError]) -> StoreError:
    first = failed.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
