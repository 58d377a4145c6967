"""Folders made, entries moved and copied."""

import secrets

import pytest

from connectors.conformance.kit import (
    FullConnector,
    Kit,
    joined,
    names,
    put,
    whole,
)
from connectors.interface import (
    AlreadyExists,
    Capability,
    Kind,
    NotFound,
)


@pytest.mark.asyncio
class PlaceTests(Kit):
    """Capabilities that give an entry its place."""

    async def test_making_folders(self, full: FullConnector, folder: str) -> None:
        made = await full.mkdir(folder, "Neu & schön")
        assert (made.kind, made.parent, made.name) == (Kind.FOLDER, folder, "Neu & schön")
        assert made.raw_id == (await full.stat(made.raw_id)).raw_id
        await put(full, folder, "file")
        for name in ("Neu & schön", "file"):
            with pytest.raises(AlreadyExists):
                await full.mkdir(folder, name)
        with pytest.raises(NotFound):
            await full.mkdir(joined(folder, "nowhere"), "x")

    async def test_moving_a_file(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.MOVE)
        content = secrets.token_bytes(1000)
        entry = await put(full, folder, "old name", content)
        target = await full.mkdir(folder, "target")
        moved = await full.move(entry.raw_id, target.raw_id, "new näme")
        assert (moved.parent, moved.name) == (target.raw_id, "new näme")
        assert await whole(full, moved.raw_id) == content
        with pytest.raises(NotFound):
            await full.stat(entry.raw_id)
        with pytest.raises(NotFound):
            await full.move(entry.raw_id, folder, "x")

    async def test_moving_a_folder(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.MOVE)
        below = await full.mkdir(folder, "below")
        await put(full, below.raw_id, "file", b"inside")
        moved = await full.move(below.raw_id, folder, "elsewhere")
        assert moved.kind is Kind.FOLDER
        assert await whole(full, joined(moved.raw_id, "file")) == b"inside"
        assert await names(full, folder) == ["elsewhere"]

    async def test_moving_replaces_only_when_told(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.MOVE)
        one = await put(full, folder, "one", b"1")
        await put(full, folder, "two", b"22")
        with pytest.raises(AlreadyExists):
            await full.move(one.raw_id, folder, "two")
        assert await whole(full, joined(folder, "two")) == b"22"
        await full.move(one.raw_id, folder, "two", replace=True)
        assert await whole(full, joined(folder, "two")) == b"1"
        assert await names(full, folder) == ["two"]

    async def test_copying(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.COPY)
        entry = await put(full, folder, "one", b"1")
        copied = await full.copy(entry.raw_id, folder, "zwei & mehr")
        assert await whole(full, copied.raw_id) == await whole(full, entry.raw_id) == b"1"
        with pytest.raises(AlreadyExists):
            await full.copy(entry.raw_id, folder, "zwei & mehr")
        below = await full.mkdir(folder, "below")
        await put(full, below.raw_id, "file", b"inside")
        tree = await full.copy(below.raw_id, folder, "tree")
        assert await whole(full, joined(tree.raw_id, "file")) == b"inside"
        with pytest.raises(NotFound):
            await full.copy(joined(folder, "nothing"), folder, "x")
