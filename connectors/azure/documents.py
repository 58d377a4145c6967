"""The XML that the blob service speaks, both ways.

Microsoft's pages "List Blobs", "Put Block List", "Get Blob Tags" and "Set Blob Tags". What is read is never
trusted: no entities, no document type.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from connectors.interface import BadAnswer

_HEAD = '<?xml version="1.0" encoding="utf-8"?>'


@dataclass(frozen=True, slots=True)
class Blob:
    """What a listing says of one blob, or of one of its versions. `about` is the store's own description."""

    name: str
    about: Mapping[str, str]
    version: str = ""

    @property
    def size(self) -> int | None:
        """Bytes."""
        return number(self.about.get("Content-Length"))


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of blobs, and of the prefixes that stand for folders; where the next begins, None at the end."""

    blobs: list[Blob]
    prefixes: list[str]
    marker: str | None


def listing(answer: bytes) -> Listing:
    """A page. Raises BadAnswer."""
    root = _parsed(answer, "EnumerationResults")
    return Listing(
        blobs=[_blob(element) for element in root.iterfind("Blobs/Blob")],
        prefixes=[_name(element) for element in root.iterfind("Blobs/BlobPrefix")],
        marker=root.findtext("NextMarker") or None,
    )


def block_list(ids: Iterable[str]) -> bytes:
    """The blocks that make the blob; the newest of each id is meant."""
    blocks = "".join(f"<Latest>{escape(one)}</Latest>" for one in ids)
    return f"{_HEAD}<BlockList>{blocks}</BlockList>".encode()


def tags(answer: bytes) -> dict[str, str]:
    """A blob's index tags. Raises BadAnswer."""
    found = _parsed(answer, "Tags").iterfind("TagSet/Tag")
    return {tag.findtext("Key") or "": tag.findtext("Value") or "" for tag in found}


def tag_set(given: Mapping[str, str]) -> bytes:
    """The body of Set Blob Tags."""
    inner = "".join(
        f"<Tag><Key>{escape(name)}</Key><Value>{escape(value)}</Value></Tag>" for name, value in given.items()
    )
    return f"{_HEAD}<Tags><TagSet>{inner}</TagSet></Tags>".encode()


def error_code(answer: bytes) -> str:
    """The code of a refusal's body; empty where it has none."""
    try:
        return _parsed(answer, "Error").findtext("Code") or ""
    except BadAnswer:
        return ""


def number(text: str | None) -> int | None:
    """A whole number, or None for anything else."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def date(text: str | None) -> datetime | None:
    """An HTTP date as UTC, or None for anything else."""
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def plain_etag(text: str | None) -> str | None:
    """An entity tag as listings have it: without quotes."""
    return (text or "").strip('"') or None


def _blob(element: Element) -> Blob:
    about = {child.tag: child.text for child in element.iterfind("Properties/*") if child.text}
    return Blob(_name(element), about, element.findtext("VersionId") or "")


def _name(element: Element) -> str:
    name = element.find("Name")
    if name is None or not name.text:
        raise BadAnswer("the store listed something without a name")
    # names that XML can't hold come percent-encoded from version 2021-02-12 on
    return unquote(name.text) if name.get("Encoded") == "true" else name.text


def _parsed(answer: bytes, root: str) -> Element:
    try:
        found = ElementTree.fromstring(answer.removeprefix(b"\xef\xbb\xbf"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise BadAnswer("the store's answer is not the XML that it should be") from error
    if found.tag != root:
        raise BadAnswer("the store's answer is not the document that was asked for")
    return found
