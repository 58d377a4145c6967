"""What only SMB has: logging in, shares, names without case, files in use, one connection for all."""

import asyncio
import os
import secrets
import signal
import subprocess
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from pydantic import ValidationError
from smbprotocol.connection import Connection
from smbprotocol.open import Open
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, names, pieces, put, whole
from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    BadCredential,
    BadSpan,
    InvalidName,
    Kind,
    NotAFolder,
    NotFound,
    NotPermitted,
    OutOfSpace,
    Part,
    PreconditionFailed,
    StoreError,
    TimedOut,
    Unavailable,
    Unsupported,
)
from connectors.smb import SmbConnector, SmbSettings
from tests.servers.samba import Samba, samba
from tests.servers.sshd import free_port

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    with samba(tmp_path_factory.mktemp("samba")) as server:
        yield server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Samba]:
    """A server of the test's own, to do harm to."""
    with samba(tmp_path / "samba") as server:
        yield server


@pytest.fixture
def folder(server: Samba) -> str:
    name = f"test-{secrets.token_hex(6)}"
    (server.data / name).mkdir()
    return name


def store(server: Samba, *, idle_timeout: float = 10.0, **changes: Any) -> Store:
    known = {
        "host": "127.0.0.1",
        "port": server.port,
        "share": "share",
        "username": server.user,
        "password": server.password,
    }
    return Store(SmbConnector, {**known, **changes}, Direct(), idle_timeout)


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


def threads() -> int:
    """How many threads the connector's connections have."""
    return sum(thread.name.startswith(("smb", "msg_worker")) for thread in threading.enumerate())


@contextmanager
def another_program(server: Samba, path: str, access: int, sharing: int) -> Iterator[Open]:
    """The file, open in another client."""
    connection = Connection(uuid4(), "127.0.0.1", server.port)
    connection.connect()
    try:
        session = Session(connection, server.user, server.password, False, auth_protocol="ntlm")
        session.connect()
        tree = TreeConnect(session, r"\\127.0.0.1\share")
        tree.connect()
        opened = Open(tree, path.replace("/", "\\"))
        opened.create(2, access, 0, sharing, 1, 0)
        yield opened
    finally:
        connection.disconnect()


# settings


def test_a_root_is_in_a_share() -> None:
    with pytest.raises(ValidationError, match="give the share too"):
        SmbSettings(host="h", username="u", password="p", root="x")  # type: ignore[arg-type]  # as JSON has it
    for changes in ({"share": "a/b"}, {"share": "a", "root": "../b"}, {"share": "a", "root": "b//c"}):
        with pytest.raises(ValidationError):
            SmbSettings.model_validate({"host": "h", "username": "u", "password": "p", **changes})
    known = {"host": "h", "username": "u", "password": "p", "share": "/a/", "root": "\\b\\c\\"}
    settings = SmbSettings.model_validate(known)
    assert (settings.share, settings.root, settings.display_name()) == ("a", "b/c", "u@h/a")


# logging in


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


# every share


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


# names


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


# files in use


