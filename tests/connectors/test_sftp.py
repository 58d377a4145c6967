"""What only SFTP has: host keys, kinds of credentials, a connection that breaks."""

import asyncio
import os
import secrets
import signal
import stat
import subprocess
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import ValidationError

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import names, pieces, put, whole
from connectors.interface import (
    AlreadyExists,
    BadCredential,
    Context,
    InvalidName,
    NotFound,
    Part,
    Permission,
    Role,
    StoreError,
    Unavailable,
    Unsupported,
    UntrustedHost,
    Who,
)
from connectors.sftp import SftpConnector
from connectors.sftp.settings import SftpSettings
from tests.connectors.leaving import CONTENT, VERBS, Verb, let_go, nothing_left
from tests.servers.rclone import PASSWORD, USER, rclone
from tests.servers.sshd import Sshd, free_port, sshd


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd(tmp_path / "sshd") as server:
        yield server


def settings(server: Sshd, **changes: Any) -> dict[str, Any]:
    known = {
        "host": "127.0.0.1",
        "port": server.port,
        "username": server.user,
        "private_key": server.private_key,
        "root": str(server.data),
    }
    return {**known, **changes}


def store(server: Sshd, **changes: Any) -> Store:
    return Store(SftpConnector, settings(server, **changes), Direct(), idle_timeout=5.0)


@pytest.fixture
async def connector(server: Sshd) -> AsyncIterator[SftpConnector]:
    async with store(server).opened() as opened:
        assert isinstance(opened, SftpConnector)
        yield opened


async def test_the_first_host_key_is_kept_and_another_one_refused(server: Sshd, tmp_path: Path) -> None:
    kept: dict[str, str] = {}

    async def remember(changes: dict[str, str]) -> None:
        kept.update(changes)

    first = await SftpConnector.open(
        SftpSettings.model_validate(settings(server)), Context(Direct(), 5.0, remember)
    )
    await first.stat("")
    await first.aclose()
    assert kept["host_key"].startswith("ssh-ed25519 ")
    async with store(server, **kept).opened() as again:
        await again.stat("")
    with sshd(tmp_path / "other") as impostor:
        # it takes the same user's key: only its host key tells it apart
        (impostor.data.parent / "ak").write_bytes((server.data.parent / "ak").read_bytes())
        async with store(server, **kept, port=impostor.port).opened() as connector:
            with pytest.raises(UntrustedHost, match="host key"):
                await connector.stat("")


async def test_a_pinned_key_that_is_none(server: Sshd) -> None:
    async with store(server, host_key="nonsense").opened() as connector:
        with pytest.raises(UntrustedHost, match="ssh-ed25519"):
            await connector.stat("")


async def test_a_key_that_the_server_does_not_know(server: Sshd, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "k")], check=True)
    other = (tmp_path / "k").read_text()
    async with store(server, private_key=other).opened() as connector:
        with pytest.raises(BadCredential):
            await connector.stat("")


