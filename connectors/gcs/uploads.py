"""Content on its way into the bucket: resumable sessions.

https://cloud.google.com/storage/docs/performing-resumable-uploads: the session's address, which the store
makes up, stands for the account's authorisation. The object's name is untouched until the session has the
last byte; one that is not finished leaves nothing, and is cancelled here as soon as it fails.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from connectors.gcs.bucket import LARGEST_ANSWER, Bucket, parsed
from connectors.gcs.entries import Object
from connectors.gcs.errors import refusal
from connectors.http1 import Response
from connectors.http1.connection import Body
from connectors.interface import CHUNK, BadAnswer, StoreError, Throttled, Unavailable

PIECE = 8 * 1024 * 1024
"""Bytes of a request where the length is unknown, kept in memory: a multiple of 256 KiB, as it has to be."""

_ATTEMPTS = 4
_FIRST_PAUSE = 0.3
_LONGEST_PAUSE = 10.0
_CANCEL_WITHIN = 10.0
_RESUME = 308  # here: go on, "Resume Incomplete"
_GONE = (404, 410)
_KEPT = re.compile(r"bytes=0-(\d{1,19})")


async def store(
    bucket: Bucket,
    name: str,
    chunks: AsyncIterator[bytes],
    *,
    size: int | None,
    mime_type: str,
    match: str | None,
) -> Object:
    """The new object, after its last byte is stored. An error of `chunks` is passed on as it is.

    Args:
        bucket: where it goes.
        name: the whole name.
        chunks: the bytes.
        size: when known they are streamed as one request, else sent in pieces that are kept until the store
            has them.
        mime_type: the object's.
        match: the generation that it may replace, `NO_OBJECT` for none; None for whatever there is.

    Raises:
        PreconditionFailed: not that generation, at the beginning or at the end.
    """
    session = await bucket.leavers.made(_begin(bucket, name, mime_type, match), _Session.cancel)
    try:
        if size is None:
            return await _in_pieces(session, chunks)
        return await _whole(session, chunks, size)
    except BaseException:
        await asyncio.shield(asyncio.ensure_future(session.cancel()))  # although its caller was cancelled
        raise


class _Gone(Unavailable):
    """The session is over: nothing that is sent to it again would be kept."""


@dataclass(frozen=True, slots=True)
class _Session:
    bucket: Bucket
    target: str

    async def put(
        self, span: str, total: int | None, body: Body = None, length: int | None = None
    ) -> Object | int:
        """The finished object, or how many bytes the store has so far."""
        fields = {"content-range": f"bytes {span}/{'*' if total is None else total}"}
        answer = await self.bucket.send("PUT", self.target, fields, body, length)
        if answer.status in (200, 201):
            return Object.of(await parsed(answer))
        if answer.status == _RESUME:
            return await _kept(answer)
        if answer.status in _GONE:
            await answer.aclose()
            raise _Gone("the store gave up the upload's session")
        raise await refusal(answer)

    async def state(self, total: int | None) -> Object | int:
        """As `put`, without sending anything: after an answer that was lost."""
        return await self.put("*", total, b"")

    async def cancel(self) -> None:
        """Drops what the store has of it; the answer is a status of 499, or one that it is gone."""
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_CANCEL_WITHIN):
                await (await self.bucket.send("DELETE", self.target, {"content-length": "0"})).aclose()


async def _begin(bucket: Bucket, name: str, mime_type: str, match: str | None) -> _Session:
    query = {"uploadType": "resumable", "name": name}
    if match is not None:
        query["ifGenerationMatch"] = match
    path, fields = "/upload" + bucket.objects(), {"content-type": "application/json"}
    body = json.dumps({"contentType": mime_type}).encode()
    answer = await bucket.request("POST", path, query, fields, body=body)
    location = urlsplit(answer.header(b"location") or "")
    await answer.read(LARGEST_ANSWER)
    if not location.path.startswith("/"):
        raise BadAnswer("the store began an upload, but does not say where")
    # on the endpoint that the account names, whichever host the store thinks it has
    return _Session(bucket, location.path + (f"?{location.query}" if location.query else ""))


async def _whole(session: _Session, chunks: AsyncIterator[bytes], size: int) -> Object:
    """One request of a known length: nothing is kept, so nothing can be sent again."""
    if size == 0:
        async for _ in _exactly(chunks, 0):  # before the request, which would finish an empty object
            pass
    span = f"0-{size - 1}" if size else "*"
    try:
        done = await session.put(span, size, _exactly(chunks, size), size)
    except Unavailable as error:
        done = await _after(session, size, error)
    if isinstance(done, Object):
        return done
    raise Unavailable("the store kept only the beginning of the content")


async def _in_pieces(session: _Session, chunks: AsyncIterator[bytes]) -> Object:
    """A request for each piece; what the store did not keep of one is sent with the next."""
    pending, sent = bytearray(), 0
    async for chunk in chunks:
        pending += chunk
        while len(pending) > PIECE:  # the last byte waits for the end, which says the total
            sent = await _put_piece(session, pending, sent, PIECE)
    while True:
        done = await _put(session, pending, sent, len(pending), sent + len(pending))
        if isinstance(done, Object):
            return done
        sent = _drop(pending, sent, done)


async def _put_piece(session: _Session, pending: bytearray, sent: int, size: int) -> int:
    done = await _put(session, pending, sent, size, None)
    if isinstance(done, Object):
        raise BadAnswer("the store ended an upload before its end")
    return _drop(pending, sent, done)


def _drop(pending: bytearray, sent: int, kept: int) -> int:
    """Forgets what the store has; where the rest begins."""
    if not sent <= kept <= sent + len(pending):
        raise BadAnswer("the store has other bytes of the upload than were sent")
    del pending[: kept - sent]
    return kept


async def _put(
    session: _Session, pending: bytearray, first: int, size: int, total: int | None
) -> Object | int:
    """The object, or how many bytes the store has: more than before. Broken requests are resumed."""
    pause = _FIRST_PAUSE
    span = f"{first}-{first + size - 1}" if size else "*"
    failure: StoreError = Unavailable("the store keeps nothing of the upload")
    for attempt in range(_ATTEMPTS):
        try:
            # after a failure the store may have all of it, a part or none
            done = await session.state(total) if attempt else first
            if done == first:
                done = await session.put(span, total, _slices(pending, size), size)
            if isinstance(done, Object) or done > first:
                return done
        except _Gone:
            raise
        except (Unavailable, Throttled) as error:
            failure = error
        if attempt == _ATTEMPTS - 1 or (failure.retry_after or 0) > _LONGEST_PAUSE:
            break
        await asyncio.sleep(failure.retry_after or pause)
        pause *= 2
    raise failure


async def _after(session: _Session, size: int, failure: Unavailable) -> Object | int:
    """What became of an upload whose answer was lost. Raises the failure when it was not finished."""
    with suppress(StoreError):
        if isinstance(done := await session.state(size), Object):
            return done
    raise failure


async def _kept(answer: Response) -> int:
    """How many bytes the store says that it has; no Range header means none."""
    await answer.read(LARGEST_ANSWER)
    told = answer.header(b"range")
    if told is None:
        return 0
    if (found := _KEPT.fullmatch(told)) is None:
        raise BadAnswer("the store does not say which bytes of the upload it has")
    return int(found[1]) + 1


async def _slices(pending: bytearray, size: int) -> AsyncGenerator[bytes]:
    for start in range(0, size, CHUNK):
        yield bytes(pending[start : min(start + CHUNK, size)])


async def _exactly(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes]:
    """The chunks, the last one held back until they are known to have that length.

    The store finishes the object with byte number `size`, whatever else would have followed it.
    """
    last, seen = b"", 0
    async for chunk in chunks:
        seen += len(chunk)
        if seen > size:
            raise Unavailable("the content is longer than was declared")
        if last:
            yield last
        last = chunk
    if last:
        yield last
