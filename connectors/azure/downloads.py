"""Content on its way out of the container, and entries as the store describes them."""

import mimetypes
import re
from collections.abc import Mapping

from connectors.azure import documents
from connectors.azure.container import Container
from connectors.azure.documents import Blob
from connectors.http1 import Response
from connectors.interface import BadAnswer, BadSpan, Content, Entry, Kind, Span
from connectors.objects import name_of, parent_of

_UNTOLD = "application/octet-stream"  # what the store says unasked
_OF_THE_BLOB = re.compile(
    "content-(type|length|encoding|disposition|language|md5)|cache-control|etag|last-modified"
    "|x-ms-(?!request-id$|client-request-id$|version$|copy-source$).+"
)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")  # RFC 9110, 14.4


async def open_content(
    container: Container, raw_id: str, name: str, span: Span | None, etag: str | None
) -> Content:
    """The blob's bytes, of the version that the answer itself names. Raises as `Connector.read`."""
    fields = {}
    if span is not None:
        fields["range"] = f"bytes={span.first}-{'' if span.last is None else span.last}"
    if etag is not None:
        fields["if-match"] = f'"{etag}"'
    answer = await container.request("GET", name, (), fields)
    got = _CONTENT_RANGE.fullmatch(answer.header(b"content-range") or "")
    if span is not None and (got is None or int(got[1]) != span.first or int(got[3]) <= span.first):
        await answer.aclose()
        if got is not None and int(got[3]) <= span.first:  # Azurite refuses only what begins after the end
            raise BadSpan("the span starts at or after the file's end")
        raise BadAnswer("the store answered with another span than was asked for")
    return Content(described(raw_id, answer), answer.chunks())


def described(raw_id: str, answer: Response) -> Entry:
    """The file that an answer to HEAD or GET describes."""
    told = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
    span = _CONTENT_RANGE.fullmatch(told.get("content-range", ""))
    return _file(
        raw_id,
        size=documents.number(span[3] if span else told.get("content-length")),
        modified=told.get("last-modified"),
        created=told.get("x-ms-creation-time"),
        etag=told.get("etag"),
        mime_type=told.get("content-type"),
        raw={field: value for field, value in told.items() if _OF_THE_BLOB.fullmatch(field)},
    )


def listed(raw_id: str, blob: Blob) -> Entry:
    """The file that a listing describes."""
    return _file(
        raw_id,
        size=blob.size,
        modified=blob.about.get("Last-Modified"),
        created=blob.about.get("Creation-Time"),
        etag=blob.about.get("Etag"),
        mime_type=blob.about.get("Content-Type"),
        raw={"Name": blob.name, **blob.about},
    )


def folder(raw_id: str, prefix: str) -> Entry:
    """A folder: nothing is known of it but that there is one."""
    return Entry(raw_id, name_of(raw_id), Kind.FOLDER, parent_of(raw_id), raw={"BlobPrefix": prefix})


def _file(
    raw_id: str,
    *,
    size: int | None,
    modified: str | None,
    created: str | None,
    etag: str | None,
    mime_type: str | None,
    raw: Mapping[str, object],
) -> Entry:
    name = name_of(raw_id)
    told = mime_type if mime_type and mime_type != _UNTOLD else None
    return Entry(
        raw_id=raw_id,
        name=name,
        kind=Kind.FILE,
        parent=parent_of(raw_id),
        size=size,
        modified=documents.date(modified),
        created=documents.date(created),
        etag=documents.plain_etag(etag),
        mime_type=told or mimetypes.guess_type(name)[0],
        raw=raw,
    )
