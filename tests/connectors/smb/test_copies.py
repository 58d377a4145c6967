"""What the server itself copies and moves; uploads in parts."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import cast

import pytest

from connectors.conformance.kit import FullConnector, names, pieces, put, whole
from connectors.interface import (
    AlreadyExists,
    BadSpan,
    NotFound,
    NotPermitted,
    Part,
)
from tests.connectors.smb.stores import MIB, store
from tests.servers.samba import Samba


async def test_the_server_itself_copies(server: Samba, folder: str) -> None:
    content = os.urandom(40 * MIB + 5)
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        entry = await put(full, folder, "one", content)
        copied = await full.copy(entry.raw_id, folder, "two")
        assert copied.size == len(content)
        assert (server.data / folder / "two").read_bytes() == content
        empty = await put(full, folder, "empty", b"")
        assert (await full.copy(empty.raw_id, folder, "empty too")).size == 0


async def test_a_folder_is_copied_into_itself(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        below = await full.mkdir(folder, "below")
        await put(full, below.raw_id, "file", b"bytes")
        copied = await full.copy(below.raw_id, below.raw_id, "copy")
        assert await whole(full, f"{copied.raw_id}/file") == b"bytes"
        assert await names(full, copied.raw_id) == ["file"]
        with pytest.raises(NotPermitted, match="into itself"):
            await full.move(below.raw_id, below.raw_id, "moved")


async def test_nothing_replaces_a_folder(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        await full.mkdir(folder, "one")
        await full.mkdir(folder, "two")
        file = await put(full, folder, "file")
        for raw_id in (f"{folder}/one", file.raw_id):
            with pytest.raises(AlreadyExists):
                await full.move(raw_id, folder, "two", replace=True)
        with pytest.raises(AlreadyExists):
            await full.copy(f"{folder}/one", folder, "two")
        assert await names(full, folder) == ["file", "one", "two"]
        assert sorted(os.listdir(server.data / folder)) == ["file", "one", "two"]


async def test_parts_and_their_limits(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        upload = await full.begin_upload(folder, "file", size=200_000 * MIB, replace=False)
        assert upload.part_size == 20 * MIB
        await full.abandon_upload(upload.state)
        upload = await full.begin_upload(folder, "file", size=None, replace=False)
        with pytest.raises(BadSpan):
            await full.write_part(
                upload.state, 1, pieces(b"a" * (upload.part_size + 1)), size=upload.part_size + 1
            )
        tag = await full.write_part(upload.state, 1, pieces(b"a"), size=1)
        for wrong in ([Part(2, 1, tag)], [Part(1, 1, tag), Part(2, 1, tag)], []):
            with pytest.raises(BadSpan):
                await full.complete_upload(upload.state, wrong)
        for state in (
            "",
            "{}",
            "[]",
            upload.state.replace(".isthmus-", "..\\\\"),
            upload.state.replace(".isthmus-", ""),
        ):
            with pytest.raises(NotFound):
                await full.write_part(state, 1, pieces(b"a"), size=1)
        assert await names(full, folder) == []
        await full.complete_upload(upload.state, [Part(1, 1, tag)])
        assert os.listdir(server.data / folder) == ["file"]


async def test_an_upload_is_not_completed_under_a_part_that_is_written(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        upload = await full.begin_upload(folder, "file", size=None, replace=False)
        tag = await full.write_part(upload.state, 1, pieces(b"a" * upload.part_size), size=upload.part_size)
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"b" * MIB
            begun.set()
            await may_end.wait()

        async with asyncio.TaskGroup() as tasks:
            second = tasks.create_task(full.write_part(upload.state, 2, slow(), size=MIB))
            await begun.wait()
            with pytest.raises(NotPermitted):
                await full.complete_upload(upload.state, [Part(1, upload.part_size, tag)])
            may_end.set()
        parts = [Part(1, upload.part_size, tag), Part(2, MIB, second.result())]
        assert (await full.complete_upload(upload.state, parts)).size == upload.part_size + MIB
