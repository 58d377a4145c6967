"""What stands before a session: settings, login, TLS, and servers that are none."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from pydantic import ValidationError

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import names, put, whole
from connectors.ftp import FtpSettings
from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    BadCredential,
    Span,
    TimedOut,
    Unavailable,
    UntrustedHost,
)
from tests.connectors.ftp.stores import MIB, folder, store
from tests.servers.proftpd import Proftpd, proftpd
from tests.servers.sshd import free_port
from tests.servers.vsftpd import Vsftpd, vsftpd

pytestmark = pytest.mark.server


@asynccontextmanager
async def double(*answers: bytes) -> AsyncIterator[int]:
    """A server that is none: it says the first at once, and one more for each line that it gets."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            writer.write(answer)
            if not await reader.readline():
                break
        await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1")
    async with server:
        yield server.sockets[0].getsockname()[1]


def test_the_port_follows_the_kind_of_tls() -> None:
    known = {"host": "h", "username": "u"}
    for tls, port in (("none", 21), ("explicit", 21), ("implicit", 990)):
        assert FtpSettings.model_validate({**known, "tls": tls}).port == port
    assert FtpSettings.model_validate({**known, "tls": "implicit", "port": 2121}).port == 2121
    assert FtpSettings.model_validate(known).tls == "explicit"


@pytest.mark.parametrize(
    "changes",
    [
        {"username": "u\r\nDELE file"},
        {"password": "p\nDELE file"},
        {"root": "a\0b"},
        {"ca": "no certificate"},
        {"encoding": "klingon"},
        {"encoding": "utf-16"},
        {"tls": "perhaps"},
    ],
)
def test_settings_that_can_not_be(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        FtpSettings.model_validate({"host": "h", "username": "u", "password": "p", **changes})


@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"username": "nobody-here"}])
async def test_a_wrong_credential(facts: Proftpd, changes: dict[str, Any]) -> None:
    async with store(facts, **changes).opened() as connector:
        for _ in range(2):
            with pytest.raises(BadCredential, match="does not accept") as told:
                await connector.stat("")
            assert "wrong" not in str(told.value)


async def test_nothing_listens(facts: Proftpd) -> None:
    async with store(facts, port=free_port()).opened() as connector:
        with pytest.raises(Unavailable) as told:
            await connector.stat("")
        assert "localhost" not in str(told.value)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad\r\n", b"x" * 100_000])
async def test_something_else_listens(facts: Proftpd, greeting: bytes) -> None:
    async with double(greeting) as port, store(facts, port=port).opened() as connector:
        with pytest.raises(BadAnswer):
            await connector.stat("")


async def test_a_reply_that_never_ends(facts: Proftpd) -> None:
    async with double(b"220-\r\n" * 5000) as port, store(facts, port=port).opened() as connector:
        with pytest.raises(BadAnswer, match="never ends"):
            await connector.stat("")


async def test_a_server_that_says_nothing(facts: Proftpd) -> None:
    async with double(b"") as port, store(facts, port=port, idle_timeout=0.3).opened() as connector:
        with pytest.raises(TimedOut):
            await connector.stat("")


async def test_a_reply_of_many_lines_as_rfc_959_has_it(facts: Proftpd) -> None:
    """A line within may begin with digits, and be in any encoding."""
    greeting = b"220-Welcome\r\n234 files for you, Gr\xfc\xdfe\r\n220-\r\n220 ready\r\n"
    async with (
        double(greeting, b"502 no\r\n", b"530 no\r\n") as port,
        store(facts, port=port).opened() as connector,
    ):
        with pytest.raises(BadCredential):
            await connector.stat("")


async def test_a_server_that_wants_tls(encrypted: Vsftpd, tmp_path: Path) -> None:
    with proftpd(tmp_path / "proftpd", tls="explicit") as other:
        for server in (encrypted, other):
            async with store(server, tls="none").opened() as connector:
                with pytest.raises(BadCredential, match="set tls to explicit"):
                    await connector.stat("")


async def test_a_server_without_tls_gets_no_password(either: Proftpd | Vsftpd) -> None:
    before = either.commands().count("USER")
    async with store(either, tls="explicit").opened() as connector:
        with pytest.raises(UntrustedHost, match="offers no TLS"):
            await connector.stat("")
    async with store(either, tls="implicit").opened() as connector:
        with pytest.raises(UntrustedHost, match="tls"):
            await connector.stat("")
    assert either.commands().count("USER") == before


