"""What only the local connector has: a root that nothing leads out of."""

import asyncio
import os
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import names, pieces, put, whole
from connectors.interface import Connector, NotFound, NotPermitted, OutOfSpace, StoreError
from connectors.local import LocalConnector


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("not yours")
    return made


@pytest.fixture
async def connector(root: Path) -> AsyncIterator[Connector]:
    async with Store(LocalConnector, {"root": str(root)}, Direct()).opened() as connector:
        yield connector


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own there. Needs root."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("target", ["../outside", "../outside/secret", "/etc/passwd", "inside", "."])
async def test_links_are_neither_listed_nor_followed(connector: Connector, root: Path, target: str) -> None:
    (root / "inside").mkdir()
    (root / "link").symlink_to(target)
    assert await names(connector, "") == ["inside"]
    for verb in (
        connector.stat("link"),
        connector.read("link"),
        connector.list("link", None, 9),
        connector.read("link/secret"),
        connector.stat("link/secret"),
        put(connector, "link", "file"),
        connector.delete("link/secret"),
    ):
        with pytest.raises(NotFound):
            await verb
    assert (root.parent / "outside" / "secret").read_text() == "not yours"
    assert sorted(os.listdir(root.parent / "outside")) == ["secret"]


async def test_removing_a_tree_spares_what_links_lead_to(connector: Connector, root: Path) -> None:
    (root / "tree").mkdir()
    (root / "tree" / "link").symlink_to("../../outside")
    await connector.delete("tree", recursive=True)
    assert not (root / "tree").exists()
    assert (root.parent / "outside" / "secret").exists()


async def test_a_folder_swapped_for_a_link_while_it_is_used(connector: Connector, root: Path) -> None:
    """Reads race with somebody who swaps the folder for a link to the outside: never the outside's bytes."""
    (root / "real").mkdir()
    (root / "real" / "secret").write_text("mine")
    (root / "real").rename(root / "kept")
    stop = False

    def swap() -> None:
        while not stop:
            os.symlink("../outside", root / "folder")
            os.unlink(root / "folder")
            os.rename(root / "kept", root / "folder")
            os.rename(root / "folder", root / "kept")

    seen: set[bytes] = set()
    async with asyncio.TaskGroup() as tasks:
        swapping = tasks.create_task(asyncio.to_thread(swap))
        for _ in range(2000):
            try:
                seen.add(await whole(connector, "folder/secret"))
            except NotFound:
                continue
        stop = True
        await swapping
    assert seen == {b"mine"}


async def test_pipes_and_sockets_do_not_block(connector: Connector, root: Path) -> None:
    os.mkfifo(root / "pipe")
    async with asyncio.timeout(5):
        for verb in (connector.stat("pipe"), connector.read("pipe")):
            with pytest.raises(NotFound):
                await verb
    assert await names(connector, "") == []


async def test_a_root_that_is_gone(connector: Connector, root: Path) -> None:
    root.rmdir()
    with pytest.raises(StoreError) as told:
        await connector.list("", None, 9)
    assert str(root) not in str(told.value)


async def test_a_full_disk(connector: Connector, root: Path) -> None:
    """A real one: a file system of 1 MiB."""
    with mounted(root, "size=1m"):
        with pytest.raises(OutOfSpace):
            await connector.write("", "large", pieces(b"x" * 3_000_000), size=None, replace=False)
        assert os.listdir(root) == []
        await put(connector, "", "small", b"fits again")


async def test_a_read_only_folder(connector: Connector, root: Path) -> None:
    with mounted(root, "ro"), pytest.raises(NotPermitted):
        await put(connector, "", "file")


async def test_new_files_have_the_mode_that_the_mask_gives(connector: Connector, root: Path) -> None:
    await put(connector, "", "file")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((root / "file").stat().st_mode) == 0o666 & ~mask


async def test_names_that_are_no_utf8(connector: Connector, root: Path) -> None:
    (Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.txt"))).write_text("latin-1")
    name = (await names(connector, ""))[0]
    assert await whole(connector, name) == b"latin-1"