async def test_a_file_that_another_program_has_open(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        entry = await put(full, folder, "file", b"bytes")
        with another_program(server, entry.raw_id, access=3, sharing=0):
            for verb in (
                full.read(entry.raw_id),
                full.delete(entry.raw_id),
                full.move(entry.raw_id, folder, "moved"),
                full.copy(entry.raw_id, folder, "copied"),
            ):
                with pytest.raises(NotPermitted, match="another program has the file open"):
                    await verb
            assert (await full.stat(entry.raw_id)).etag == entry.etag
        await full.move(entry.raw_id, folder, "moved")
        assert await names(full, folder) == ["moved"]


async def test_a_part_of_a_file_that_another_program_has_locked(server: Samba, folder: str) -> None:
    from smbprotocol.open import LockFlags, SMB2LockElement

    async with store(server).opened() as connector:
        entry = await put(connector, folder, "file", b"b" * 3 * MIB)
        with another_program(server, entry.raw_id, access=3, sharing=7) as opened:
            lock = SMB2LockElement()
            lock["offset"], lock["length"] = 2 * MIB, 10
            lock["flags"] = LockFlags.SMB2_LOCKFLAG_EXCLUSIVE_LOCK | LockFlags.SMB2_LOCKFLAG_FAIL_IMMEDIATELY
            opened.lock([lock])
            with pytest.raises(NotPermitted, match="locked"):
                await whole(connector, entry.raw_id)
        assert len(await whole(connector, entry.raw_id)) == 3 * MIB


async def test_a_file_that_changes_while_it_is_read(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        entry = await put(connector, folder, "file", b"a" * 8 * MIB)
        opened = await connector.read(entry.raw_id)
        read = len(await anext(opened.chunks))
        with (server.data / folder / "file").open("r+b") as file:
            file.write(b"b")

        async def rest() -> None:
            nonlocal read
            async for piece in opened.chunks:
                read += len(piece)

        with pytest.raises(PreconditionFailed):
            await rest()
        assert read < 8 * MIB
        assert (await connector.stat(entry.raw_id)).etag != entry.etag


async def test_a_full_disk(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("a disk that is full has to be mounted, which needs root")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=True)
    try:
        with samba(tmp_path / "samba", shares={"share": (f"path = {small}",)}) as server:
            async with store(server).opened() as connector:
                full = cast("FullConnector", connector)
                assert (await full.quota()).total == 4 * MIB
                entry = await put(full, "", "one", b"1" * 2 * MIB)
                with pytest.raises(OutOfSpace):
                    await put(full, "", "two", b"2" * 6 * MIB)
                await full.copy(entry.raw_id, "", "copy")
                with pytest.raises(OutOfSpace):
                    await full.copy(entry.raw_id, "", "another")
                assert await names(full, "") == ["copy", "one"]
                assert sorted(os.listdir(small)) == ["copy", "one"]
                assert (await full.quota()).free == 0
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


# the connection, which all transfers of an account share


async def test_a_reader_that_is_cancelled_lets_the_file_go_and_the_others_read_on(
    server: Samba, folder: str
) -> None:
    content = os.urandom(24 * MIB)
    async with store(server).opened() as connector:
        for name in ("left", "read"):
            await put(connector, folder, name, content)
        first_piece = asyncio.Event()

        async def leave() -> None:
            opened = await connector.read(f"{folder}/left")
            async with aclosing(opened.chunks) as chunks:
                async for _ in chunks:
                    first_piece.set()
                    await asyncio.sleep(0.001)

        other = (await connector.read(f"{folder}/read")).chunks
        read = [await anext(other)]
        async with asyncio.TaskGroup() as tasks:
            leaving = tasks.create_task(leave())
            await first_piece.wait()
            assert any(path.endswith("/left") for path in server.open_files())
            leaving.cancel()
        assert not any(path.endswith("/left") for path in server.open_files())
        assert any(path.endswith("/read") for path in server.open_files())
        read += [piece async for piece in other]
        assert b"".join(read) == content
        assert len(server.sessions()) == 1
        assert server.open_files() == []


async def test_content_that_nobody_reads_is_let_go(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        entry = await put(connector, folder, "file", b"a" * MIB)
        async with aclosing((await connector.read(entry.raw_id)).chunks):
            assert len(server.open_files()) == 1
        assert server.open_files() == []


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_at_any_moment_nothing_stays_open(server: Samba, folder: str, turns: int) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        entry = await put(full, folder, "file", b"a" * 2 * MIB)
        await full.mkdir(folder, "below")
        await put(full, f"{folder}/below", "file", b"a" * MIB)
        verbs: list[Callable[[], Any]] = [
            lambda: whole(full, entry.raw_id),
            lambda: put(full, folder, "new", b"b" * 2 * MIB),
            lambda: full.copy(entry.raw_id, folder, "copied"),
            lambda: full.copy(f"{folder}/below", folder, "tree"),
            lambda: full.list(folder, None, 10),
        ]
        for verb in verbs:
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(verb())
                for _ in range(turns * 3):
                    await asyncio.sleep(0.0005)
                task.cancel()
            await until(lambda: server.open_files() == [])
            left = {name for name in os.listdir(server.data / folder) if name.startswith(".")}
            assert not left


async def test_a_gateway_that_is_gone_leaves_no_half_file(server: Samba, folder: str) -> None:
    arrived = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"a" * MIB
            arrived.set()

    async with store(server).opened() as connector:

        async def write() -> None:
            with pytest.raises(Unavailable):
                await connector.write(folder, "file", endless(), size=None, replace=False)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            await arrived.wait()
            assert [name[:9] for name in os.listdir(server.data / folder)] == [".isthmus-"]
            await (
                connector.aclose()
            )  # no word to the server: its connection ends, as when a process is killed
        await until(lambda: os.listdir(server.data / folder) == [])


async def test_a_connection_that_broke_is_made_anew(own: Samba) -> None:
    content = os.urandom(24 * MIB)
    async with store(own).opened() as connector:
        entry = await put(connector, "", "file", content)
        opened = await connector.read(entry.raw_id)
        await anext(opened.chunks)
        own.kill_sessions()
        with pytest.raises(Unavailable):
            _ = [piece async for piece in opened.chunks]
        with pytest.raises(Unavailable):
            await connector.write("", "new", _killing(own), size=None, replace=False)
        assert await whole(connector, entry.raw_id) == content


async def _killing(server: Samba) -> AsyncIterator[bytes]:
    yield b"a" * 2 * MIB
    await until(lambda: len(server.sessions()) == 1)
    server.kill_sessions()
    for _ in range(100):
        yield b"a" * MIB


async def test_a_server_that_falls_silent(own: Samba) -> None:
    async with store(own, idle_timeout=1.0).opened() as connector:
        entry = await put(connector, "", "file", b"a" * 16 * MIB)
        opened = await connector.read(entry.raw_id)
        await anext(opened.chunks)
        own.kill_sessions(signal.SIGSTOP)
        begun = time.monotonic()
        with pytest.raises(TimedOut):
            _ = [piece async for piece in opened.chunks]
        assert time.monotonic() - begun < 3
        own.kill_sessions()
        assert len(await whole(connector, entry.raw_id)) == 16 * MIB


async def test_a_closed_account_stays_closed(server: Samba) -> None:
    async with store(server).opened() as connector:
        await connector.stat("")
    await until(lambda: threads() == 0)
    with pytest.raises(Unavailable):
        await connector.stat("")


async def test_many_transfers_share_two_threads(server: Samba, folder: str) -> None:
    content = os.urandom(3 * MIB)
    async with store(server).opened() as connector:
        await connector.stat("")
        async with asyncio.TaskGroup() as tasks:
            for number in range(24):
                tasks.create_task(put(connector, folder, f"file {number}", content))
            await asyncio.sleep(0)
            assert threads() == 2
        async with asyncio.TaskGroup() as tasks:
            read = [tasks.create_task(whole(connector, f"{folder}/file {number}")) for number in range(24)]
        assert all(task.result() == content for task in read)
        assert threads() == 2
        assert len(server.sessions()) == 1


async def test_a_slow_reader_does_not_hold_the_others_up(server: Samba, folder: str) -> None:
    content = os.urandom(16 * MIB)
    async with store(server, idle_timeout=1.0).opened() as connector:
        entry = await put(connector, folder, "file", content)
        async with aclosing((await connector.read(entry.raw_id)).chunks) as slow:
            first = await anext(slow)
            for _ in range(3):
                assert await whole(connector, entry.raw_id) == content
            await asyncio.sleep(1.5)  # longer than the store may be silent: it is us who are
            assert first + b"".join([piece async for piece in slow]) == content


@pytest.mark.slow
@pytest.mark.parametrize("share", ["share", "encrypted"])
async def test_a_large_file_takes_no_more_memory(server: Samba, folder: str, share: str) -> None:
    size = 256 * MIB
    block = os.urandom(MIB)

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size // MIB):
            yield block

    async with store(server, share=share).opened() as connector:
        await connector.stat("")
        tracemalloc.start()
        try:
            entry = await connector.write(folder, "large", source(), size=size, replace=False)
            written = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            total = 0
            async for piece in (await connector.read(entry.raw_id)).chunks:
                total += len(piece)
            read = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert total == entry.size == size
    assert max(written, read) < 40 * MIB


# copies


async def test_the_server_itself_copies(server: Samba, folder: str) -> None:
    content = os.urandom(40 * MIB + 5)
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        entry = await put(full, folder, "one", content)
        copied = await full.copy(entry.raw_id, folder, "two")
        assert copied.size == len(content)
        assert (server.data / folder / "two").read_bytes() == content
        empty = await put(full, folder, "empty", b"")
        assert (await full.copy(empty.raw_id, folder, "empty too")).size == 0


async def test_a_folder_is_copied_into_itself(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        below = await full.mkdir(folder, "below")
        await put(full, below.raw_id, "file", b"bytes")
        copied = await full.copy(below.raw_id, below.raw_id, "copy")
        assert await whole(full, f"{copied.raw_id}/file") == b"bytes"
        assert await names(full, copied.raw_id) == ["file"]
        with pytest.raises(NotPermitted, match="into itself"):
            await full.move(below.raw_id, below.raw_id, "moved")


async def test_nothing_replaces_a_folder(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        await full.mkdir(folder, "one")
        await full.mkdir(folder, "two")
        file = await put(full, folder, "file")
        for raw_id in (f"{folder}/one", file.raw_id):
            with pytest.raises(AlreadyExists):
                await full.move(raw_id, folder, "two", replace=True)
        with pytest.raises(AlreadyExists):
            await full.copy(f"{folder}/one", folder, "two")
        assert await names(full, folder) == ["file", "one", "two"]
        assert sorted(os.listdir(server.data / folder)) == ["file", "one", "two"]


# parts


async def test_parts_and_their_limits(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        upload = await full.begin_upload(folder, "file", size=200_000 * MIB, replace=False)
        assert upload.part_size == 20 * MIB
        await full.abandon_upload(upload.state)
        upload = await full.begin_upload(folder, "file", size=None, replace=False)
        with pytest.raises(BadSpan):
            await full.write_part(
                upload.state, 1, pieces(b"a" * (upload.part_size + 1)), size=upload.part_size + 1
            )
        tag = await full.write_part(upload.state, 1, pieces(b"a"), size=1)
        for wrong in ([Part(2, 1, tag)], [Part(1, 1, tag), Part(2, 1, tag)], []):
            with pytest.raises(BadSpan):
                await full.complete_upload(upload.state, wrong)
        for state in (
            "",
            "{}",
            "[]",
            upload.state.replace(".isthmus-", "..\\\\"),
            upload.state.replace(".isthmus-", ""),
        ):
            with pytest.raises(NotFound):
                await full.write_part(state, 1, pieces(b"a"), size=1)
        assert await names(full, folder) == []
        await full.complete_upload(upload.state, [Part(1, 1, tag)])
        assert os.listdir(server.data / folder) == ["file"]


async def test_an_upload_is_not_completed_under_a_part_that_is_written(server: Samba, folder: str) -> None:
    async with store(server).opened() as connector:
        full = cast("FullConnector", connector)
        upload = await full.begin_upload(folder, "file", size=None, replace=False)
        tag = await full.write_part(upload.state, 1, pieces(b"a" * upload.part_size), size=upload.part_size)
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"b" * MIB
            begun.set()
            await may_end.wait()

        async with asyncio.TaskGroup() as tasks:
            second = tasks.create_task(full.write_part(upload.state, 2, slow(), size=MIB))
            await begun.wait()
            with pytest.raises(NotPermitted):
                await full.complete_upload(upload.state, [Part(1, upload.part_size, tag)])
            may_end.set()
        parts = [Part(1, upload.part_size, tag), Part(2, MIB, second.result())]
        assert (await full.complete_upload(upload.state, parts)).size == upload.part_size + MIB
