"""Streams: at constant memory, next to each other, stopped; versions; what does not fit."""

import asyncio
import hashlib
import resource
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import pytest

from connectors.conformance.kit import names, put, whole
from connectors.interface import InvalidName, OutOfSpace, TimedOut, Unavailable
from isthmus_sqlar import SqlarConnector

type Opened = Callable[..., AbstractAsyncContextManager[Any]]
MIB = 1024 * 1024


def left_beside(archive: Path) -> set[str]:
    """Files in the archive's folder that are not SQLite's own."""
    return {f.name for f in archive.parent.iterdir()} - {archive.name + end for end in ("", "-wal", "-shm")}


async def zeros(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // MIB):
        yield bytes(MIB)


async def test_memory_does_not_grow_with_the_file(account: SqlarConnector) -> None:
    await put(account, "", "small", bytes(MIB))
    await whole(account, "small")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    entry = await account.write("", "large", zeros(300 * MIB), size=None, replace=False)
    assert entry.size == 300 * MIB
    moved = await account.move("large", "", "moved")
    digest = hashlib.sha256()
    async for piece in (await account.read(moved.raw_id)).chunks:
        digest.update(piece)
    expected = hashlib.sha256()
    async for piece in zeros(300 * MIB):
        expected.update(piece)
    assert digest.digest() == expected.digest()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB, of SQLite's own memory too
    assert grown < 32 * 1024


async def test_a_slow_reader_keeps_its_version_and_stops_nobody(account: SqlarConnector) -> None:
    await put(account, "", "file", b"a" * 3 * MIB)
    slow = await account.read("file")
    first = await anext(slow.chunks)
    await put(account, "", "file", b"b" * 3 * MIB, replace=True)
    await account.delete("file")
    assert first + b"".join([piece async for piece in slow.chunks]) == b"a" * 3 * MIB


async def test_a_slow_writer_stops_nobody(account: SqlarConnector) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"1"
        begun.set()
        await go_on.wait()
        yield b"2"

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(account.write("", "slow", slow(), size=2, replace=False))
        await begun.wait()
        await put(account, "", "quick", b"x")
        assert await names(account, "") == ["quick"]
        go_on.set()
    assert await whole(account, writing.result().raw_id) == b"12"


async def test_versions_of_one_size_in_one_second_differ(account: SqlarConnector) -> None:
    etags = [(await put(account, "", "file", b"same", replace=True)).etag for _ in range(20)]
    for _ in range(20):
        await account.delete("file")
        etags.append((await put(account, "", "file", b"same")).etag)
    assert len(set(etags)) == 40


async def test_what_a_cancelled_upload_sent_is_gone(archive: Path, account: SqlarConnector) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MIB)
            begun.set()

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(account.write("", "file", endless(), size=None, replace=False))
        await begun.wait()
        writing.cancel()
    assert await names(account, "") == []
    assert left_beside(archive) == set()


async def test_a_cancelled_move_is_undone(account: SqlarConnector) -> None:
    await account.write("", "large", zeros(100 * MIB), size=None, replace=False)
    async with asyncio.TaskGroup() as tasks:
        moving = tasks.create_task(account.move("large", "", "moved"))
        await asyncio.sleep(0.02)  # in the midst of it, or before it began, or (on a very fast disk) after
        moving.cancel()
    wanted = ["large"] if moving.cancelled() else ["moved"]
    assert await names(account, "") == wanted
    await account.delete(wanted[0])  # nobody holds the lock


async def test_a_closed_account_breaks_its_downloads(account: SqlarConnector) -> None:
    await put(account, "", "file", bytes(3 * MIB))
    opened_file = await account.read("file")
    await anext(opened_file.chunks)
    await account.aclose()
    with pytest.raises(Unavailable):
        await anext(opened_file.chunks)
    with pytest.raises(Unavailable):
        await account.stat("file")


async def test_a_download_that_nobody_began_can_be_closed(archive: Path, opened: Opened) -> None:
    async with opened(create=True) as account:
        await put(account, "", "file", b"x")
        for _ in range(50):
            content = await account.read("file")
            async with aclosing(content.chunks):
                pass
    assert left_beside(archive) == set()
    assert not archive.with_name("files.sqlar-wal").exists()  # the last connection went


async def test_another_programs_lock_is_waited_for_no_longer_than_the_deadline(
    archive: Path, opened: Opened
) -> None:
    async with opened(create=True, idle_timeout=0.3) as account:
        other = sqlite3.connect(archive, autocommit=True)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TimedOut):
            await account.mkdir("", "folder")
        assert await names(account, "") == []  # reading goes on
        other.execute("ROLLBACK")
        await account.mkdir("", "folder")
        other.close()


async def test_what_does_not_fit_leaves_the_former(opened: Opened) -> None:
    async with opened(create=True, limit=2 * MIB) as account:
        await put(account, "", "file", bytes(MIB))
        with pytest.raises(OutOfSpace):
            await put(account, "", "file", bytes(5 * MIB), replace=True)
        assert await whole(account, "file") == bytes(MIB)
        quota = await account.quota()
        assert quota.total == 2 * MIB
        assert MIB <= quota.used < 2 * MIB
        assert 0 < quota.free <= 2 * MIB - quota.used


async def test_a_file_larger_than_a_row_is_refused_before_its_first_byte(account: SqlarConnector) -> None:
    async def unasked() -> AsyncIterator[bytes]:
        pytest.fail("a byte was asked for")
        yield b""

    with pytest.raises(OutOfSpace):
        await account.write("", "huge", unasked(), size=1_000_000_001, replace=False)


async def test_properties_follow_their_entry(archive: Path, account: SqlarConnector) -> None:
    await account.mkdir("", "folder")
    await put(account, "folder", "file", b"1")
    await account.set_properties("folder/file", {"colour": "blue"})
    await account.copy("folder", "", "copy")
    await account.move("folder", "", "moved")
    for raw_id in ("copy/file", "moved/file"):
        assert await account.properties(raw_id) == {"colour": "blue"}
    await put(account, "moved", "file", b"2", replace=True)
    assert await account.properties("moved/file") == {"colour": "blue"}
    with sqlite3.connect(archive) as other:
        other.execute("DELETE FROM sqlar WHERE name = 'moved/file'")
    other.close()
    await put(account, "moved", "file", b"3")
    assert await account.properties("moved/file") == {}


async def test_a_folder_goes_into_another_but_not_into_itself(account: SqlarConnector) -> None:
    await account.mkdir("", "folder")
    await put(account, "folder", "file")
    with pytest.raises(InvalidName):
        await account.move("folder", "folder", "inside")
    with pytest.raises(InvalidName):
        await account.copy("folder", "folder", "inside")
    assert (await account.move("folder/file", "folder", "file", replace=True)).raw_id == "folder/file"
    assert await names(account, "folder") == ["file"]


async def test_names_that_are_no_text_are_refused(account: SqlarConnector) -> None:
    with pytest.raises(InvalidName):
        await put(account, "", "latin \udce9")
    with pytest.raises(InvalidName):
        await account.mkdir("", "latin \udce9")
