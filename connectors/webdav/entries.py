"""Entries as WebDAV has them: from a path to a request's target, from a resource to an entry."""

import mimetypes
from urllib.parse import quote

from connectors.interface import Entry, InvalidName, Kind
from connectors.interface.paths import Parts, check_name, parent_of, split
from connectors.webdav.multistatus import Resource


def path_of(parts: Parts, *, folder: bool = False) -> str:
    """The path under the account's URL, percent-encoded; a folder's ends with a slash."""
    path = "/".join(quote(part, safe="", errors="surrogateescape") for part in parts)
    return path + "/" if folder and path else path


def path_of_entry(entry: Entry) -> str:
    """The same of an entry."""
    return path_of(split(entry.raw_id), folder=entry.kind is Kind.FOLDER)


def usable(name: str) -> bool:
    """Whether a name that a server told may be an id of ours: it leads nowhere, and is not hidden."""
    try:
        check_name(name)
    except InvalidName:
        return False
    return True


def name_of(resource: Resource) -> str:
    """The resource's name."""
    return resource.parts[-1]


def entry_of(parts: Parts, found: Resource) -> Entry:
    """The entry at the path. A server without entity tags has size and time as its version."""
    is_folder = found.is_folder or not parts
    name = parts[-1] if parts else ""
    etag = found.etag
    if etag is None and found.modified is not None:
        etag = f"{found.size or 0:x}-{int(found.modified.timestamp()):x}"
    return Entry(
        raw_id="/".join(parts),
        name=name,
        kind=Kind.FOLDER if is_folder else Kind.FILE,
        parent=parent_of(parts),
        size=found.size,
        modified=found.modified,
        created=found.created,
        etag=None if is_folder else etag,
        mime_type=None if is_folder else found.mime_type or mimetypes.guess_type(name)[0],
    )