@pytest.mark.parametrize("changes", [{"ca": None}, {"host": "127.0.0.1"}], ids=["unknown", "another name"])
async def test_a_certificate_that_is_not_trusted(encrypted: Vsftpd, changes: dict[str, Any]) -> None:
    before = encrypted.commands().count("USER")
    async with store(encrypted, **changes).opened() as connector:
        with pytest.raises(UntrustedHost, match="certificate") as told:
            await connector.stat("")
    assert encrypted.commands().count("USER") == before
    assert "does not accept" not in str(told.value)


async def test_a_reply_from_before_tls_is_not_the_server_s(encrypted: Vsftpd) -> None:
    """Somebody in the middle adds one to the server's own and lets TLS pass."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection("127.0.0.1", encrypted.port)

        async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                to.write(data.replace(b"234 Proceed", b"234 Proceed with negotiation.\r\n230 Injected"))
            to.close()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pump(reader, to_there))
            tasks.create_task(pump(there, writer))

    server = await asyncio.start_server(relay, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with server, store(encrypted, port=port).opened() as connector:
        with pytest.raises(UntrustedHost, match="nobody asked for"):
            await connector.stat("")


async def test_data_goes_through_tls_too(encrypted: Vsftpd) -> None:
    """Seen from between: neither a name nor a byte of the content, on any connection."""
    seen = bytearray()

    class Watched(Direct):
        async def open_socket(self, host: str, port: int) -> socket.socket:
            there = await super().open_socket(host, port)
            ours, between = socket.socketpair()
            for end in (ours, between):
                end.setblocking(False)
            pumps.create_task(relay(between, there))
            return ours

    async def relay(one: socket.socket, other: socket.socket) -> None:
        with one, other:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(pump(one, other))
                ways.create_task(pump(other, one))

    async def pump(source: socket.socket, to: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while data := await loop.sock_recv(source, 65536):
                seen.extend(data)
                await loop.sock_sendall(to, data)
        with suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    known = store(encrypted)
    watched = Store(known.kind, known.settings, Watched(), known.idle_timeout)
    at = folder(encrypted)
    async with asyncio.TaskGroup() as pumps, watched.opened() as connector:
        await put(connector, at, "secret name", b"secret content" * 1000)
        assert await whole(connector, f"{at}/secret name") == b"secret content" * 1000
        assert await names(connector, at) == ["secret name"]
    assert b"AUTH TLS" in seen
    assert b"secret" not in seen
    assert b"USER" not in seen


async def test_on_the_workers_loop(encrypted: Vsftpd, facts: Proftpd) -> None:
    """uvloop has its own TLS and its own transports."""

    async def verbs(server: Proftpd | Vsftpd) -> None:
        at, content = folder(server), os.urandom(3 * MIB)
        async with store(server).opened() as connector:
            entry = await put(connector, at, "file", content)
            assert await whole(connector, entry.raw_id) == content
            assert await whole(connector, entry.raw_id, Span(MIB, MIB + 9)) == content[MIB : MIB + 10]
            assert await names(connector, at) == ["file"]
            with pytest.raises(AlreadyExists):
                await put(connector, at, "file")
            await connector.delete(at, recursive=True)

    for server in (encrypted, facts):
        await asyncio.to_thread(uvloop.run, verbs(server))


async def test_the_address_that_the_server_names_is_not_dialled(tmp_path: Path) -> None:
    extra = "cmds_denied=EPSV\npasv_address=192.0.2.1\n"
    with vsftpd(tmp_path / "vsftpd", extra=extra) as server:
        async with store(server).opened() as connector:
            entry = await put(connector, "", "file", b"bytes")
            assert await whole(connector, entry.raw_id) == b"bytes"
        assert "PASV" in server.commands()


async def test_a_passive_port_that_can_not_be_reached(facts: Proftpd) -> None:
    class OneDoor(Direct):
        async def connect(self, factory: Any, host: str, port: int, **more: Any) -> Any:
            raise Unavailable("not on the allow-list")

    known = store(facts)
    async with Store(known.kind, known.settings, OneDoor()).opened() as connector:
        await connector.stat("")
        with pytest.raises(Unavailable, match=r"passive port .*allow-list") as told:
            await connector.list("", None, 10)
        assert "localhost" not in str(told.value)
