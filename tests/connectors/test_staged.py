"""Uploads in parts by offset: what local and SFTP share, without any I/O."""

import base64
from collections.abc import AsyncIterator

import pytest

from connectors.conformance.kit import pieces
from connectors.interface import InvalidName, NotFound, Part, PreconditionFailed
from connectors.interface.staged import Staged, exactly


def test_a_state_is_read_by_another_process() -> None:
    begun = Staged.begin("Grüße/世界", "caf\udce9.txt", replace=True)
    assert Staged.of(begun.upload().state) == begun


@pytest.mark.parametrize(
    "state",
    [
        "",
        "nonsense",
        base64.b85encode(b"[1]").decode(),
        base64.b85encode(b'{"parent":""}').decode(),
        *(
            Staged(parent, "name", temporary, replace=False).upload().state
            for parent, temporary in (
                ("../out", ".isthmus-1"),
                ("", "name"),
                ("", ".isthmus-1/../../out"),
                ("", "/etc/passwd"),
            )
        ),
    ],
)
def test_a_state_that_is_none_leads_nowhere(state: str) -> None:
    with pytest.raises(NotFound):
        Staged.of(state)


def test_a_path_too_long_for_a_state_is_refused() -> None:
    with pytest.raises(InvalidName, match="too long"):
        Staged.begin("a/" * 2000 + "b", "name", replace=False).upload()


def test_parts_have_their_places() -> None:
    begun = Staged("", "name", ".isthmus-1", replace=False, part_size=10)
    assert [begun.offset(1, 10), begun.offset(2, 10), begun.offset(7, 0)] == [0, 10, 60]
    for number, size in ((0, 10), (-1, 10), (1, 11), (1, -1)):
        with pytest.raises(PreconditionFailed):
            begun.offset(number, size)


@pytest.mark.parametrize(
    ("sizes", "length"),
    [
        ({}, 0),
        ({1: 0}, 0),
        ({1: 7}, 7),
        ({1: 10, 2: 10, 3: 1}, 21),
        ({1: 10, 3: 10}, None),
        ({2: 10}, None),
        ({1: 9, 2: 10}, None),
    ],
)
def test_parts_make_a_whole_or_none(sizes: dict[int, int], length: int | None) -> None:
    begun = Staged("", "name", ".isthmus-1", replace=False, part_size=10)
    parts = [Part(number, size, str(size)) for number, size in sizes.items()]
    if length is None:
        with pytest.raises(PreconditionFailed, match="part"):
            begun.length(parts)
    else:
        assert begun.length(parts) == length


@pytest.mark.parametrize("size", [9, 11])
async def test_a_part_of_another_size_than_it_says(size: int) -> None:
    passed: list[bytes] = []

    async def take(chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            passed.append(chunk)

    with pytest.raises(PreconditionFailed, match=str(size)):
        await take(exactly(pieces(b"0123456789"), size))
    assert sum(map(len, passed)) <= 10 if size == 11 else passed == []
