"""Logins are few, shared, given back, and replaced when they break."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.conformance.kit import FullConnector, names, put, whole
from connectors.ftp import pool
from connectors.interface import (
    Throttled,
    Unavailable,
)
from tests.connectors.ftp.stores import MIB, folder, store
from tests.servers.proftpd import Proftpd, proftpd
from tests.servers.vsftpd import Vsftpd, vsftpd

pytestmark = pytest.mark.server


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


async def test_logins_are_few_and_used_again(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    before = either.commands().count("USER")
    async with store(either, connections=3).opened() as connector:
        for number in range(5):
            await put(connector, at, f"file {number}", b"x" * 10_000)
        assert either.commands().count("USER") == before + 1
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(whole(connector, f"{at}/file {number % 5}"))
        assert either.commands().count("USER") <= before + 3
    assert before + 2 <= either.commands().count("USER")


@pytest.mark.parametrize("kind", ["vsftpd says 421", "proftpd says 530"])
async def test_a_server_that_allows_fewer_logins(kind: str, tmp_path: Path) -> None:
    made = (
        vsftpd(tmp_path / "server", extra="max_per_ip=2\n")
        if kind.startswith("vsftpd")
        else proftpd(tmp_path / "server", extra="MaxClientsPerHost 2\n")
    )
    with made as server:
        await until(lambda: server.sessions() == [])
        async with store(server).opened() as connector:
            content = os.urandom(200_000)
            entry = await put(connector, "", "file", content)
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(whole(connector, entry.raw_id)) for _ in range(12)]
            assert all(task.result() == content for task in running)


async def test_transfers_leave_a_login_for_everything_else(facts: Proftpd) -> None:
    at = folder(facts)
    async with store(facts, connections=2, idle_timeout=1.0).opened() as connector:
        entry = await put(connector, at, "file", b"x" * 5 * MIB)
        opened = await connector.read(entry.raw_id)
        await anext(opened.chunks)
        assert await names(connector, at) == ["file"]
        with pytest.raises(Throttled) as told:
            await connector.read(entry.raw_id)
        assert told.value.retry_after
        await cast("Any", opened.chunks).aclose()
        assert len(await whole(connector, entry.raw_id)) == 5 * MIB


async def test_content_that_nobody_reads_is_given_back(facts: Proftpd) -> None:
    at = folder(facts)
    async with store(facts, connections=1, idle_timeout=1.0).opened() as connector:
        entry = await put(connector, at, "file", b"x" * MIB)
        opened = await connector.read(entry.raw_id)
        await cast("Any", opened.chunks).aclose()
        await connector.stat("")


async def test_idle_logins_end(facts: Proftpd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_KEEP", 0.2)
    await until(lambda: facts.sessions() == [])
    async with store(facts).opened() as connector:
        await connector.stat("")
        assert facts.sessions()
        await until(lambda: facts.sessions() == [])


async def test_an_idle_login_that_broke_is_replaced(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    async with store(either).opened() as connector:
        full = cast("FullConnector", connector)
        await put(full, at, "file", b"bytes")
        for verb in (
            full.stat(at),
            full.list(at, None, 10),
            whole(full, f"{at}/file"),
            put(full, at, "other"),
            full.move(f"{at}/other", at, "another"),
            full.delete(f"{at}/another"),
            full.mkdir(at, "folder"),
        ):
            either.kill_sessions()
            await until(lambda: either.sessions() == [])
            await verb
        assert await names(full, at) == ["file", "folder"]


async def test_a_login_that_the_server_timed_out_is_replaced(tmp_path: Path) -> None:
    """It has said 421 into the silence, and closed."""
    with vsftpd(tmp_path / "vsftpd", extra="idle_session_timeout=1\n") as server:
        async with store(server).opened() as connector:
            await connector.stat("")
            await until(lambda: server.sessions() == [])
            await put(connector, "", "file")


async def test_a_login_that_breaks_in_a_transfer(either: Proftpd | Vsftpd) -> None:
    at, content = folder(either), os.urandom(20 * MIB)
    async with store(either).opened() as connector:
        entry = await put(connector, at, "file", content)
        opened = await connector.read(entry.raw_id)
        async with aclosing(cast("Any", opened.chunks)) as chunks:
            await anext(chunks)
            either.kill_sessions()
            with pytest.raises(Unavailable):
                _ = [piece async for piece in chunks]
        assert await whole(connector, entry.raw_id) == content

        async def source() -> AsyncIterator[bytes]:
            yield b"x" * MIB
            either.kill_sessions()
            while True:
                yield b"x" * MIB

        with pytest.raises(Unavailable):
            await connector.write(at, "broken", source(), size=None, replace=False)
        await until(lambda: os.listdir(either.data / at) == ["file"])


async def test_a_cancelled_reader_ends_the_server_s_side_at_once(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    (either.data / at / "file").write_bytes(bytes(50 * MIB))
    await until(lambda: either.sessions() == [])
    async with store(either).opened() as connector:
        begun = asyncio.Event()

        async def read() -> None:
            opened = await connector.read(f"{at}/file")
            async with aclosing(cast("Any", opened.chunks)) as chunks:
                async for _ in chunks:
                    begun.set()
                    await asyncio.sleep(3600)

        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(read())
            await begun.wait()
            assert len(either.sessions()) >= 1
            reader.cancel()
        await until(lambda: either.sessions() == [], within=3.0)


async def test_a_closed_account(facts: Proftpd) -> None:
    at = folder(facts)
    async with store(facts).opened() as connector:
        entry = await put(connector, at, "file", b"x" * 20 * MIB)
        opened = await connector.read(entry.raw_id)
        await anext(opened.chunks)
        await connector.aclose()
        with pytest.raises(Unavailable):
            _ = [piece async for piece in opened.chunks]
        with pytest.raises(Unavailable, match="closed"):
            await connector.stat("")
