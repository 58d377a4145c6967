"""Who is let in, and to which share; servers that are none."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from connectors.conformance.kit import FullConnector, put, whole
from connectors.interface import (
    BadAnswer,
    BadCredential,
    Kind,
    NotFound,
    NotPermitted,
    StoreError,
    TimedOut,
    Unavailable,
    Unsupported,
)
from connectors.smb import SmbSettings
from tests.connectors.smb.stores import store, threads, until
from tests.servers.samba import Samba, samba
from tests.servers.sshd import free_port


def test_a_root_is_in_a_share() -> None:
    with pytest.raises(ValidationError, match="give the share too"):
        SmbSettings(host="h", username="u", password="p", root="x")  # type: ignore[arg-type]  # as JSON has it
    for changes in ({"share": "a/b"}, {"share": "a", "root": "../b"}, {"share": "a", "root": "b//c"}):
        with pytest.raises(ValidationError):
            SmbSettings.model_validate({"host": "h", "username": "u", "password": "p", **changes})
    known = {"host": "h", "username": "u", "password": "p", "share": "/a/", "root": "\\b\\c\\"}
    settings = SmbSettings.model_validate(known)
    assert (settings.share, settings.root, settings.display_name()) == ("a", "b/c", "u@h/a")


@pytest.mark.parametrize(
    "changes", [{"password": "wrong"}, {"username": "nobody-here"}], ids=["password", "user"]
)
async def test_a_wrong_credential(server: Samba, changes: dict[str, Any]) -> None:
    async with store(server, **changes).opened() as connector:
        for _ in range(2):
            with pytest.raises(BadCredential, match="does not accept") as told:
                await connector.stat("")
            assert "wrong" not in str(told.value)


async def test_a_domain_is_told_to_the_server(server: Samba) -> None:
    async with store(server, domain="OFFICE").opened() as connector:
        assert (await connector.stat("")).kind is Kind.FOLDER


async def test_a_guest_is_no_login(tmp_path: Path) -> None:
    extra = "map to guest = bad user\nguest account = nobody\n"
    with samba(tmp_path / "samba", extra=extra, shares={"share": ("guest ok = yes",)}) as server:
        async with store(server, username="nobody-here").opened() as connector:
            with pytest.raises(BadCredential, match="guest"):
                await connector.stat("")


@pytest.mark.parametrize(
    ("share", "error", "said"),
    [
        ("nothing", NotFound, "no share of this name"),
        ("closed", NotPermitted, "does not permit"),
        ("namespace", Unsupported, "DFS"),
    ],
)
async def test_a_share_that_is_not_ours(
    server: Samba, share: str, error: type[StoreError], said: str
) -> None:
    async with store(server, share=share).opened() as connector:
        with pytest.raises(error, match=said):
            await connector.stat("")


async def test_a_read_only_share(server: Samba, folder: str) -> None:
    (server.data / folder / "file").write_text("kept")
    async with store(server, share="readonly").opened() as connector:
        full = cast("FullConnector", connector)
        for verb in (put(full, folder, "new"), full.delete(f"{folder}/file"), full.mkdir(folder, "new")):
            with pytest.raises(NotPermitted):
                await verb
        assert await whole(full, f"{folder}/file") == b"kept"


async def test_nothing_listens(server: Samba) -> None:
    async with store(server, port=free_port()).opened() as connector:
        with pytest.raises(Unavailable) as told:
            await connector.stat("")
        assert "127.0.0.1" not in str(told.value)


@pytest.mark.parametrize(
    "greeting", [b"220 this is FTP\r\n", b"\0\0\0\x50" + b"x" * 80, b""], ids=["text", "noise", "nothing"]
)
async def test_something_else_listens(server: Samba, greeting: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read(10)
        writer.close()

    other = await asyncio.start_server(talk, "127.0.0.1")
    port = other.sockets[0].getsockname()[1]
    async with other, store(server, port=port, idle_timeout=2.0).opened() as connector:
        with pytest.raises((BadAnswer, Unavailable)):
            await connector.stat("")


async def test_a_server_that_says_nothing(server: Samba) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    other = await asyncio.start_server(silent, "127.0.0.1")
    port = other.sockets[0].getsockname()[1]
    async with other, store(server, port=port, idle_timeout=0.5).opened() as connector:
        with pytest.raises(TimedOut):
            await connector.stat("")
        await until(lambda: threads() == 0)


async def test_an_older_dialect_is_refused(tmp_path: Path) -> None:
    with samba(tmp_path / "samba", extra="server max protocol = SMB3_02\n") as server:
        async with store(server).opened() as connector:
            with pytest.raises(Unsupported, match=r"SMB 3\.1\.1"):
                await connector.stat("")


async def test_encryption_that_the_server_does_not_offer(tmp_path: Path) -> None:
    with samba(tmp_path / "samba", extra="server smb encrypt = off\n", shares={"share": ()}) as server:
        async with store(server, encryption=True).opened() as connector:
            with pytest.raises(Unsupported, match="encryption"):
                await connector.stat("")
        async with store(server).opened() as connector:
            await connector.stat("")
