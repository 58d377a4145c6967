"""Connectors on real stores through a real tunnel: what they do is the same as without."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connectors.conformance import Store
from connectors.conformance.kit import names, pieces, put, whole
from connectors.interface import Part, Unavailable
from connectors.sftp import SftpConnector
from connectors.webdav import WebdavConnector
from gateway.tunnel import NetworkDialer
from tests.gateway.tunnel.tunnels import NETWORK, Gateway, MakeAgent, until
from tests.servers.apache import PASSWORD, USER, apache
from tests.servers.sshd import sshd

MIB = 1024 * 1024


@pytest.fixture
async def sftp(gateway: Gateway, make_agent: MakeAgent, tmp_path: Path) -> AsyncIterator[SftpConnector]:
    with sshd(tmp_path / "sshd") as server:
        settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": server.port,
            "username": server.user,
            "private_key": server.private_key,
            "root": str(server.data),
        }
        await make_agent(f"127.0.0.1:{server.port}")
        await until(lambda: gateway.connected() == 1)
        dialer = NetworkDialer(gateway.hub, NETWORK)
        async with Store(SftpConnector, settings, dialer).opened() as connector:
            assert isinstance(connector, SftpConnector)
            yield connector


async def test_sftp_moves_large_files_both_ways(sftp: SftpConnector) -> None:
    content = os.urandom(32 * MIB)
    await sftp.write("", "large", pieces(content, 262_144), size=None, replace=False)
    digest = hashlib.sha256()
    async for piece in (await sftp.read("large")).chunks:
        digest.update(piece)
    assert digest.digest() == hashlib.sha256(content).digest()


async def test_sftp_does_what_it_does_without_a_tunnel(sftp: SftpConnector) -> None:
    await put(sftp, "", "file", b"bytes")
    await sftp.copy("file", "", "copy")
    assert await whole(sftp, "copy") == b"bytes"
    upload = await sftp.begin_upload("", "in parts", size=None, replace=False)
    tag = await sftp.write_part(upload.state, 1, pieces(b"part"), size=4)
    await sftp.complete_upload(upload.state, [Part(1, 4, tag)])
    assert await names(sftp, "") == ["copy", "file", "in parts"]
    assert (await sftp.quota()).free


async def test_sftp_ends_with_its_agent(sftp: SftpConnector, gateway: Gateway) -> None:
    await put(sftp, "", "file", b"x" * 20 * MIB)
    opened = await sftp.read("file")
    await anext(opened.chunks)
    await gateway.hub.drop_agent(1)
    with pytest.raises(Unavailable):
        _ = [piece async for piece in opened.chunks]


async def test_webdav_does_what_it_does_without_a_tunnel(
    gateway: Gateway, make_agent: MakeAgent, tmp_path: Path
) -> None:
    with apache(tmp_path / "apache", tls=True) as server:
        settings = {"url": server.url, "username": USER, "password": PASSWORD, "ca": server.ca}
        await make_agent(f"127.0.0.1:{server.port}")
        await until(lambda: gateway.connected() == 1)
        async with Store(
            WebdavConnector, settings, NetworkDialer(gateway.hub, NETWORK)
        ).opened() as connector:
            assert isinstance(connector, WebdavConnector)
            content = os.urandom(4 * MIB)
            await put(connector, "", "file", content)
            await connector.set_properties("file", {"colour": "blue"})
            await connector.with_headers({"X-Trace": "abc"}).copy("file", "", "copy")
            assert await whole(connector, "copy") == content
            assert await connector.properties("copy") == {"colour": "blue"}
            assert "COPY 201 abc" in server.log.read_text()
