"""Content that changes under its reader, or is large; and what the log has of it."""

import asyncio
import hashlib
import logging
import os
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from connectors.conformance.kit import names, put
from connectors.interface import (
    PreconditionFailed,
    Span,
)
from tests.connectors.ftp.stores import MIB, folder, store
from tests.servers import proftpd as pro
from tests.servers.proftpd import Proftpd
from tests.servers.vsftpd import Vsftpd

pytestmark = pytest.mark.server


async def test_a_file_that_changes_while_it_is_read(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    path = either.data / at / "file"

    def append() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    for change in (append, lambda: os.utime(path, (1, 1))):
        path.write_bytes(bytes(8 * MIB))
        for span in (None, Span(0, 4 * MIB)):
            async with store(either).opened() as connector:
                opened = await connector.read(f"{at}/file", span)
                await anext(opened.chunks)
                change()
                with pytest.raises(PreconditionFailed):
                    _ = [piece async for piece in opened.chunks]
            path.write_bytes(bytes(8 * MIB))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clear", "encrypted"])
async def test_large_files_at_constant_memory(lines: Vsftpd, encrypted: Vsftpd, kind: str) -> None:
    server = lines if kind == "clear" else encrypted
    at, size = folder(server), 256 * MIB
    piece = os.urandom(256 * 1024)
    sent = hashlib.sha256()

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            sent.update(piece)
            yield piece

    async with store(server).opened() as connector:
        tracemalloc.start()
        try:
            entry = await connector.write(at, "large", source(), size=None, replace=False)
            assert entry.size == size
            got = hashlib.sha256()
            opened = await connector.read(entry.raw_id)
            async for number, part in _numbered(opened.chunks):
                if number == 3:
                    await asyncio.sleep(0.5)  # a reader that is slow: the store has to wait
                got.update(part)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert got.digest() == sent.digest()
        assert peak < 12 * MIB
        await connector.delete(entry.raw_id)


async def _numbered(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for chunk in chunks:
        yield number, chunk
        number += 1


async def test_logs_have_no_name_no_address_and_no_secret(
    facts: Proftpd, caplog: pytest.LogCaptureFixture
) -> None:
    at = folder(facts)
    with caplog.at_level(logging.DEBUG):
        async with store(facts).opened() as connector:
            await put(connector, at, "quiet name")
            await names(connector, at)
    assert not [record for record in caplog.records if record.name.startswith("aioftp")]
    for word in ("quiet name", "127.0.0.1", pro.PASSWORD, pro.USER):
        assert word not in caplog.text
