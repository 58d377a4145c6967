"""How ids, parts and properties are written for S3, without a store."""

import re
from collections.abc import AsyncIterator

import pytest

from connectors.interface import (
    InvalidName,
    Kind,
    NotFound,
)
from connectors.objects import Source, parent_of
from connectors.s3 import S3Connector, properties, uploads
from connectors.s3.keys import NAMING
from tests.connectors.s3.scripted import scripted

# ids


def test_ids_of_folders_end_with_a_slash() -> None:
    assert (
        S3Connector.normal_id("/docs/", Kind.FOLDER) == "docs/" == S3Connector.normal_id("docs", Kind.FOLDER)
    )
    assert S3Connector.normal_id("/docs/a/", Kind.FILE) == "docs/a"
    assert S3Connector.normal_id("/", Kind.FOLDER) == ""
    assert [parent_of(one) for one in ("", "a", "a/", "a/b", "a/b/")] == [None, "", "", "a/", "a/"]


@pytest.mark.parametrize("raw_id", ["/", "a//b", "a//", "../b", "a/./b", "a/..", "\0", "a/\ud800"])
def test_ids_that_no_entry_has(raw_id: str) -> None:
    assert not NAMING.nameable(raw_id)
    with pytest.raises(NotFound):
        NAMING.check_id(raw_id)


async def test_an_id_that_no_entry_has_reaches_no_key() -> None:
    """Not even by what looks for older versions, or by a name that is none."""
    async with scripted() as (connector, heads):
        for raw_id in ("", "/", "a//", "../"):
            with pytest.raises(NotFound):
                await connector.purge(raw_id, recursive=True)
            with pytest.raises(NotFound):
                await connector.delete(raw_id, recursive=True)
        for name in ("", "..", "a/b"):
            with pytest.raises(NotFound):
                await connector.child("docs/", name)
        assert heads == []


# parts


def test_parts_hold_the_largest_files() -> None:
    assert uploads.part_size(None) == uploads.UNKNOWN_PART
    assert uploads.part_size(1) == 8 * 1024**2
    for size in (10**11, 5 * 1024**4, 5 * 1024**4 + 1):
        assert uploads.part_size(size) * 10_000 >= size
        assert uploads.part_size(size) % 1024**2 == 0
    grown = [uploads.growing_part(number) for number in range(1, 10_001)]
    assert grown[:1000] == [8 * 1024**2] * 1000
    assert grown == sorted(grown)
    assert sum(grown) > 3.8 * 1024**4


async def test_a_source_is_taken_in_portions() -> None:
    async def source() -> AsyncIterator[bytes]:
        for piece in (b"abc", b"", b"defgh", b"i"):
            yield piece

    taken = Source(source())
    assert b"".join([piece async for piece in taken.take(4)]) == b"abcd"
    assert await taken.fill(3) == [b"efg"]
    assert not taken.ended
    assert b"".join(await taken.fill(99)) == b"hi"
    assert taken.ended


def test_a_ticket_is_short_ascii_whatever_the_key() -> None:
    for raw_id in ("\x01" * 1023, "ü" * 511, "🦊" * 255):
        ticket = uploads.Ticket("u" * 400, raw_id, replace=True)
        assert len(ticket.written()) <= 4096
        assert ticket.written().isascii()
        assert uploads.Ticket.read(ticket.written()) == ticket
    with pytest.raises(NotFound):
        uploads.Ticket.read("bm9uZSBvZiBvdXJz")


# properties


@pytest.mark.parametrize(
    "text", ["red & white", " spaces ", "   ", "a=b=26", "Grüße, 世界 🦊", "", "=3D", "50%\n"]
)
def test_properties_hold_any_text(text: str) -> None:
    tags = properties.to_tags({f"k{text}": text})
    assert properties.from_tags(tags) == {f"k{text}": text}
    for part in (*tags, *tags.values()):
        assert re.fullmatch(r"[\w +\-=.:/@]*", part)
        assert part == part.strip()


@pytest.mark.parametrize(
    "given", [{"": "x"}, {"aws:x": "y"}, {"k" * 129: ""}, {"k": "&" * 86}, dict.fromkeys("abcdefghijk", "")]
)
def test_properties_that_tags_can_not_hold(given: dict[str, str]) -> None:
    with pytest.raises(InvalidName):
        properties.to_tags(given)
