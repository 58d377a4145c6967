"""Copies that the store can't make: streamed, whole or not at all."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import names, put, whole
from connectors.interface import Connector, Content, Entry, Span, Unavailable, Unsupported
from connectors.local import LocalConnector
from connectors.sftp import SftpConnector
from gateway.worker.content.copying import Copying
from gateway.worker.tasks import Progress
from tests.servers.rclone import PASSWORD, USER, rclone


async def streamed(connector: Connector, entry: Entry, parent: str, name: str) -> Entry:
    return await Copying(connector, connector, Progress(), 4, 1.0).entry(entry, parent, name)


@pytest.fixture
async def without_copies(tmp_path: Path) -> AsyncIterator[Connector]:
    """An SFTP server that lacks copy-data, as all but OpenSSH from 9.0 on do."""
    with rclone(tmp_path / "rclone", "sftp") as server:
        settings = {"host": "127.0.0.1", "port": server.port, "username": USER, "password": PASSWORD}
        async with Store(SftpConnector, settings, Direct()).opened() as connector:
            yield connector


async def test_a_file_is_streamed_where_the_store_can_not_copy(without_copies: Connector) -> None:
    content = os.urandom(1_000_000)
    entry = await put(without_copies, "", "file", content)
    assert isinstance(without_copies, SftpConnector)
    with pytest.raises(Unsupported):
        await without_copies.copy("file", "", "copy")
    copied = await streamed(without_copies, entry, "", "copy")
    assert await whole(without_copies, copied.raw_id) == content


async def test_a_folder_is_streamed_with_its_content(without_copies: Connector) -> None:
    assert isinstance(without_copies, SftpConnector)
    await without_copies.mkdir("", "tree")
    await without_copies.mkdir("tree", "below")
    await put(without_copies, "tree", "one", b"1")
    await put(without_copies, "tree/below", "two", b"22")
    copied = await streamed(without_copies, await without_copies.stat("tree"), "", "copy")
    assert copied.raw_id == "copy"
    assert await whole(without_copies, "copy/one") == b"1"
    assert await whole(without_copies, "copy/below/two") == b"22"


class Breaking(LocalConnector):
    """A double: a store that can't copy, and that breaks when a certain file is read."""

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        raise Unsupported("not this store")

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        if raw_id.endswith("broken"):
            raise Unavailable("the connection to the store broke")
        return await super().read(raw_id, span, etag=etag)


async def test_a_streamed_folder_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for name in ("a", "broken", "z"):
        (tmp_path / "tree" / name).write_text(name)
    async with Store(Breaking, {"root": str(tmp_path)}, Direct()).opened() as connector:
        with pytest.raises(Unavailable):
            await streamed(connector, await connector.stat("tree"), "", "copy")
        assert await names(connector, "") == ["tree"]
