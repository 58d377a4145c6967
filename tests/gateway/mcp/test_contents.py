"""Text that is cut anywhere, and what is no text."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.mcp.contents import text_of

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)


@given(TEXT, st.integers(4, 9))
def test_pieces_make_the_text_again(text: str, length: int) -> None:
    data, offset, found = text.encode(), 0, ""
    while offset < len(data):
        piece = data[offset : offset + length]
        decoded = text_of(piece, begins=offset == 0, ends=offset + len(piece) == len(data))
        assert decoded is not None
        before, some, taken = decoded
        assert before == 0
        assert taken > 0
        found += some
        offset += taken
    assert found == text


@given(TEXT, st.data())
def test_a_piece_from_the_middle_is_a_part_of_the_text(text: str, data: st.DataObject) -> None:
    whole = text.encode()
    first = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(first, len(whole)))
    decoded = text_of(whole[first:end], begins=first == 0, ends=end == len(whole))
    assert decoded is not None
    before, some, taken = decoded
    assert whole[first + before : first + before + taken].decode() == some
    assert len(whole[first:end]) - taken - before <= 3


def test_what_is_no_text() -> None:
    for data in (b"\xff\xfe\x00", b"a\0b", b"\x80\x80\x80\x80", b"\x89PNG\r\n", "ä".encode("latin-1")):
        assert text_of(data, begins=True, ends=True) is None
    assert text_of("ä".encode()[:1], begins=True, ends=True) is None
    assert text_of("ä".encode()[:1], begins=True, ends=False) == (0, "", 0)
