"""Content on its way out of the bucket, and entries as the store describes them."""

import mimetypes
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from connectors.http1 import Response
from connectors.http1.spans import cut
from connectors.interface import (
    BadAnswer,
    BadSpan,
    Content,
    Entry,
    Held,
    Kind,
    PreconditionFailed,
    Span,
)
from connectors.objects import name_of, parent_of
from connectors.s3 import documents
from connectors.s3.bucket import Bucket
from connectors.s3.documents import Found

_UNTOLD_TYPES = frozenset({"binary/octet-stream", "application/octet-stream"})  # what a store says unasked
_OF_THE_OBJECT = re.compile(
    "content-(type|length|encoding|disposition|language)|cache-control|expires|etag|last-modified"
    "|x-amz-(?!request-id$|id-2$).+"
)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")  # RFC 9110, 14.4


async def open_content(bucket: Bucket, raw_id: str, key: str, span: Span | None, etag: str | None) -> Content:
    """The object's bytes, of the version that the answer itself names. Raises as `Connector.read`."""
    fields = {"accept-encoding": "identity"}
    if span is not None:
        fields["range"] = f"bytes={span.first}-{'' if span.last is None else span.last}"
    if etag is not None:
        fields["if-match"] = f'"{etag}"'
    answer = await bucket.request("GET", key, (), fields)
    try:
        entry = described(raw_id, answer)
        if etag is not None and entry.etag != etag:  # not every store heeds If-Match
            raise PreconditionFailed("the file is another version now")
        if span is None:
            return Content(entry, answer.chunks())
        if entry.size is not None and span.first >= entry.size:
            raise BadSpan("the span starts at or after the file's end")
        # by the header, not by the status: `rclone serve s3` answers a span with 200
        if (range_ := _range(answer)) is None:
            return Content(entry, Held(cut(answer, span), answer.aclose))
        if range_[0] != span.first:
            raise BadAnswer("the store answered with another span than was asked for")
        return Content(entry, answer.chunks())
    except BaseException:
        await answer.aclose()
        raise


def described(raw_id: str, answer: Response) -> Entry:
    """The file that an answer to HEAD or GET describes."""
    told = (answer.header(b"content-type") or "").strip()
    name = name_of(raw_id)
    fields = {name.decode(): value.decode("utf-8", "replace") for name, value in answer.headers}
    return Entry(
        raw_id=raw_id,
        name=name,
        kind=Kind.FILE,
        parent=parent_of(raw_id),
        size=_size(answer),
        modified=_date(answer.header(b"last-modified")),
        etag=documents.plain_etag(answer.header(b"etag")),
        mime_type=told if told and told not in _UNTOLD_TYPES else mimetypes.guess_type(name)[0],
        raw={field: value for field, value in fields.items() if _OF_THE_OBJECT.fullmatch(field)},
    )


def listed(raw_id: str, found: Found) -> Entry:
    """The file that a listing describes; its type is a guess by its name."""
    name = name_of(raw_id)
    return Entry(
        raw_id=raw_id,
        name=name,
        kind=Kind.FILE,
        parent=parent_of(raw_id),
        size=found.size,
        modified=found.modified,
        etag=found.etag,
        mime_type=mimetypes.guess_type(name)[0],
        raw=found.raw,
    )


def folder(raw_id: str, prefix: str) -> Entry:
    """A folder: nothing is known of it but that there is one."""
    return Entry(raw_id, name_of(raw_id), Kind.FOLDER, parent_of(raw_id), raw={"Prefix": prefix})


def _range(answer: Response) -> tuple[int, int | None] | None:
    """The first byte of the answer and the size of the whole, or None where the answer is the whole."""
    found = _CONTENT_RANGE.fullmatch(answer.header(b"content-range") or "")
    if found is None:
        return None
    return int(found[1]), None if found[3] == "*" else int(found[3])


def _size(answer: Response) -> int | None:
    if (range_ := _range(answer)) is not None:
        return range_[1]
    length = answer.header(b"content-length") or ""
    return int(length) if length.isascii() and length.isdigit() else None


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
