"""Uploads in parts: any order, at once, again; nothing under the name before they are completed."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import cast

import pytest

from connectors.conformance.kit import (
    FullConnector,
    Kit,
    Store,
    joined,
    names,
    pieces,
    put,
    whole,
)
from connectors.interface import (
    AlreadyExists,
    Capability,
    InvalidName,
    NotFound,
    Part,
    Span,
    Upload,
)


def _part(number: int, size: int) -> bytes:
    return bytes([number]) * size


@pytest.mark.asyncio
class PartsTests(Kit):
    """The capability `parts`."""

    async def test_parts_in_any_order_make_the_file(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.PARTS)
        upload = await full.begin_upload(folder, "in parts", size=None, replace=False)
        assert len(upload.state) <= 4096
        assert upload.state.isascii()
        size = upload.part_size
        wanted = [_part(1, size), _part(2, size), _part(3, 77)]
        parts = [await self._write(full, upload, number, wanted[number - 1]) for number in (3, 1, 2)]
        assert "in parts" not in await names(full, folder)
        entry = await full.complete_upload(upload.state, sorted(parts, key=_number))
        assert (entry.name, entry.parent, entry.size) == ("in parts", folder, 2 * size + 77)
        digest = hashlib.sha256()
        async for piece in (await full.read(entry.raw_id)).chunks:
            digest.update(piece)
        assert digest.digest() == hashlib.sha256(b"".join(wanted)).digest()
        assert await names(full, folder) == ["in parts"]

    async def test_a_part_again_replaces_it(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.PARTS)
        upload = await full.begin_upload(folder, "again", size=1000, replace=False)
        await self._write(full, upload, 1, b"a" * 1000)
        part = await self._write(full, upload, 1, b"b" * 500)
        entry = await full.complete_upload(upload.state, [part])
        assert await whole(full, entry.raw_id) == b"b" * 500

    async def test_parts_at_the_same_time(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.PARTS)
        upload = await full.begin_upload(folder, "at once", size=None, replace=False)
        if not upload.parallel:
            pytest.skip("this store takes one part after the other")
        sizes = [upload.part_size] * 3 + [10]
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._write(full, upload, number, _part(number, size)))
                for number, size in enumerate(sizes, 1)
            ]
        entry = await full.complete_upload(upload.state, [task.result() for task in running])
        for number, size in enumerate(sizes, 1):
            first = sum(sizes[: number - 1])
            assert await whole(full, entry.raw_id, Span(first, first + size - 1)) == _part(number, size)

    async def test_another_open_account_goes_on(self, store: Store, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.PARTS)
        upload = await full.begin_upload(folder, "on", size=None, replace=False)
        first = await self._write(full, upload, 1, _part(1, upload.part_size))
        async with store.opened() as opened:
            other = cast("FullConnector", opened)
            second = await self._write(other, upload, 2, b"end")
            entry = await other.complete_upload(upload.state, [first, second])
        assert entry.size == upload.part_size + 3

    async def test_a_taken_name_is_kept_at_completion(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.PARTS)
        upload = await full.begin_upload(folder, "name", size=None, replace=False)
        part = await self._write(full, upload, 1, b"late")
        await put(full, folder, "name", b"first")
        with pytest.raises(AlreadyExists):
            await full.complete_upload(upload.state, [part])
        assert await whole(full, (await full.child(folder, "name")).raw_id) == b"first"
        with pytest.raises(AlreadyExists):
            await full.begin_upload(folder, "name", size=None, replace=False)
        upload = await full.begin_upload(folder, "name", size=None, replace=True)
        part = await self._write(full, upload, 1, b"replaced")
        entry = await full.complete_upload(upload.state, [part])
        assert await whole(full, entry.raw_id) == b"replaced"

    async def test_an_abandoned_upload_leaves_nothing(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.PARTS)
        upload = await full.begin_upload(folder, "given up", size=None, replace=False)
        await self._write(full, upload, 1, b"x" * 1000)
        await full.abandon_upload(upload.state)
        await full.abandon_upload(upload.state)
        assert await names(full, folder) == []
        with pytest.raises(NotFound):
            await self._write(full, upload, 2, b"late")
        await full.delete(folder)  # as an empty one: nothing hidden is left in it

    async def test_a_part_whose_source_breaks_can_be_sent_again(
        self, full: FullConnector, folder: str
    ) -> None:
        self.needs(full, Capability.PARTS)
        upload = await full.begin_upload(folder, "broken", size=None, replace=False)

        async def breaking() -> AsyncIterator[bytes]:
            yield b"a" * 1000
            raise ConnectionAbortedError("the client went away")

        with pytest.raises(ConnectionAbortedError):
            await full.write_part(upload.state, 1, breaking(), size=5000)
        part = await self._write(full, upload, 1, b"b" * 5000)
        entry = await full.complete_upload(upload.state, [part])
        assert await whole(full, entry.raw_id) == b"b" * 5000

    async def test_an_upload_needs_its_folder(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.PARTS)
        with pytest.raises(NotFound):
            await full.begin_upload(joined(folder, "nowhere"), "x", size=None, replace=False)
        with pytest.raises(InvalidName):
            await full.begin_upload(folder, "a/b", size=None, replace=False)

    async def _write(self, full: FullConnector, upload: Upload, number: int, content: bytes) -> Part:
        tag = await full.write_part(upload.state, number, pieces(content), size=len(content))
        return Part(number, len(content), tag)


def _number(part: Part) -> int:
    return part.number
