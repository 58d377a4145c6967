"""What a server refuses, and what is left of it then."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.conformance.kit import FullConnector, names, put, whole
from connectors.ftp import tree
from connectors.ftp.errors import Reply, refusal
from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    InvalidName,
    NotFound,
    NotPermitted,
    OutOfSpace,
    StoreError,
    Unavailable,
    Unsupported,
    UntrustedHost,
)
from tests.connectors.ftp.stores import MIB, folder, store
from tests.servers.proftpd import Proftpd, proftpd
from tests.servers.small_disk import small_disk
from tests.servers.vsftpd import Vsftpd, vsftpd

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (421, Unavailable),
        (425, Unavailable),
        (426, Unavailable),
        (450, Unavailable),
        (452, OutOfSpace),
        (500, Unsupported),
        (530, Unavailable),
        (534, UntrustedHost),
        (550, NotFound),
        (552, OutOfSpace),
        (553, InvalidName),
        (299, BadAnswer),
    ],
)
def test_a_reply_is_an_error_of_ours(code: int, error: type[StoreError]) -> None:
    told = refusal(Reply(code, ["-/home/ann/secret is on 10.1.2.3", " end"]))
    assert isinstance(told, error)
    assert "secret" not in str(told)
    assert "10.1" not in str(told)


async def test_an_account_that_may_only_read(tmp_path: Path) -> None:
    with vsftpd(tmp_path / "vsftpd", extra="write_enable=NO\n") as server:
        (server.data / "file").write_text("kept")
        (server.data / "folder").mkdir()
        async with store(server).opened() as connector:
            full = cast("FullConnector", connector)
            for verb in (
                put(full, "", "new"),
                put(full, "", "file", replace=True),
                full.mkdir("", "new"),
                full.move("file", "", "new"),
                full.delete("file"),
                full.delete("folder"),
            ):
                with pytest.raises(NotPermitted):
                    await verb
            with pytest.raises(AlreadyExists):
                await full.mkdir("", "folder")
            with pytest.raises(NotFound):
                await full.mkdir("nowhere", "folder")
            assert await whole(full, "file") == b"kept"


async def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    with vsftpd(tmp_path / "vsftpd", extra="deny_file=*.key\n") as server:
        (server.data / "private.key").write_text("secret")
        async with store(server).opened() as connector:
            with pytest.raises(StoreError) as told:
                await connector.read("private.key")
            assert isinstance(told.value, NotFound | NotPermitted)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a small file system")
async def test_a_full_disk(tmp_path: Path) -> None:
    with proftpd(tmp_path / "proftpd") as server, small_disk(server.data, MIB):
        async with store(server).opened() as connector:
            with pytest.raises(OutOfSpace):
                await put(connector, "", "file", bytes(8 * MIB))
            assert os.listdir(server.data) == []
            await put(connector, "", "small", b"fits")
    with vsftpd(tmp_path / "vsftpd") as other, small_disk(other.data, MIB):
        async with store(other).opened() as connector:
            with pytest.raises(OutOfSpace):
                await put(connector, "", "file", bytes(8 * MIB))
            assert os.listdir(other.data) == []


async def test_a_server_that_renames_over_nothing(tmp_path: Path) -> None:
    with proftpd(tmp_path / "proftpd", overwrite=False) as server:
        async with store(server).opened() as connector:
            full = cast("FullConnector", connector)
            await put(full, "", "file", b"first")
            await put(full, "", "file", b"second", replace=True)
            assert await whole(full, "file") == b"second"
            await put(full, "", "other", b"third")
            await full.move("other", "", "file", replace=True)
            assert await whole(full, "file") == b"third"
            assert os.listdir(server.data) == ["file"]


async def test_a_file_that_may_not_be_replaced_stays(tmp_path: Path) -> None:
    """It was set aside, its successor may not have the name, and it comes back."""
    extra = '<Directory {folder}/data>\n  PathDenyFilter "/file$"\n</Directory>\n'
    with proftpd(tmp_path / "proftpd", overwrite=False, extra=extra) as server:
        (server.data / "file").write_text("first")
        async with store(server).opened() as connector:
            with pytest.raises(NotPermitted):
                await put(connector, "", "file", b"second", replace=True)
        assert (server.data / "file").read_text() == "first"
        assert os.listdir(server.data) == ["file"]


async def test_a_move_that_is_cancelled_loses_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that it replaces is set aside at that moment."""
    aside = asyncio.Event()
    rename = tree.Tree._rename

    async def told(self: tree.Tree, control: Any, parts: list[str], to: list[str]) -> Any:
        reply = await rename(self, control, parts, to)
        if to[-1].startswith(".isthmus-"):
            aside.set()
            await asyncio.sleep(0)  # the cancellation comes in between
        return reply

    monkeypatch.setattr(tree.Tree, "_rename", told)
    with proftpd(tmp_path / "proftpd", overwrite=False) as server:
        for name in ("old", "new"):
            (server.data / name).write_text(name)
        async with store(server).opened() as connector:
            async with asyncio.TaskGroup() as tasks:
                full = cast("FullConnector", connector)
                move = tasks.create_task(full.move("new", "", "old", replace=True))
                await aside.wait()
                assert sorted(os.listdir(server.data))[0].startswith(".isthmus-")
                move.cancel()
            assert move.cancelled()
        assert os.listdir(server.data) == ["old"]
        assert (server.data / "old").read_text() == "new"


async def test_an_error_of_the_source_is_passed_on_as_it_is(either: Proftpd | Vsftpd) -> None:
    """Although it is one that we explain when it is the store's."""
    at = folder(either)
    error = NotFound("the other account's file is gone")

    async def breaking() -> AsyncIterator[bytes]:
        yield b"a" * 300_000
        raise error

    async with store(either).opened() as connector:
        with pytest.raises(NotFound) as told:
            await connector.write(at, "name", breaking(), size=None, replace=False)
        assert told.value is error
        assert os.listdir(either.data / at) == []
        await connector.stat(at)


async def test_a_folder_is_never_replaced(either: Proftpd | Vsftpd) -> None:
    """rename(2) would put a folder in an empty one's place."""
    at = folder(either)
    async with store(either).opened() as connector:
        full = cast("FullConnector", connector)
        for name in ("one", "two"):
            await full.mkdir(at, name)
        await put(full, at, "file")
        for source, name in (("one", "two"), ("file", "two"), ("one", "file")):
            with pytest.raises(AlreadyExists):
                await full.move(f"{at}/{source}", at, name, replace=True)
        with pytest.raises(StoreError):
            await full.move(f"{at}/one", f"{at}/one", "below itself")
        assert await names(full, at) == ["file", "one", "two"]
