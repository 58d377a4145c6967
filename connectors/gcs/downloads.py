"""Content on its way out of the bucket, as it is stored."""

from connectors.gcs import objects
from connectors.gcs.bucket import Bucket
from connectors.gcs.entries import file
from connectors.interface import BadAnswer, BadSpan, Content, PreconditionFailed, Span


async def open_content(bucket: Bucket, raw_id: str, span: Span | None, etag: str | None) -> Content:
    """The object's bytes, of the generation that its description named. Raises as `Connector.read`."""
    found = await objects.look(bucket, bucket.base + raw_id)
    entry = file(raw_id, found)
    if etag is not None and etag != entry.etag:
        raise PreconditionFailed("the file is another version now")
    if span is not None and entry.size is not None and span.first >= entry.size:
        raise BadSpan("the span starts at or after the file's end")
    # without it an object with Content-Encoding: gzip comes unpacked, of no length that is known, and without
    # regard to the span (https://cloud.google.com/storage/docs/transcoding)
    fields = {"accept-encoding": "gzip"}
    if span is not None:
        fields["range"] = f"bytes={span.first}-{'' if span.last is None else span.last}"
    query = {"alt": "media", "ifGenerationMatch": found.generation}
    answer = await bucket.request("GET", bucket.objects(found.name), query, fields)
    if answer.header(b"x-goog-generation") not in (None, found.generation):  # emulators heed no condition
        await answer.aclose()
        raise PreconditionFailed("the file changed while it was opened")
    if span is not None and answer.status != 206:
        await answer.aclose()
        raise BadAnswer("the store answered with another span than was asked for")
    return Content(entry, answer.chunks())
