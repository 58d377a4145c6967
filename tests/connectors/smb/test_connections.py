"""Connections that break or fall silent, and transfers that share them."""

import asyncio
import os
import signal
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from connectors.conformance.kit import put, whole
from connectors.interface import (
    TimedOut,
    Unavailable,
)
from tests.connectors.smb.stores import MIB, store, threads, until
from tests.servers.samba import Samba


async def test_a_connection_that_broke_is_made_anew(own: Samba) -> None:
    content = os.urandom(24 * MIB)
    async with store(own).opened() as connector:
        entry = await put(connector, "", "file", content)
        opened = await connector.read(entry.raw_id)
        await anext(opened.chunks)
        own.kill_sessions()
        with pytest.raises(Unavailable):
            _ = [piece async for piece in opened.chunks]
        with pytest.raises(Unavailable):
            await connector.write("", "new", _killing(own), size=None, replace=False)
        assert await whole(connector, entry.raw_id) == content


async def _killing(server: Samba) -> AsyncIterator[bytes]:
    yield b"a" * 2 * MIB
    await until(lambda: len(server.sessions()) == 1)
    server.kill_sessions()
    for _ in range(100):
        yield b"a" * MIB


async def test_a_server_that_falls_silent(own: Samba) -> None:
    async with store(own, idle_timeout=1.0).opened() as connector:
        entry = await put(connector, "", "file", b"a" * 16 * MIB)
        opened = await connector.read(entry.raw_id)
        await anext(opened.chunks)
        own.kill_sessions(signal.SIGSTOP)
        begun = time.monotonic()
        with pytest.raises(TimedOut):
            _ = [piece async for piece in opened.chunks]
        assert time.monotonic() - begun < 3
        own.kill_sessions()
        assert len(await whole(connector, entry.raw_id)) == 16 * MIB


async def test_a_closed_account_stays_closed(server: Samba) -> None:
    async with store(server).opened() as connector:
        await connector.stat("")
    await until(lambda: threads() == 0)
    with pytest.raises(Unavailable):
        await connector.stat("")


async def test_many_transfers_share_two_threads(server: Samba, folder: str) -> None:
    content = os.urandom(3 * MIB)
    async with store(server).opened() as connector:
        await connector.stat("")
        async with asyncio.TaskGroup() as tasks:
            for number in range(24):
                tasks.create_task(put(connector, folder, f"file {number}", content))
            await asyncio.sleep(0)
            assert threads() == 2
        async with asyncio.TaskGroup() as tasks:
            read = [tasks.create_task(whole(connector, f"{folder}/file {number}")) for number in range(24)]
        assert all(task.result() == content for task in read)
        assert threads() == 2
        assert len(server.sessions()) == 1


async def test_a_slow_reader_does_not_hold_the_others_up(server: Samba, folder: str) -> None:
    content = os.urandom(16 * MIB)
    async with store(server, idle_timeout=1.0).opened() as connector:
        entry = await put(connector, folder, "file", content)
        async with aclosing((await connector.read(entry.raw_id)).chunks) as slow:
            first = await anext(slow)
            for _ in range(3):
                assert await whole(connector, entry.raw_id) == content
            await asyncio.sleep(1.5)  # longer than the store may be silent: it is us who are
            assert first + b"".join([piece async for piece in slow]) == content


@pytest.mark.slow
@pytest.mark.parametrize("share", ["share", "encrypted"])
async def test_a_large_file_takes_no_more_memory(server: Samba, folder: str, share: str) -> None:
    size = 256 * MIB
    block = os.urandom(MIB)

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size // MIB):
            yield block

    async with store(server, share=share).opened() as connector:
        await connector.stat("")
        tracemalloc.start()
        try:
            entry = await connector.write(folder, "large", source(), size=size, replace=False)
            written = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            total = 0
            async for piece in (await connector.read(entry.raw_id)).chunks:
                total += len(piece)
            read = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert total == entry.size == size
    assert max(written, read) < 40 * MIB
