"""What only the local connector has: a root that nothing leads out of."""

import asyncio
import os
import stat
import subprocess
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import names, pieces, put, whole
from connectors.interface import (
    InvalidName,
    NotFound,
    NotPermitted,
    OutOfSpace,
    Part,
    Permission,
    PreconditionFailed,
    Role,
    StoreError,
    TimedOut,
    Unavailable,
    Unsupported,
    Who,
)
from connectors.local import LocalConnector
from connectors.local.threads import Threads
from tests.connectors.leaving import CONTENT, VERBS, let_go, nothing_left
from tests.servers.open_files import open_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("not yours")
    return made


@pytest.fixture
async def connector(root: Path) -> AsyncIterator[LocalConnector]:
    async with Store(LocalConnector, {"root": str(root)}, Direct()).opened() as connector:
        assert isinstance(connector, LocalConnector)
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
async def test_links_are_neither_listed_nor_followed(
    connector: LocalConnector, root: Path, target: str
) -> None:
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


async def test_removing_a_tree_spares_what_links_lead_to(connector: LocalConnector, root: Path) -> None:
    (root / "tree").mkdir()
    (root / "tree" / "link").symlink_to("../../outside")
    await connector.delete("tree", recursive=True)
    assert not (root / "tree").exists()
    assert (root.parent / "outside" / "secret").exists()


async def test_a_folder_swapped_for_a_link_while_it_is_used(connector: LocalConnector, root: Path) -> None:
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


async def test_pipes_and_sockets_do_not_block(connector: LocalConnector, root: Path) -> None:
    os.mkfifo(root / "pipe")
    async with asyncio.timeout(5):
        for verb in (connector.stat("pipe"), connector.read("pipe")):
            with pytest.raises(NotFound):
                await verb
    assert await names(connector, "") == []


async def test_a_root_that_is_gone(connector: LocalConnector, root: Path) -> None:
    root.rmdir()
    with pytest.raises(StoreError) as told:
        await connector.list("", None, 9)
    assert str(root) not in str(told.value)


async def test_a_full_disk(connector: LocalConnector, root: Path) -> None:
    """A real one: a file system of 1 MiB."""
    with mounted(root, "size=1m"):
        with pytest.raises(OutOfSpace):
            await connector.write("", "large", pieces(b"x" * 3_000_000), size=None, replace=False)
        assert os.listdir(root) == []
        await put(connector, "", "small", b"fits again")


async def test_a_read_only_folder(connector: LocalConnector, root: Path) -> None:
    with mounted(root, "ro"), pytest.raises(NotPermitted):
        await put(connector, "", "file")


async def test_new_files_have_the_mode_that_the_mask_gives(connector: LocalConnector, root: Path) -> None:
    await put(connector, "", "file")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((root / "file").stat().st_mode) == 0o666 & ~mask


