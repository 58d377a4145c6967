"""Bytes: read whole, in spans and versions; written whole or not at all."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing

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
    BadSpan,
    Connector,
    Kind,
    PreconditionFailed,
    Span,
)


@pytest.mark.asyncio
class ContentTests(Kit):
    """What every connector does with bytes."""

    # reading

    @pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 3 * 1024 * 1024 + 7])
    @pytest.mark.parametrize("known", [True, False], ids=["length known", "length unknown"])
    async def test_bytes_come_back_as_they_went(
        self, connector: Connector, folder: str, size: int, known: bool
    ) -> None:
        content = secrets.token_bytes(size)
        entry = await put(connector, folder, "bytes", content, size=size if known else None)
        assert entry.size == size
        opened = await connector.read(entry.raw_id)
        assert opened.entry.size == size
        read = [piece async for piece in opened.chunks]
        assert all(1 <= len(piece) <= 262_144 for piece in read)
        assert hashlib.sha256(b"".join(read)).digest() == hashlib.sha256(content).digest()

    @pytest.mark.parametrize(
        ("span", "part"),
        [
            (Span(0, 0), slice(0, 1)),
            (Span(0), slice(0, None)),
            (Span(299_999), slice(299_999, None)),
            (Span(100_000, 200_000), slice(100_000, 200_001)),
            (Span(299_000, 5_000_000), slice(299_000, None)),
        ],
    )
    async def test_spans(self, connector: Connector, folder: str, span: Span, part: slice) -> None:
        content = secrets.token_bytes(300_000)
        entry = await put(connector, folder, "bytes", content)
        assert await whole(connector, entry.raw_id, span) == content[part]

    async def test_a_span_beyond_the_end_is_refused(self, connector: Connector, folder: str) -> None:
        entry = await put(connector, folder, "bytes", b"0123456789")
        for span in (Span(10), Span(10, 20), Span(1000, 1001)):
            with pytest.raises(BadSpan):
                await whole(connector, entry.raw_id, span)

    async def test_a_version_can_be_asked_for(self, connector: Connector, folder: str) -> None:
        old = await put(connector, folder, "bytes", b"one")
        if old.etag is None:
            pytest.skip("this store has no versions")
        assert await whole(connector, old.raw_id, etag=old.etag) == b"one"
        new = await put(connector, folder, "bytes", b"three", replace=True)
        assert new.etag != old.etag
        with pytest.raises(PreconditionFailed):
            await whole(connector, old.raw_id, etag=old.etag)
        with pytest.raises(PreconditionFailed):
            await put(connector, folder, "bytes", b"lost update", replace=True, etag=old.etag)
        assert await whole(connector, old.raw_id) == b"three"
        await put(connector, folder, "bytes", b"four!!", replace=True, etag=new.etag)
        assert await whole(connector, old.raw_id) == b"four!!"

    async def test_many_read_at_once(self, connector: Connector, folder: str) -> None:
        content = secrets.token_bytes(400_000)
        entry = await put(connector, folder, "bytes", content)
        spans = [Span(start, start + 49_999) for start in range(0, 400_000, 10_000)]
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(whole(connector, entry.raw_id, span)) for span in spans]
        for span, task in zip(spans, running, strict=True):
            assert task.result() == content[span.first : span.first + 50_000]

    async def test_a_reader_that_leaves_early_harms_none(self, connector: Connector, folder: str) -> None:
        content = secrets.token_bytes(2_000_000)
        entry = await put(connector, folder, "bytes", content)
        for _ in range(20):
            opened = await connector.read(entry.raw_id)
            async with aclosing(opened.chunks) as chunks:
                async for _piece in chunks:
                    break
        assert await whole(connector, entry.raw_id) == content

    async def test_a_file_that_was_opened_and_not_read_is_released(
        self, connector: Connector, folder: str
    ) -> None:
        entry = await put(connector, folder, "bytes", b"content")
        for _ in range(130):  # more than a store has connections or handles for one account
            await (await connector.read(entry.raw_id)).chunks.aclose()
        assert await whole(connector, entry.raw_id) == b"content"

    # writing

    async def test_a_taken_name_is_kept(self, full: FullConnector, folder: str) -> None:
        entry = await put(full, folder, "name", b"first")
        with pytest.raises(AlreadyExists):
            await put(full, folder, "name", b"second")
        assert await whole(full, entry.raw_id) == b"first"
        assert await names(full, folder) == ["name"]
        await full.mkdir(folder, "folder")
        for replace in (True, False):
            with pytest.raises(AlreadyExists):
                await put(full, folder, "folder", b"file", replace=replace)
        assert (await full.child(folder, "folder")).kind is Kind.FOLDER

    async def test_one_of_many_writers_gets_the_name(self, connector: Connector, folder: str) -> None:
        async def one(number: int) -> bool:
            try:
                await put(connector, folder, "name", bytes([number]) * 50_000)
            except AlreadyExists:
                return False
            return True

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one(number)) for number in range(6)]
        assert sum(task.result() for task in running) == 1
        content = await whole(connector, joined(folder, "name"))
        assert len(content) == 50_000
        assert len(set(content)) == 1

    @pytest.mark.parametrize("before", [None, b"former"])
    async def test_a_source_that_breaks_leaves_nothing(
        self, connector: Connector, folder: str, before: bytes | None
    ) -> None:
        if before is not None:
            await put(connector, folder, "name", before)

        async def breaking() -> AsyncIterator[bytes]:
            yield b"a" * 300_000
            raise ConnectionAbortedError("the client went away")

        with pytest.raises(ConnectionAbortedError):
            await connector.write(folder, "name", breaking(), size=None, replace=before is not None)
        await self._only(connector, folder, before)

    @pytest.mark.parametrize("before", [None, b"former"])
    async def test_a_cancelled_write_leaves_nothing(
        self, connector: Connector, folder: str, before: bytes | None
    ) -> None:
        if before is not None:
            await put(connector, folder, "name", before)
        begun = asyncio.Event()

        async def waiting() -> AsyncIterator[bytes]:
            yield b"a" * 300_000
            begun.set()
            await asyncio.sleep(3600)

        async with asyncio.TaskGroup() as tasks:
            write = tasks.create_task(
                connector.write(folder, "name", waiting(), size=None, replace=before is not None)
            )
            await begun.wait()
            write.cancel()
        await self._only(connector, folder, before)

    async def _only(self, connector: Connector, folder: str, before: bytes | None) -> None:
        """Checks that the folder has nothing but the former bytes: temporary files are gone as well.

        A folder that has them can't be removed as an empty one.
        """
        if before is None:
            assert await names(connector, folder) == []
        else:
            assert await names(connector, folder) == ["name"]
            assert await whole(connector, joined(folder, "name")) == before
            await connector.delete(joined(folder, "name"))
        await connector.delete(folder)
