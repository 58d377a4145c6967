"""Who leaves in the middle leaves nothing on the server, and no connection."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from connectors.interface import Connector
from connectors.interface.paths import TEMPORARY
from connectors.webdav import WebdavConnector
from tests.connectors.leaving import PARTS, REQUESTING, leave_at_every_moment
from tests.connectors.webdav.stores import store
from tests.servers.apache import Apache


@pytest.mark.parametrize("verb", sorted(REQUESTING.keys() - PARTS))
async def test_whoever_leaves_at_any_moment_leaves_nothing(basic_server: Apache, verb: str) -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Connector]:
        async with store(basic_server.url).opened() as top:
            made = await cast("WebdavConnector", top).mkdir("", f"left-{secrets.token_hex(6)}")
        async with store(f"{basic_server.url}{made.name}/").opened() as connector:
            yield connector

    async def left() -> list[str]:
        every = (name for _, folders, files in os.walk(basic_server.data) for name in (*folders, *files))
        # Apache's own, for a content on its way
        return [name for name in every if name.startswith((TEMPORARY, ".davfs.tmp"))]

    await leave_at_every_moment(opened, REQUESTING[verb], lambda dav: dav._server._client, left)


async def test_a_copy_that_its_caller_left_is_removed_when_the_server_has_made_it(
    basic_server: Apache, connector: WebdavConnector
) -> None:
    """A DELETE would meet the server in the middle of the COPY, which then goes on below the hidden name."""
    folder = basic_server.data / f"large-{secrets.token_hex(6)}"
    folder.mkdir()
    for number in range(3000):
        (folder / f"{number}").write_bytes(b"content")

    def hidden() -> list[str]:
        return [name for name in os.listdir(basic_server.data) if name.startswith(TEMPORARY)]

    before = basic_server.log.read_text().count("COPY ")
    async with asyncio.TaskGroup() as tasks:
        copying = tasks.create_task(connector.copy(folder.name, "", "copied"))
        async with asyncio.timeout(20):
            while not hidden():
                await asyncio.sleep(0)
        copying.cancel()
    async with asyncio.timeout(20):
        while hidden() or basic_server.log.read_text().count("COPY ") == before:
            await asyncio.sleep(0.01)
    assert copying.cancelled()
    assert not (basic_server.data / "copied").exists()
    assert len(os.listdir(folder)) == 3000
