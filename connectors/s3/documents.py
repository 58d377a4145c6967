"""The XML of S3's answers and requests (its API reference)."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from connectors.interface import BadAnswer, Part

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


class Document:
    """An element of an answer. Stores differ in namespaces: only local names count."""

    def __init__(self, element: Element) -> None:
        self._element = element

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """The answer's root. Raises BadAnswer."""
        try:
            return cls(ElementTree.fromstring(body, forbid_dtd=True))
        except (ParseError, DefusedXmlException, ValueError) as error:
            raise BadAnswer("the store's answer is not the XML that S3 wants") from error

    @property
    def name(self) -> str:
        """The local name."""
        return self._element.tag.rpartition("}")[2]

    def all(self, name: str) -> "Iterator[Document]":
        """The children of that name."""
        return (child for child in self.children() if child.name == name)

    def children(self) -> "Iterator[Document]":
        """Every child."""
        return (Document(child) for child in self._element)

    def first(self, name: str) -> "Document | None":
        """The first child of that name."""
        return next(self.all(name), None)

    def text(self, name: str) -> str:
        """The text of the first child of that name; empty where there is none."""
        child = self.first(name)
        return "" if child is None else child.content()

    def content(self) -> str:
        """Its own text."""
        return self._element.text or ""

    def value(self) -> object:
        """As JSON has it: a text, or an object of its children, the last of each name."""
        return {child.name: child.value() for child in self.children()} or self.content()


@dataclass(frozen=True, slots=True)
class Found:
    """An object in a listing; `raw` is all that the store says of it."""

    key: str
    size: int | None
    etag: str | None
    modified: datetime | None
    raw: dict[str, object]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of ListObjectsV2. `token` is the store's own for the next page; None on the last."""

    objects: list[Found]
    prefixes: list[str]
    token: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or one mark that it was deleted; without an id the current one."""

    key: str
    id: str


@dataclass(frozen=True, slots=True)
class Versions:
    """A page of ListObjectVersions; `key_marker` and `id_marker` begin the next, None on the last."""

    versions: list[Version]
    key_marker: str | None
    id_marker: str


def listing(answer: Document) -> Listing:
    """A ListBucketResult. Raises BadAnswer."""
    if answer.name != "ListBucketResult":
        raise BadAnswer("the store's answer is not an S3 listing: is the endpoint right?")
    decoded = _decoder(answer)
    objects = [
        Found(
            key=decoded(one.text("Key")),
            size=_number(one.text("Size")),
            etag=plain_etag(one.text("ETag")),
            modified=_time(one.text("LastModified")),
            raw={child.name: child.value() for child in one.children()},
        )
        for one in answer.all("Contents")
    ]
    prefixes = [decoded(one.text("Prefix")) for one in answer.all("CommonPrefixes")]
    more = answer.text("IsTruncated") == "true"
    return Listing(objects, prefixes, answer.text("NextContinuationToken") if more else None)


def versions(answer: Document) -> Versions:
    """A ListVersionsResult. Raises BadAnswer."""
    if answer.name != "ListVersionsResult":
        raise BadAnswer("the store's answer is not a listing of versions")
    decoded = _decoder(answer)
    found = [
        Version(decoded(one.text("Key")), one.text("VersionId"))
        for one in answer.children()
        if one.name in ("Version", "DeleteMarker")
    ]
    more = answer.text("IsTruncated") == "true"
    key_marker = decoded(answer.text("NextKeyMarker")) if more else None
    return Versions(found, key_marker, answer.text("NextVersionIdMarker"))


def tags(answer: Document) -> dict[str, str]:
    """The tags of a Tagging document."""
    tag_set = answer.first("TagSet")
    return {} if tag_set is None else {tag.text("Key"): tag.text("Value") for tag in tag_set.all("Tag")}


def tagging(pairs: Iterable[tuple[str, str]]) -> bytes:
    """The body of PutObjectTagging."""
    inside = "".join(f"<Tag>{_element('Key', k)}{_element('Value', v)}</Tag>" for k, v in pairs)
    return _body("Tagging", f"<TagSet>{inside}</TagSet>")


def deletion(doomed: Iterable[Version]) -> bytes:
    """The body of DeleteObjects."""
    inside = "".join(
        f"<Object>{_element('Key', one.key)}{_element('VersionId', one.id) if one.id else ''}</Object>"
        for one in doomed
    )
    return _body("Delete", inside + "<Quiet>true</Quiet>")


def completion(parts: Iterable[Part]) -> bytes:
    """The body of CompleteMultipartUpload."""
    inside = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber>{_element('ETag', part.tag)}</Part>" for part in parts
    )
    return _body("CompleteMultipartUpload", inside)


def writable(text: str) -> bool:
    """Whether XML can hold the text at all."""
    return _NOT_XML.search(text) is None


def md5(body: bytes) -> str:
    """A body's Content-MD5, which S3 wants where a damaged one would do harm."""
    return b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def plain_etag(text: str | None) -> str | None:
    """An entity tag without its quotes."""
    return (text or "").removeprefix("W/").strip('"') or None


def _decoder(answer: Document) -> Callable[[str], str]:
    """How keys are written: asked for with encoding-type=url a space is `+` and a plus `%2B`."""
    return unquote_plus if answer.text("EncodingType") == "url" else str


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text, {chr(13): '&#13;'})}</{name}>"  # a bare CR would be read as LF


def _body(name: str, inside: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><{name} xmlns="{_NAMESPACE}">{inside}</{name}>'.encode()


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _time(text: str) -> datetime | None:
    """In whole seconds, as Last-Modified has it: an entry is the same listed and asked for."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    aware = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return aware.replace(microsecond=0)
