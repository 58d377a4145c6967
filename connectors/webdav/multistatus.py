"""Reads multistatus answers (RFC 4918, 13)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from connectors.interface import BadAnswer

PROPERTIES = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/>'
    b"<getlastmodified/><creationdate/><getetag/><getcontenttype/></prop></propfind>"
)
QUOTA = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/>'
    b"<quota-available-bytes/><quota-used-bytes/></prop></propfind>"
)
_DAV = "{DAV:}"
_STATUS = re.compile(r"\s*HTTP/\d\S* \d{3}\b")
_FAILED_DEPENDENCY = 424


@dataclass(frozen=True, slots=True)
class Resource:
    """What a server says of one resource.

    Attributes:
        parts: its whole path on the server, decoded.
        available, used: bytes (RFC 4331, 3 and 4); None where it was not asked or does not say.
        others: text of every property outside of DAV's own namespace, by `{namespace}name`.
    """

    parts: tuple[str, ...]
    is_folder: bool
    size: int | None
    modified: datetime | None
    created: datetime | None
    etag: str | None
    mime_type: str | None
    available: int | None = None
    used: int | None = None
    others: Mapping[str, str] = field(default_factory=dict)


def parse(answer: bytes) -> list[Resource]:
    """The resources of a multistatus body, those without properties left out. Raises BadAnswer."""
    return list(_resources(_multistatus(answer)))


def failure(answer: bytes) -> int | None:
    """The status of what failed first, of a resource or a property; None when all went well.

    What failed only because something else did (424) is told only when nothing else is. Raises BadAnswer.
    """
    texts = [element.text or "" for element in _multistatus(answer).iter(_DAV + "status")]
    codes = [int(text.split()[1]) for text in texts if _STATUS.match(text)]
    failed = [code for code in codes if code >= 300]
    return next((code for code in failed if code != _FAILED_DEPENDENCY), failed[0] if failed else None)


def _multistatus(answer: bytes) -> Element:
    try:
        root = ElementTree.fromstring(answer, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise BadAnswer("the store's answer is not the XML that WebDAV wants") from error
    if root.tag != _DAV + "multistatus":
        raise BadAnswer("the store's answer is not a WebDAV listing")
    return root


def _resources(root: Element) -> Iterator[Resource]:
    for response in root.iterfind(_DAV + "response"):
        href = response.findtext(_DAV + "href")
        found = {child.tag: child for prop in _good(response) for child in prop}
        if not href or not found:
            continue
        kind = found.get(_DAV + "resourcetype")
        is_folder = kind is not None and kind.find(_DAV + "collection") is not None
        yield Resource(
            parts=decoded(href),
            is_folder=is_folder,
            size=None if is_folder else _number(_text(found, "getcontentlength")),
            modified=_date(_text(found, "getlastmodified")),
            created=_iso(_text(found, "creationdate")),
            etag=plain_etag(_text(found, "getetag")),
            mime_type=_text(found, "getcontenttype"),
            available=_number(_text(found, "quota-available-bytes")),
            used=_number(_text(found, "quota-used-bytes")),
            others={tag: "".join(e.itertext()) for tag, e in found.items() if not tag.startswith(_DAV)},
        )


def _good(response: Element) -> Iterator[Element]:
    for propstat in response.iterfind(_DAV + "propstat"):
        status = (propstat.findtext(_DAV + "status") or "").split()
        prop = propstat.find(_DAV + "prop")
        if prop is not None and (len(status) < 2 or status[1].startswith("2")):
            yield prop


def decoded(href: str) -> tuple[str, ...]:
    """The parts of an href's path (a URL or a path), percent-decoded, without empty ones."""
    path = urlsplit(href.strip()).path
    return tuple(unquote(part, errors="surrogateescape") for part in path.split("/") if part)


def plain_etag(text: str | None) -> str | None:
    """An entity tag without its quotes and its mark of weakness: servers say W/ for a second, then not."""
    if not text:
        return None
    return text.removeprefix("W/").strip('"') or None


def _text(found: dict[str, Element], name: str) -> str | None:
    element = found.get(_DAV + name)
    return None if element is None or element.text is None else element.text.strip() or None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _iso(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
