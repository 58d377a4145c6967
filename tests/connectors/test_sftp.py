"""What only SFTP has: host keys, kinds of credentials, a connection that breaks."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import names, put, whole
from connectors.interface import BadCredential, Context, NotFound, StoreError, Unavailable, UntrustedHost
from connectors.sftp import SftpConnector
from connectors.sftp.settings import SftpSettings
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
        async with aclosing(opened.chunks) as chunks:  # type: ignore[type-var]  # generators, by the contract
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
