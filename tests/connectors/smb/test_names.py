"""Shares and names: hidden, in any case, too long, short, deep."""

import os
from pathlib import Path
from typing import cast

import pytest

from connectors.conformance.kit import FullConnector, names, put, whole
from connectors.interface import (
    AlreadyExists,
    InvalidName,
    Kind,
    NotAFolder,
    NotFound,
    NotPermitted,
    Unsupported,
)
from tests.connectors.smb.stores import store
from tests.servers.samba import Samba, samba


async def test_without_a_share_the_root_has_them_all(server: Samba, folder: str) -> None:
    async with store(server, share="").opened() as connector:
        full = cast("FullConnector", connector)
        found = ["closed", "encrypted", "namespace", "readonly", "share"]
        assert await names(full, "") == found
        assert await names(full, "", limit=2) == found
        root, share = await full.stat(""), await full.stat("share")
        assert (root.raw_id, root.kind, root.parent) == ("", Kind.FOLDER, None)
        assert (share.raw_id, share.name, share.kind, share.parent) == ("share", "share", Kind.FOLDER, "")
        entry = await put(full, f"encrypted/{folder}", "file", b"bytes")
        assert (entry.raw_id, entry.parent) == (f"encrypted/{folder}/file", f"encrypted/{folder}")
        assert await whole(full, f"share/{folder}/file") == b"bytes"
        copied = await full.copy(entry.raw_id, f"share/{folder}", "copied")
        assert await whole(full, copied.raw_id) == b"bytes"
        with pytest.raises(Unsupported, match="copy it"):
            await full.move(entry.raw_id, f"share/{folder}", "moved")
        with pytest.raises(Unsupported, match="DFS"):
            await full.stat("namespace")
        with pytest.raises(NotPermitted):
            await full.list("closed", None, 10)
        for hidden in ("hidden$", "IPC$", "ipc$/srvsvc"):
            with pytest.raises(NotFound):
                await full.stat(hidden)
        with pytest.raises(Unsupported):
            await put(full, "", "file")
        with pytest.raises(Unsupported):
            await full.quota()
        with pytest.raises(NotPermitted):
            await full.delete("share", recursive=True)
        with pytest.raises(NotAFolder):
            await full.read("")


async def test_more_shares_than_one_answer_holds(tmp_path: Path) -> None:
    wanted = [f"share number {number:03} with a long name" for number in range(300)]
    with samba(tmp_path / "samba", shares=dict.fromkeys(wanted, ())) as server:
        async with store(server, share="").opened() as connector:
            assert await names(connector, "") == wanted


async def test_a_hidden_share_can_be_named(server: Samba) -> None:
    async with store(server, share="hidden$").opened() as connector:
        await connector.stat("")


async def test_an_entry_has_one_id_in_any_case(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        await full.mkdir(folder, "Documents")
        entry = await put(full, f"{folder.upper()}/DOCUMENTS", "ReadMe.TXT", b"hello")
        assert entry.raw_id == f"{folder}/Documents/ReadMe.TXT"
        assert await full.stat(f"{folder}/documents/README.txt") == entry
        opened = await full.read(f"{folder}/documents/README.txt")
        assert opened.entry == entry
        assert b"".join([piece async for piece in opened.chunks]) == b"hello"
        (listed,) = (await full.list(f"{folder}/documents", None, 10)).entries
        assert (listed, listed.etag) == (entry, entry.etag)
        with pytest.raises(AlreadyExists):
            await put(full, f"{folder}/documents", "readme.txt")
        renamed = await full.move(entry.raw_id, f"{folder}/documents", "README.txt", replace=True)
        assert renamed.name == "README.txt"
        assert (await full.move(f"{folder}/Documents", folder, "DOCUMENTS")).name == "DOCUMENTS"


@pytest.mark.parametrize(
    "name", ["dot.", "space ", "a:stream", "star*", "tab\t", "n" * 256, "ü" * 256, "\ud800"]
)
async def test_names_that_smb_can_not_hold(server: Samba, folder: str, name: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        entry = await put(full, folder, "a", b"bytes")
        for verb in (
            put(full, folder, name),
            full.mkdir(folder, name),
            full.move(entry.raw_id, folder, name),
            full.copy(entry.raw_id, folder, name),
            full.begin_upload(folder, name, size=None, replace=False),
        ):
            with pytest.raises(InvalidName):
                await verb
        with pytest.raises(NotFound):
            await full.stat(f"{folder}/{name}")
        with pytest.raises(NotFound):
            await full.delete(f"{folder}/{name}", recursive=True)
        assert await names(full, folder) == ["a"]


async def test_what_smb_can_not_name_has_a_short_name(server: Samba, folder: str) -> None:
    (server.data / folder / "a:b?.txt").write_bytes(b"made on Linux")
    async with store(server).opened() as connector:
        (listed,) = (await connector.list(folder, None, 10)).entries
        assert "~" in listed.name
        assert await connector.stat(listed.raw_id) == listed
        assert await whole(connector, listed.raw_id) == b"made on Linux"
        await connector.delete(listed.raw_id)
    assert os.listdir(server.data / folder) == []


async def test_a_name_that_is_too_long_for_this_server(server: Samba, folder: str) -> None:
    """255 characters are a name for SMB; the file system below Samba counts bytes."""
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        with pytest.raises(InvalidName):
            await put(full, folder, "ü" * 200)
        with pytest.raises(InvalidName):
            await full.mkdir(folder, "ü" * 200)
        with pytest.raises(NotFound):
            await full.stat(f"{folder}/{'ü' * 200}")
        assert await names(full, folder) == []


async def test_deep_paths(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        at = folder
        for _ in range(15):
            at = (await full.mkdir(at, "n" * 250)).raw_id
        entry = await put(full, at, "file", b"deep")
        assert len(entry.raw_id) > 3750
        assert await whole(full, entry.raw_id) == b"deep"
        with pytest.raises(NotFound):
            await full.stat(f"{at}/" * 12 + "x")
        await full.delete(f"{folder}/{'n' * 250}", recursive=True)
        assert await names(full, folder) == []


async def test_what_is_in_a_folder_of_many(server: Samba, folder: str) -> None:
    wanted = sorted(f"file {number:05} of many" for number in range(12_000))
    for name in wanted:
        (server.data / folder / name).touch()
    async with store(server).opened() as connector:
        assert await names(connector, folder, limit=5000) == wanted
        await connector.delete(folder, recursive=True)
        assert not (server.data / folder).exists()