async def test_a_key_with_a_passphrase(server: Sshd, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.write_text(server.private_key)
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", str(locked)], check=True)
    async with store(server, private_key=locked.read_text(), passphrase="open sesame").opened() as connector:
        await connector.stat("")
    for passphrase in (None, "wrong"):
        async with store(server, private_key=locked.read_text(), passphrase=passphrase).opened() as connector:
            with pytest.raises(StoreError, match="passphrase") as told:
                await connector.stat("")
            assert "wrong" not in str(told.value).replace("passphrase is wrong", "")


def test_a_credential_is_needed() -> None:
    with pytest.raises(ValidationError, match="password or a private_key"):
        SftpSettings(host="h", username="u")


async def test_nothing_listens(server: Sshd) -> None:
    async with store(server, port=free_port()).opened() as connector:
        with pytest.raises(Unavailable) as told:
            await connector.stat("")
        assert "127.0.0.1" not in str(told.value)


async def test_something_else_listens() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 this is FTP\r\n")
        await asyncio.sleep(0.1)
        writer.close()

    other = await asyncio.start_server(talk, "127.0.0.1")
    port = other.sockets[0].getsockname()[1]
    known = {"host": "127.0.0.1", "port": port, "username": "u", "password": "p"}
    async with other, Store(SftpConnector, known, Direct(), idle_timeout=3.0).opened() as connector:
        with pytest.raises(StoreError):
            await connector.stat("")


async def test_a_connection_that_broke_is_made_anew(server: Sshd) -> None:
    content = b"0123456789" * 500_000
    async with store(server).opened() as connector:
        entry = await put(connector, "", "file", content)
        opened = await connector.read(entry.raw_id)
        async with aclosing(opened.chunks) as chunks:
            await anext(chunks)
            server.kill_sessions()
            with pytest.raises(Unavailable):
                _ = [piece async for piece in chunks]
        assert await whole(connector, entry.raw_id) == content


async def test_links_are_not_followed(server: Sshd) -> None:
    outside = server.data.parent / "outside"
    outside.write_text("not yours")
    (server.data / "link").symlink_to(outside)
    async with store(server).opened() as connector:
        assert await names(connector, "") == []
        with pytest.raises(NotFound):
            await connector.read("link")


async def test_an_upload_whose_connection_breaks_leaves_nothing(server: Sshd) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 262_144
            begun.set()
            await asyncio.sleep(0)

    async with store(server).opened() as connector, asyncio.TaskGroup() as tasks:

        async def upload() -> None:
            with pytest.raises(Unavailable):
                await connector.write("", "file", endless(), size=None, replace=False)

        uploading = tasks.create_task(upload())
        await begun.wait()
        server.kill_sessions()
        await uploading
        assert os.listdir(server.data) == []


async def test_writes_are_as_large_as_the_server_takes_them(server: Sshd, connector: SftpConnector) -> None:
    """Chunks of 256 KiB are 255 KiB and a rest for OpenSSH: the rests go with the next, not by themselves."""
    await connector.stat("")
    sftp = await connector._session.client()
    connection = connector._session._connection
    assert connection is not None
    writes, sent = sftp.limits.max_write_len, connection._send_seq
    assert writes == 261_120
    await connector.write("", "file", pieces(b"x" * 64 * writes, 262_144), size=None, replace=False)
    messages = connection._send_seq - sent
    # 8 SSH messages of 32 KiB each and some for the window; opening, naming and closing take a dozen
    assert 64 * 8 <= messages < 64 * 8 * 1.1 + 20


async def test_memory_does_not_grow_with_an_upload(connector: SftpConnector) -> None:
    async def large() -> AsyncIterator[bytes]:
        piece = b"x" * 262_144
        for _ in range(400):
            yield piece

    await connector.stat("")
    tracemalloc.start()
    try:
        await connector.write("", "large", large(), size=None, replace=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


# copies


async def test_a_copied_folder_has_no_links(server: Sshd, connector: SftpConnector) -> None:
    (server.data / "tree" / "below").mkdir(parents=True)
    (server.data / "tree" / "below" / "program").write_text("#!/bin/sh")
    (server.data / "tree" / "below" / "program").chmod(0o750)
    (server.data / "tree" / "link").symlink_to("/etc")
    (server.data / "tree" / ".isthmus-unfinished").write_text("half")
    await connector.copy("tree", "", "copy")
    found = sorted(str(path.relative_to(server.data / "copy")) for path in (server.data / "copy").rglob("*"))
    assert found == ["below", "below/program"]
    assert stat.S_IMODE((server.data / "copy" / "below" / "program").stat().st_mode) == 0o750


async def test_a_large_copy_is_whole(server: Sshd, connector: SftpConnector) -> None:
    """Larger than one request of ours copies."""
    content = secrets.token_bytes(1 << 20) * 70
    (server.data / "large").write_bytes(content)
    await connector.copy("large", "", "copy")
    assert (server.data / "copy").read_bytes() == content


async def test_a_folder_is_not_copied_into_itself(server: Sshd, connector: SftpConnector) -> None:
    (server.data / "tree" / "below").mkdir(parents=True)
    for to in ("tree", "tree/below"):
        with pytest.raises(InvalidName):
            await connector.copy("tree", to, "copy")
    assert os.listdir(server.data / "tree") == ["below"]


async def test_a_cancelled_copy_leaves_nothing(server: Sshd, connector: SftpConnector) -> None:
    (server.data / "tree").mkdir()
    for number in range(300):
        (server.data / "tree" / str(number)).write_bytes(b"x")
    async with asyncio.TaskGroup() as tasks:
        copy = tasks.create_task(connector.copy("tree", "", "copy"))
        async with asyncio.timeout(10):
            while len(os.listdir(server.data)) == 1:
                await asyncio.sleep(0)
        assert not (server.data / "copy").exists()
        copy.cancel()
    assert copy.cancelled()
    assert os.listdir(server.data) == ["tree"]


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
async def test_whoever_leaves_before_the_answer_leaves_nothing_open(
    server: Sshd, connector: SftpConnector, verb: Verb
) -> None:
    """The server stands still when it has the question, and answers when nobody waits any more."""
    await put(connector, "", "file", CONTENT)
    opened = asyncssh.SFTPClient.open
    asked = 0

    async def open_and_wait(client: asyncssh.SFTPClient, *args: Any, **kwargs: Any) -> object:
        nonlocal asked
        server.signal_sessions(signal.SIGSTOP)
        asked += 1
        return await opened(client, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncssh.SFTPClient, "open", open_and_wait)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(verb(connector))
            async with asyncio.timeout(10):
                while not asked:
                    await asyncio.sleep(0)
            await asyncio.sleep(0.05)  # the question is on its way
            running.cancel()
            await asyncio.sleep(0.05)
            server.signal_sessions(signal.SIGCONT)
    assert running.cancelled()
    await nothing_left(server.data, server.open_files)
    assert os.listdir(server.data) == ["file"]


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_at_any_moment_nothing_stays_open(
    server: Sshd, connector: SftpConnector, turns: int
) -> None:
    await put(connector, "", "file", CONTENT)
    for verb in VERBS.values():
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(verb(connector))
            for _ in range(turns * 3):
                await asyncio.sleep(0.0005)
            task.cancel()
        await let_go(connector, task)
        await nothing_left(server.data, server.open_files)


async def test_a_server_that_can_not_copy_says_so(tmp_path: Path) -> None:
    with rclone(tmp_path / "rclone", "sftp") as other:
        known = {"host": "127.0.0.1", "port": other.port, "username": USER, "password": PASSWORD}
        async with Store(SftpConnector, known, Direct()).opened() as connector:
            assert isinstance(connector, SftpConnector)
            await put(connector, "", "file")
            with pytest.raises(Unsupported, match="copy"):
                await connector.copy("file", "", "copy")
            with pytest.raises(Unsupported, match="who may"):
                await connector.permissions("file")


# uploads in parts


async def test_a_part_whose_connection_broke_can_be_sent_again(
    server: Sshd, connector: SftpConnector
) -> None:
    upload = await connector.begin_upload("", "file", size=None, replace=False)
    sent = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(63):
            yield b"a" * 262_144
        sent.set()
        await asyncio.sleep(0.01)
        server.kill_sessions()
        yield b"a" * 262_144

    with pytest.raises(Unavailable):
        await connector.write_part(upload.state, 1, slow(), size=upload.part_size)
    assert sent.is_set()
    await connector.write_part(upload.state, 2, pieces(b"end"), size=3)
    content = secrets.token_bytes(upload.part_size)
    await connector.write_part(upload.state, 1, pieces(content), size=upload.part_size)
    parts = [Part(1, upload.part_size, ""), Part(2, 3, "")]
    await connector.complete_upload(upload.state, parts)
    assert (server.data / "file").read_bytes() == content + b"end"


async def test_a_folder_that_took_the_name_is_kept(server: Sshd, connector: SftpConnector) -> None:
    upload = await connector.begin_upload("", "name", size=None, replace=True)
    await connector.write_part(upload.state, 1, pieces(b"x"), size=1)
    (server.data / "name").mkdir()
    with pytest.raises(AlreadyExists):
        await connector.complete_upload(upload.state, [Part(1, 1, "1")])
    await connector.abandon_upload(upload.state)
    assert os.listdir(server.data) == ["name"]


# permissions, room


async def test_permissions_are_mode_bits(server: Sshd, connector: SftpConnector) -> None:
    await put(connector, "", "file")
    (server.data / "file").chmod(0o640)
    owner = Permission(Who.USER, Role.OWNER, str(os.getuid()))
    group = Permission(Who.GROUP, Role.READER, str(os.getgid()))
    assert await connector.permissions("file") == [owner, group]
    everyone = Permission(Who.ANYONE, Role.WRITER)
    assert await connector.set_permissions("file", [everyone], replace=True) == [owner, everyone]
    assert stat.S_IMODE((server.data / "file").stat().st_mode) == 0o606
    with pytest.raises(Unsupported):
        await connector.set_permissions("file", [Permission(Who.USER, Role.READER, "1")], replace=False)


async def test_the_quota_is_the_file_systems(server: Sshd, connector: SftpConnector) -> None:
    quota = await connector.quota()
    room = os.statvfs(server.data)
    assert quota.total == room.f_blocks * room.f_frsize
    assert quota.free is not None
    assert abs(quota.free - room.f_bavail * room.f_frsize) < 1 << 30