async def test_names_that_are_no_utf8(connector: LocalConnector, root: Path) -> None:
    (Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.txt"))).write_text("latin-1")
    name = (await names(connector, ""))[0]
    assert await whole(connector, name) == b"latin-1"


# copies


async def test_a_copied_folder_has_no_links_and_no_unfinished_uploads(
    connector: LocalConnector, root: Path
) -> None:
    (root / "tree" / "below").mkdir(parents=True)
    (root / "tree" / "below" / "program").write_text("#!/bin/sh")
    (root / "tree" / "below" / "program").chmod(0o750)
    (root / "tree" / "link").symlink_to("../../outside")
    (root / "tree" / ".isthmus-unfinished").write_text("half")
    os.mkfifo(root / "tree" / "pipe")
    await connector.copy("tree", "", "copy")
    found = sorted(str(path.relative_to(root / "copy")) for path in (root / "copy").rglob("*"))
    assert found == ["below", "below/program"]
    assert stat.S_IMODE((root / "copy" / "below" / "program").stat().st_mode) == 0o750


async def test_a_copy_of_a_link_is_refused(connector: LocalConnector, root: Path) -> None:
    (root / "link").symlink_to("../outside/secret")
    with pytest.raises(NotFound):
        await connector.copy("link", "", "copy")
    assert os.listdir(root) == ["link"]


@pytest.mark.parametrize("to", ["tree", "tree/below"])
async def test_a_folder_is_not_copied_into_itself(connector: LocalConnector, root: Path, to: str) -> None:
    (root / "tree" / "below").mkdir(parents=True)
    with pytest.raises(InvalidName):
        await connector.copy("tree", to, "copy")
    assert os.listdir(root / "tree") == ["below"]


async def test_a_cancelled_copy_leaves_nothing(connector: LocalConnector, root: Path) -> None:
    (root / "tree").mkdir()
    for number in range(3000):
        (root / "tree" / str(number)).write_bytes(b"x")
    async with asyncio.TaskGroup() as tasks:
        copy = tasks.create_task(connector.copy("tree", "", "copy"))
        async with asyncio.timeout(10):
            while len(os.listdir(root)) == 1:
                await asyncio.sleep(0)
        assert not (root / "copy").exists()
        copy.cancel()
    assert copy.cancelled()
    assert os.listdir(root) == ["tree"]


async def test_a_copy_across_file_systems_and_onto_a_full_one(connector: LocalConnector, root: Path) -> None:
    content = os.urandom(3_000_000)
    (root / "file").write_bytes(content)
    (root / "mounted").mkdir()
    with mounted(root / "mounted", "size=8m"):
        await connector.copy("file", "mounted", "copy")
        assert (root / "mounted" / "copy").read_bytes() == content
        await connector.copy("file", "mounted", "second")
        with pytest.raises(OutOfSpace):
            await connector.copy("file", "mounted", "third")
        assert sorted(os.listdir(root / "mounted")) == ["copy", "second"]


# uploads in parts


async def test_a_part_reaches_into_no_other(connector: LocalConnector, root: Path) -> None:
    upload = await connector.begin_upload("", "file", size=None, replace=False)
    size = upload.part_size
    await connector.write_part(upload.state, 2, pieces(b"end"), size=3)
    for declared, sent in ((10, 11), (10, 9)):
        with pytest.raises(PreconditionFailed):
            await connector.write_part(upload.state, 1, pieces(b"x" * sent), size=declared)
    with pytest.raises(PreconditionFailed):
        await connector.write_part(upload.state, 1, pieces(b"x"), size=size + 1)
    with pytest.raises(PreconditionFailed, match="part 1"):
        await connector.complete_upload(upload.state, [Part(2, 3, "3")])
    await connector.write_part(upload.state, 1, pieces(b"y" * size), size=size)
    await connector.complete_upload(upload.state, [Part(1, size, str(size)), Part(2, 3, "3")])
    assert (root / "file").read_bytes() == b"y" * size + b"end"


async def test_parts_that_were_never_written_make_no_file(connector: LocalConnector, root: Path) -> None:
    upload = await connector.begin_upload("", "file", size=None, replace=False)
    with pytest.raises(PreconditionFailed):
        await connector.complete_upload(upload.state, [Part(1, 100, "100")])
    assert not (root / "file").exists()
    await connector.abandon_upload(upload.state)
    assert os.listdir(root) == []


async def test_an_upload_does_not_follow_a_link_in_its_place(connector: LocalConnector, root: Path) -> None:
    """Somebody swaps the hidden file for a link to the outside."""
    upload = await connector.begin_upload("", "file", size=None, replace=False)
    hidden = next(root.iterdir())
    hidden.unlink()
    hidden.symlink_to("../outside/secret")
    with pytest.raises(NotFound):
        await connector.write_part(upload.state, 1, pieces(b"mine now"), size=8)
    assert (root.parent / "outside" / "secret").read_text() == "not yours"


# permissions, room


async def test_permissions_are_mode_bits(connector: LocalConnector, root: Path) -> None:
    await connector.mkdir("", "folder")
    (root / "folder").chmod(0o700)
    await connector.set_permissions("folder", [Permission(Who.ANYONE, Role.READER)], replace=False)
    assert stat.S_IMODE((root / "folder").stat().st_mode) == 0o705
    for stranger in (Permission(Who.USER, Role.READER, "daemon"), Permission(Who.GROUP, Role.READER, "bin")):
        with pytest.raises(Unsupported):
            await connector.set_permissions("folder", [stranger], replace=True)
    assert stat.S_IMODE((root / "folder").stat().st_mode) == 0o705


async def test_permissions_do_not_pass_through_a_link(connector: LocalConnector, root: Path) -> None:
    secret = root.parent / "outside" / "secret"
    secret.chmod(0o600)
    (root / "link").symlink_to("../outside/secret")
    with pytest.raises(NotFound):
        await connector.set_permissions("link", [Permission(Who.ANYONE, Role.READER)], replace=False)
    with pytest.raises(FileNotFoundError):
        connector._tree.chmod(["link"], 0o644)  # the link came between the look and the change
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


async def test_the_quota_is_the_file_systems(connector: LocalConnector, root: Path) -> None:
    with mounted(root, "size=8m"):
        await put(connector, "", "file", b"x" * 1_000_000)
        quota = await connector.quota()
    assert quota.total == 8 * 1024 * 1024
    assert quota.used is not None
    assert 1_000_000 <= quota.used < 1_100_000
    assert quota.free == quota.total - quota.used


async def test_a_closed_account_says_so(root: Path) -> None:
    async with Store(LocalConnector, {"root": str(root)}, Direct()).opened() as connector:
        pass
    with pytest.raises(Unavailable):
        await connector.stat("")


# threads


async def test_a_call_that_began_is_waited_for_when_its_caller_is_cancelled() -> None:
    """It may be using a descriptor that the caller closes next."""
    threads = Threads(5.0)
    began, go, ended = threading.Event(), threading.Event(), threading.Event()

    def act() -> None:
        began.set()
        go.wait(5)
        ended.set()

    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(threads.run(act))
        await asyncio.to_thread(began.wait)
        calling.cancel()
        await asyncio.wait([calling], timeout=0.1)
        assert not calling.done()
        go.set()
    assert calling.cancelled()
    assert ended.is_set()
    threads.close()


async def test_a_dead_mount_is_given_up() -> None:
    threads, go = Threads(0.1), threading.Event()
    with pytest.raises(TimedOut):
        await threads.run(lambda: go.wait(5))
    assert await threads.run(lambda: "another thread") == "another thread"
    go.set()
    threads.close()


async def test_what_comes_when_nobody_waits_any_more_is_closed(tmp_path: Path) -> None:
    """By a caller that was cancelled, and by one that gave up."""
    opened: list[int] = []
    for within, cancelled in ((5.0, True), (0.1, False)):
        threads, began, go = Threads(within), threading.Event(), threading.Event()

        def act(began: threading.Event = began, go: threading.Event = go) -> int:
            began.set()
            go.wait(5)
            opened.append(os.open(tmp_path, os.O_RDONLY))
            return opened[-1]

        async with asyncio.TaskGroup() as tasks:
            running = threads.run(act, os.close)
            calling = tasks.create_task(outcome(running))
            await asyncio.to_thread(began.wait)
            if cancelled:
                calling.cancel()
            else:
                assert isinstance(await calling, TimedOut)
            go.set()
        assert calling.cancelled() == cancelled
        async with asyncio.timeout(5):
            while not opened or open_files(tmp_path.parent, [os.getpid()]):
                await asyncio.sleep(0.01)
        opened.clear()
        threads.close()


async def outcome(act: Coroutine[Any, Any, object]) -> object:
    try:
        return await act
    except StoreError as error:
        return error


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_at_any_moment_nothing_stays_open(
    connector: LocalConnector, root: Path, turns: int
) -> None:
    (root / "file").write_bytes(CONTENT)
    for verb in VERBS.values():
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(verb(connector))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
        await let_go(connector, task)
        await nothing_left(root, lambda: open_files(root, [os.getpid()]))
