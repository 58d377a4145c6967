"""Lines of listings as servers write them; those of DOS from documentation, no such server was asked."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ftp import listing
from connectors.interface import Kind


@pytest.mark.parametrize(
    ("line", "kind", "size", "name"),
    [
        ("-rw-r--r--    1 0        0              12 Nov 25 16:01 name", Kind.FILE, 12, "name"),
        ("-rw-r--r--    1 0        0              12 Nov  5  2024  in front", Kind.FILE, 12, " in front"),
        ("-rw-r--r--    1 0        0               0 Nov 25 16:01 behind  ", Kind.FILE, 0, "behind  "),
        ("drwxr-sr-t+   3 ann      Domain Users 4096 Nov 25 16:01 a  b", Kind.FOLDER, 4096, "a  b"),
        ("-rw-rw-r--   1 ann 5000000000 Jan 01 00:00 no group", Kind.FILE, 5_000_000_000, "no group"),
        ("-rw-r--r--   1 12 34 56 25 Nov 16:01 day first", Kind.FILE, 56, "day first"),
        ("-rw-r--r--   1 a b 7 Nov 25 16:01 8 Nov 25 16:01 c", Kind.FILE, 7, "8 Nov 25 16:01 c"),
        ("lrwxrwxrwx   1 0 0 3 Nov 25 16:01 link -> a -> b", None, 3, "link"),
        ("srwxrwxrwx   1 0 0 0 Nov 25 16:01 socket", None, 0, "socket"),
        ("11-25-26  04:01PM                 1234 report.doc", Kind.FILE, 1234, "report.doc"),
        ("11-25-2026  16:01       <DIR>          My  Folder", Kind.FOLDER, None, "My  Folder"),
    ],
)
def test_lines_of_list(line: str, kind: Kind | None, size: int | None, name: str) -> None:
    (found,) = listing.lines([line])
    assert (found.kind, found.size, found.name) == (kind, size, name)
    assert found.modified is None  # LIST's times are no use


@pytest.mark.parametrize("line", ["", "total 12", "-rw-r--r-- 1 0 0 x Nov 25 16:01 name", "226 done", "a b"])
def test_what_is_no_line_of_list(line: str) -> None:
    assert listing.lines([line]) == []


def test_facts() -> None:
    found = listing.facts(
        "Type=file;Size=12;Modify=20261125160102.25;Create=20250101000000;Unique=aU1;UNIX.owner=7;  a;b =c "
    )
    assert found is not None
    assert (found.name, found.kind, found.size, found.version, found.owner) == (
        " a;b =c ",
        Kind.FILE,
        12,
        "aU1",
        "7",
    )
    assert found.modified == datetime(2026, 11, 25, 16, 1, 2, 250_000, UTC)
    assert found.created == datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("type=dir; d", Kind.FOLDER),
        ("type=OS.unix=slink:/etc; link", None),
        ("type=OS.unix=symlink; link", None),
        ("type=file;size=many;modify=20269999999999; odd", Kind.FILE),
    ],
)
def test_kinds_of_facts(line: str, kind: Kind | None) -> None:
    found = listing.facts(line)
    assert found is not None
    assert (found.kind, found.size, found.modified) == (kind, None, None)


@pytest.mark.parametrize("line", ["", "type=cdir; .", "type=pdir; ..", "size=12; name", "type=file;size=12;"])
def test_what_is_not_an_entry_of_a_folder(line: str) -> None:
    assert listing.facts(line) is None


def test_the_folder_that_was_asked_for() -> None:
    found = listing.facts("type=cdir;modify=20261125160102; /a/b", asked_for=True)
    assert found is not None
    assert found.kind is Kind.FOLDER


@given(st.text(st.characters(exclude_characters="\r\n\0"), min_size=1))
def test_any_name_is_kept(name: str) -> None:
    (unix,) = listing.lines([f"-rw-r--r--    1 0        0              12 Nov 25 16:01 {name}"])
    assert unix.name == name
    found = listing.facts(f"type=file;size=1; {name}")
    assert found is not None
    assert found.name == name
