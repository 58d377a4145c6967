"""What a crawl makes of an entry that it sees: is it another version, was it renamed. Pure."""

import hashlib
from datetime import datetime
from typing import Any

from connectors.interface import Entry, Kind
from store.queries.tracked import Row
from store.tables import Tracked, entry_digest, raw_bytes

_ROOT = raw_bytes("")


def digest_of(kind: str, raw_id: str) -> bytes:
    """What an entry is tracked under."""
    return entry_digest(kind, raw_bytes(raw_id))


def row_of(entry: Entry) -> Row:
    """The entry's columns."""
    parent = None if entry.parent is None else raw_bytes(entry.parent)
    return {
        "kind": entry.kind.value,
        "entry": digest_of(entry.kind, entry.raw_id),
        "raw_id": raw_bytes(entry.raw_id),
        "parent": parent,
        "folder": entry_digest(Kind.FOLDER, _ROOT if parent is None else parent),
        "name": raw_bytes(entry.name),
        "size": entry.size,
        "modified": entry.modified,
        "etag": entry.etag,
        "version": version_of(entry),
    }


def entry_of(row: Tracked) -> Entry:
    """The tracked entry as a connector's."""
    return Entry(
        raw_id=_text(row.raw_id),
        name=_text(row.name),
        kind=Kind(row.kind),
        parent=None if row.parent is None else _text(row.parent),
        size=row.size,
        modified=row.modified,
        etag=row.etag,
    )


def version_of(entry: Entry) -> bytes | None:
    """By what a file that turns up elsewhere is known again; None where that would be a guess.

    An empty file is like any other, and without a time of change so are files of one size.
    """
    if entry.kind is Kind.FOLDER or not entry.size or entry.modified is None:
        return None
    return hashlib.sha256(f"{entry.size} {entry.modified.isoformat()} {entry.etag}".encode()).digest()


def differs(before: Entry, after: Entry) -> bool:
    """Whether it is to be told that an entry of this raw id is another now: its place, or its bytes."""
    return (before.name, before.parent) != (after.name, after.parent) or other_bytes(before, after)


def other_bytes(before: Entry, after: Entry) -> bool:
    """Whether a file's bytes are others. Folders have none: their times tell what is in them.

    By the store's own version where both have one. Else by size and, in whole seconds, the time of change:
    what one of them lacks says nothing, since an upload's answer may know less than a listing.
    """
    if after.kind is Kind.FOLDER:
        return False
    if before.etag is not None and after.etag is not None:
        return before.etag != after.etag
    return _other(before.size, after.size) or _other(_second(before.modified), _second(after.modified))


def knows_more(before: Entry, after: Entry) -> bool:
    """Whether it is the same version, of which the listing knows something that we did not keep yet."""
    told = ((before.etag, after.etag), (before.size, after.size), (before.modified, after.modified))
    return after.kind is Kind.FILE and any(was != now and now is not None for was, now in told)


def types_of(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What happened between two views of one entry, in the API's words: at least one of them."""
    types = []
    if before["parent"] != after["parent"]:
        types.append("move")
    elif before["name"] != after["name"]:
        types.append("rename")
    facts = ("etag",) if before["etag"] and after["etag"] else ("size", "modified")
    if not types or (after["type"] == "file" and any(_other(before[f], after[f]) for f in facts)):
        types.append("update")
    return types


def _other(before: object, after: object) -> bool:
    return before is not None and after is not None and before != after


def _second(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(microsecond=0)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
