"""Files that others have open, lock or change; a disk that is full; readers that go away."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from smbprotocol.connection import Connection
from smbprotocol.open import Open
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from connectors.conformance.kit import FullConnector, names, put, whole
from connectors.interface import (
    NotPermitted,
    OutOfSpace,
    PreconditionFailed,
    Unavailable,
    Upload,
)
from connectors.smb.wire import Call, Wire
from tests.connectors.smb.stores import MIB, store, until
from tests.servers.samba import Samba, samba


@contextmanager
def another_program(server: Samba, path: str, access: int, sharing: int) -> Iterator[Open]:
    """The file, open in another client."""
    connection = Connection(uuid4(), "127.0.0.1", server.port)
    connection.connect()
    try:
        session = Session(connection, server.user, server.password, False, auth_protocol="ntlm")
        session.connect()
        tree = TreeConnect(session, r"\\127.0.0.1\share")
        tree.connect()
        opened = Open(tree, path.replace("/", "\\"))
        opened.create(2, access, 0, sharing, 1, 0)
        yield opened
    finally:
        connection.disconnect()


async def test_a_file_that_another_program_has_open(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        entry = await put(full, folder, "file", b"bytes")
        with another_program(server, entry.raw_id, access=3, sharing=0):
            for verb in (
                full.read(entry.raw_id),
                full.delete(entry.raw_id),
                full.move(entry.raw_id, folder, "moved"),
                full.copy(entry.raw_id, folder, "copied"),
            ):
                with pytest.raises(NotPermitted, match="another program has the file open"):
                    await verb
            assert (await full.stat(entry.raw_id)).etag == entry.etag
        await full.move(entry.raw_id, folder, "moved")
        assert await names(full, folder) == ["moved"]


async def test_a_part_of_a_file_that_another_program_has_locked(server: Samba, folder: str) -> None:
    from smbprotocol.open import LockFlags, SMB2LockElement

    async with store(server).opened() as connector:
        entry = await put(connector, folder, "file", b"b" * 3 * MIB)
        with another_program(server, entry.raw_id, access=3, sharing=7) as opened:
            lock = SMB2LockElement()
            lock["offset"], lock["length"] = 2 * MIB, 10
            lock["flags"] = LockFlags.SMB2_LOCKFLAG_EXCLUSIVE_LOCK | LockFlags.SMB2_LOCKFLAG_FAIL_IMMEDIATELY
            opened.lock([lock])
            with pytest.raises(NotPermitted, match="locked"):
                await whole(connector, entry.raw_id)
        assert len(await whole(connector, entry.raw_id)) == 3 * MIB


async def test_a_file_that_changes_while_it_is_read(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        entry = await put(connector, folder, "file", b"a" * 8 * MIB)
        opened = await connector.read(entry.raw_id)
        read = len(await anext(opened.chunks))
        with (server.data / folder / "file").open("r+b") as file:
            file.write(b"b")

        async def rest() -> None:
            nonlocal read
            async for piece in opened.chunks:
                read += len(piece)

        with pytest.raises(PreconditionFailed):
            await rest()
        assert read < 8 * MIB
        assert (await connector.stat(entry.raw_id)).etag != entry.etag


async def test_a_full_disk(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("a disk that is full has to be mounted, which needs root")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=True)
    try:
        with samba(tmp_path / "samba", shares={"share": (f"path = {small}",)}) as server:
            async with store(server).opened() as connector:
                full = cast("FullConnector", connector)
                assert (await full.quota()).total == 4 * MIB
                entry = await put(full, "", "one", b"1" * 2 * MIB)
                with pytest.raises(OutOfSpace):
                    await put(full, "", "two", b"2" * 6 * MIB)
                await full.copy(entry.raw_id, "", "copy")
                with pytest.raises(OutOfSpace):
                    await full.copy(entry.raw_id, "", "another")
                assert await names(full, "") == ["copy", "one"]
                assert sorted(os.listdir(small)) == ["copy", "one"]
                assert (await full.quota()).free == 0
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


async def test_a_reader_that_is_cancelled_lets_the_file_go_and_the_others_read_on(
    server: Samba, folder: str
) -> None:
    content = os.urandom(24 * MIB)
    async with store(server).opened() as connector:
        for name in ("left", "read"):
            await put(connector, folder, name, content)
        first_piece = asyncio.Event()

        async def leave() -> None:
            opened = await connector.read(f"{folder}/left")
            async with aclosing(opened.chunks) as chunks:
                async for _ in chunks:
                    first_piece.set()
                    await asyncio.sleep(0.001)

        other = (await connector.read(f"{folder}/read")).chunks
        read = [await anext(other)]
        async with asyncio.TaskGroup() as tasks:
            leaving = tasks.create_task(leave())
            await first_piece.wait()
            assert any(path.endswith("/left") for path in server.open_files())
            leaving.cancel()
        assert not any(path.endswith("/left") for path in server.open_files())
        assert any(path.endswith("/read") for path in server.open_files())
        read += [piece async for piece in other]
        assert b"".join(read) == content
        assert len(server.sessions()) == 1
        assert server.open_files() == []


async def test_content_that_nobody_reads_is_let_go(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        entry = await put(connector, folder, "file", b"a" * MIB)
        async with aclosing((await connector.read(entry.raw_id)).chunks):
            assert len(server.open_files()) == 1
        assert server.open_files() == []


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_at_any_moment_nothing_stays_open(server: Samba, folder: str, turns: int) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        entry = await put(full, folder, "file", b"a" * 2 * MIB)
        await full.mkdir(folder, "below")
        await put(full, f"{folder}/below", "file", b"a" * MIB)
        verbs: list[Callable[[], Any]] = [
            lambda: whole(full, entry.raw_id),
            lambda: put(full, folder, "new", b"b" * 2 * MIB),
            lambda: full.copy(entry.raw_id, folder, "copied"),
            lambda: full.copy(f"{folder}/below", folder, "tree"),
            lambda: full.list(folder, None, 10),
            lambda: full.begin_upload(folder, "parts", size=None, replace=False),
        ]
        for verb in verbs:
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(verb())
                for _ in range(turns * 3):
                    await asyncio.sleep(0.0005)
                task.cancel()
            if not task.cancelled() and isinstance(task.result(), Upload):
                await full.abandon_upload(task.result().state)
            await until(lambda: server.open_files() == [])
            left = {name for name in os.listdir(server.data / folder) if name.startswith(".")}
            assert not left


async def test_cancelled_in_the_moment_of_the_answer_nothing_stays_open(
    server: Samba, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task is cancelled when its answer is there, and before it goes on: asyncio drops the answer."""
    async with store(server).opened() as connector:
        entry = await put(connector, folder, "file", b"a" * MIB)
        answered = Wire._answered

        def and_cancelled(wire: Wire, call: Call, *what: Any) -> None:
            answered(wire, call, *what)
            if call.future.done():
                assert server.open_files()
                reading.cancel()

        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(connector.read(entry.raw_id))
            monkeypatch.setattr(Wire, "_answered", and_cancelled)
        monkeypatch.undo()
        assert reading.cancelled()
        await until(lambda: server.open_files() == [])


async def test_a_gateway_that_is_gone_leaves_no_half_file(server: Samba, folder: str) -> None:
    arrived = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"a" * MIB
            arrived.set()

    async with store(server).opened() as connector:

        async def write() -> None:
            with pytest.raises(Unavailable):
                await connector.write(folder, "file", endless(), size=None, replace=False)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            await arrived.wait()
            assert [name[:9] for name in os.listdir(server.data / folder)] == [".isthmus-"]
            await (
                connector.aclose()
            )  # no word to the server: its connection ends, as when a process is killed
        await until(lambda: os.listdir(server.data / folder) == [])
