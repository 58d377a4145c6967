"""Archives that other tools made, or broke; and ours in their hands."""

import shutil
import sqlite3
import subprocess
import zlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from connectors.conformance.kit import names, put, whole
from connectors.interface import BadAnswer, Kind, NotFound, Span, StoreError, Unavailable
from isthmus_sqlar import SqlarConnector
from isthmus_sqlar.rows import SCHEMA

type Opened = Callable[..., AbstractAsyncContextManager[Any]]
TOOL = shutil.which("sqlite3")
with_the_tool = pytest.mark.skipif(TOOL is None, reason="SQLite's own tool, sqlite3, is not installed")


def made(path: Path, *rows: tuple[Any, ...]) -> None:
    """An archive with these rows: name, mode, size, data."""
    with sqlite3.connect(path) as db:
        db.execute(SCHEMA)
        db.executemany("INSERT INTO sqlar(name, mode, mtime, sz, data) VALUES (?, ?, 1700000000, ?, ?)", rows)
    db.close()


def tool(*words: str | Path, folder: Path) -> str:
    assert TOOL is not None
    done = subprocess.run([TOOL, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@with_the_tool
async def test_an_archive_of_sqlites_own_tool_is_read(archive: Path, tmp_path: Path, opened: Opened) -> None:
    words = "".join(f"line {number}\n" for number in range(50_000)).encode()
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "deep" / "words.txt").write_bytes(words)
    (tmp_path / "docs" / "empty").write_bytes(b"")
    (tmp_path / "docs" / "link").symlink_to("empty")
    tool(archive, "-Ac", "docs", folder=tmp_path)
    async with opened() as account:
        assert await names(account, "docs") == ["deep", "empty"]
        entry = await account.stat("docs/deep/words.txt")
        assert (entry.size, entry.mime_type) == (len(words), "text/plain")
        assert await whole(account, entry.raw_id) == words
        assert await whole(account, entry.raw_id, Span(400_000, 400_099)) == words[400_000:400_100]
        assert await whole(account, "docs/empty") == b""
        with pytest.raises(NotFound):
            await account.stat("docs/link")


@with_the_tool
async def test_sqlites_own_tool_takes_what_was_written(archive: Path, tmp_path: Path, opened: Opened) -> None:
    content = bytes(range(256)) * 5000
    async with opened(create=True) as account:
        await account.mkdir("", "docs")
        await put(account, "docs", "file", content)
        await put(account, "docs", "empty", b"")
        await account.set_properties("docs/file", {"colour": "blue"})
        await account.move("docs/file", "docs", "moved")
    assert tool(archive, "-At", folder=tmp_path).split() == ["docs", "docs/empty", "docs/moved"]
    tool(archive, "-Ax", folder=tmp_path)
    assert (tmp_path / "docs" / "moved").read_bytes() == content
    assert (tmp_path / "docs" / "empty").read_bytes() == b""


@with_the_tool
async def test_a_file_that_the_tool_replaced_is_another_version(
    archive: Path, tmp_path: Path, account: SqlarConnector
) -> None:
    former = await put(account, "", "file", b"former")
    (tmp_path / "file").write_bytes(b"latter")
    tool(archive, "-Ai", "file", folder=tmp_path)
    assert (await account.stat("file")).etag != former.etag
    assert await whole(account, "file") == b"latter"


async def test_folders_need_no_rows(archive: Path, opened: Opened) -> None:
    made(
        archive,
        *[(name, 0o100644, 1, b"x") for name in ("a-b", "a/x", "a/y/z", "b/c/d", "b/e", "b0", "c")],
        ("a", 0o40755, 0, None),
    )
    async with opened() as account:
        assert await names(account, "", 2) == ["a", "a-b", "b", "b0", "c"]
        assert await names(account, "a", 1) == ["x", "y"]
        assert await names(account, "b") == ["c", "e"]
        assert (await account.stat("b/c")).kind is Kind.FOLDER
        await account.delete("b/c/d")
        assert await names(account, "b") == ["c", "e"]  # it stays when its last file goes
        await account.move("b", "", "other")
        assert await names(account, "other") == ["c", "e"]
        with pytest.raises(NotFound):
            await account.stat("b")


async def test_what_is_no_entry_is_hidden_and_moves_along(archive: Path, opened: Opened) -> None:
    odd = [("d/link", 0o120777, -1, "target"), ("d/pipe", 0o10644, 0, None), ("d/../up", 0o100644, 1, b"x")]
    made(archive, ("d/file", None, 1, b"x"), ("/root", 0o100644, 1, b"x"), ("../x", 0o100644, 1, b"x"), *odd)
    async with opened() as account:
        assert await names(account, "") == ["d"]
        assert await names(account, "d") == ["file"]
        assert [e.raw_id for e in (await account.search("", None, 10)).entries] == ["d/file"]
        for raw_id in ("d/link", "d/pipe", "d/../up", "../x", "/root"):
            with pytest.raises(NotFound):
                await account.read(raw_id)
        await account.move("d", "", "e")
    with sqlite3.connect(archive) as db:
        moved = db.execute("SELECT name, sz, data FROM sqlar WHERE name LIKE 'e/%' ORDER BY name").fetchall()
    db.close()
    assert moved == [("e/../up", 1, b"x"), ("e/file", 1, b"x"), ("e/link", -1, "target"), ("e/pipe", 0, None)]


async def test_damage_is_said(archive: Path, opened: Opened) -> None:
    deflated = zlib.compress(b"a" * 100_000)
    rows = [
        ("cut", 100_000, deflated[:-20]),
        ("garbage", 100_000, b"garbage"),
        ("longer", 5, b"more than five"),
        ("text", 5, "five!"),
        ("whole", 100_000, deflated),
    ]
    made(archive, *[(name, 0o100644, size, data) for name, size, data in rows])
    async with opened() as account:
        for name, _, _ in rows[:-1]:
            with pytest.raises(BadAnswer):
                await whole(account, name)
        assert await whole(account, "whole") == b"a" * 100_000


async def test_what_is_no_archive_is_left_alone(archive: Path, opened: Opened) -> None:
    with pytest.raises(Unavailable):
        async with opened():
            pass
    archive.write_bytes(b"no database at all, but long enough to be taken for the head of one" * 20)
    with pytest.raises(BadAnswer):
        async with opened(create=True):
            pass
    archive.unlink()
    with sqlite3.connect(archive) as db:
        db.execute("CREATE TABLE somebodys (own INT)")
    db.close()
    before = archive.read_bytes()
    with pytest.raises(BadAnswer) as refused:
        async with opened(create=True):
            pass
    assert archive.read_bytes() == before
    assert str(archive.parent) not in str(refused.value)


async def test_an_archive_that_goes_away_is_said_without_its_path(opened: Opened, tmp_path: Path) -> None:
    async with opened(create=True) as account:
        for file in tmp_path.iterdir():
            file.unlink()
        tmp_path.rmdir()
        for verb in (account.stat(""), account.list("", None, 10), put(account, "", "x")):
            with pytest.raises(StoreError) as gone:
                await verb
            assert str(tmp_path) not in gone.value.message
        tmp_path.mkdir()
