"""Names and places: no command, no text, another encoding, links."""

import os
from typing import cast

import pytest

from connectors.conformance.kit import FullConnector, names, put, whole
from connectors.interface import (
    InvalidName,
    Kind,
    NotFound,
    NotPermitted,
)
from tests.connectors.ftp.stores import folder, store
from tests.servers.proftpd import Proftpd
from tests.servers.vsftpd import Vsftpd

pytestmark = pytest.mark.server


@pytest.mark.parametrize("name", ["a\r\nDELE victim", "a\nb", "a\rb", "\ud800"])
async def test_a_name_is_never_a_command(either: Proftpd | Vsftpd, name: str) -> None:
    at = folder(either)
    async with store(either).opened() as connector:
        full = cast("FullConnector", connector)
        await put(full, at, "victim", b"bytes")
        before = either.commands().count("DELE")
        for verb in (
            put(full, at, name),
            full.mkdir(at, name),
            full.move(f"{at}/victim", at, name),
        ):
            with pytest.raises(InvalidName):
                await verb
        for look in (
            full.stat(f"{at}/{name}"),
            full.list(f"{at}/{name}", None, 10),
            full.read(f"{at}/{name}"),
            full.delete(f"{at}/{name}", recursive=True),
            put(full, f"{at}/{name}", "x"),
        ):
            with pytest.raises(NotFound):
                await look
        assert either.commands().count("DELE") == before
        assert await names(full, at) == ["victim"]


@pytest.mark.parametrize("name", [" in front", "behind ", "  both  ", "-a", "~", "[a-z]"])
async def test_folders_with_odd_names(either: Proftpd | Vsftpd, name: str) -> None:
    at = folder(either)
    async with store(either).opened() as connector:
        full = cast("FullConnector", connector)
        made = await full.mkdir(at, name)
        await put(full, made.raw_id, name, b"bytes")
        assert await names(full, at) == [name]
        assert await names(full, made.raw_id) == [name]
        assert await whole(full, f"{made.raw_id}/{name}") == b"bytes"
        await full.delete(made.raw_id, recursive=True)


async def test_names_in_another_encoding(lines: Vsftpd) -> None:
    at = folder(lines)
    os.close(os.open(os.fsencode(lines.data / at) + b"/Gr\xfc\xdfe", os.O_CREAT))
    async with store(lines, encoding="cp1252").opened() as connector:
        assert await names(connector, at) == ["Grüße"]
        assert (await connector.stat(f"{at}/Grüße")).size == 0
        with pytest.raises(InvalidName):
            await put(connector, at, "世界")


async def test_names_that_are_no_text(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    os.close(os.open(os.fsencode(either.data / at) + b"/Gr\xfc\xdfe", os.O_CREAT))
    async with store(either).opened() as connector:
        (name,) = await names(connector, at)
        assert name.encode("utf-8", "surrogateescape") == b"Gr\xfc\xdfe"
        await connector.delete(f"{at}/{name}")
    assert os.listdir(either.data / at) == []


async def test_a_name_that_is_too_long_for_the_server(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    async with store(either).opened() as connector:
        full = cast("FullConnector", connector)
        for verb in (put(full, at, "n" * 256), full.mkdir(at, "n" * 256)):
            with pytest.raises(InvalidName):
                await verb
        assert os.listdir(either.data / at) == []


async def test_roots(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    (either.data / at / "inside").mkdir()
    (either.data / at / "inside/file").write_text("bytes")
    for root in (f"{at}/inside", f"{either.data}/{at}/inside", f"{either.data}/{at}/inside/"):
        async with store(either, root=root).opened() as connector:
            assert await names(connector, "") == ["file"]
            assert await whole(connector, "file") == b"bytes"
    async with store(either, root="nowhere").opened() as connector:
        with pytest.raises(NotFound):
            await connector.stat("")
    async with store(either, root=f"{at}/inside/file").opened() as connector:
        with pytest.raises(NotFound):
            await connector.stat("")
    async with store(either).opened() as connector:
        with pytest.raises(NotPermitted):
            await connector.delete("", recursive=True)
        with pytest.raises(NotFound):
            await cast("FullConnector", connector).move("", at, "root")


async def test_links_are_not_listed_and_not_followed_by_removing(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    (either.data / at / "kept").mkdir()
    (either.data / at / "kept/file").write_text("bytes")
    (either.data / at / "tree").mkdir()
    (either.data / at / "tree/link").symlink_to("../kept")
    async with store(either).opened() as connector:
        assert await names(connector, f"{at}/tree") == []
        await connector.delete(f"{at}/tree", recursive=True)
        assert await names(connector, at) == ["kept"]
        assert await whole(connector, f"{at}/kept/file") == b"bytes"


async def test_a_listing_says_what_stat_says(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    async with store(either).opened() as connector:
        full = cast("FullConnector", connector)
        for number in range(40):  # more than are asked for at a time
            await put(full, at, f"file {number:02}", b"x" * number)
            os.utime(either.data / at / f"file {number:02}", (1_000_000_000 + number, 1_000_000_000 + number))
        await full.mkdir(at, "folder")
        listed = (await full.list(at, None, 100)).entries
        assert len(listed) == 41
        for entry in listed:
            assert entry == await full.stat(entry.raw_id)
        first = listed[0]
        assert first.modified is not None
        assert first.modified.timestamp() == 1_000_000_000
        assert len({entry.etag for entry in listed if entry.kind is Kind.FILE}) == 40
