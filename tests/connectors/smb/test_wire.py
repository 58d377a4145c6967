"""The hooks on smbprotocol, and what somebody between the gateway and the store can see and do."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, put, whole
from connectors.interface import BadAnswer, Unavailable
from connectors.smb import SmbConnector
from connectors.smb.transport import GivenConnection
from tests.servers.samba import Samba, samba

MIB = 1024 * 1024
MARK = b"a text that is easy to find " * 40

type Change = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    with samba(tmp_path_factory.mktemp("samba")) as server:
        yield server


class Middle:
    """Somebody between the two, who reads every message and may change what the server says."""

    def __init__(self, server: Samba) -> None:
        self.change: Change = lambda message: message
        self.seen = bytearray()
        self.asked = b""
        self.port = 0
        self._server = server

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Middle"]:
        listener = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        async with listener:
            yield self

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._server.port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._carry(reader, there[1], self._asks))
            tasks.create_task(self._carry(there[0], writer, self._answers))

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passed: Change
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                message = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
                message = passed(message)
                writer.write(struct.pack(">I", len(message)) + message)
                await writer.drain()
        writer.close()

    def _asks(self, message: bytes) -> bytes:
        self.seen += message
        self.asked = message
        return message

    def _answers(self, message: bytes) -> bytes:
        self.seen += message
        return self.change(message)


@contextlib.asynccontextmanager
async def watched(
    server: Samba, share: str = "share", **more: object
) -> AsyncIterator[tuple[Middle, FullConnector]]:
    async with Middle(server).listening() as middle:
        known = {"host": "127.0.0.1", "port": middle.port, "share": share, "username": server.user}
        settings = {**known, "password": server.password, **more}
        async with Store(SmbConnector, settings, Direct(), 5.0).opened() as connector:
            yield middle, cast("FullConnector", connector)


def command(message: bytes) -> int:
    return int.from_bytes(message[12:14], "little")


def unsigned(message: bytes) -> bytes:
    """The message without its signature and without the word that it has one."""
    flags = int.from_bytes(message[16:20], "little") & ~8
    return message[:16] + struct.pack("<I", flags) + message[20:48] + bytes(16) + message[64:]


async def test_the_library_takes_our_socket_and_dials_nothing(server: Samba) -> None:
    sock = socket.create_connection(("127.0.0.1", server.port))
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ending() -> None:
        loop.call_soon_threadsafe(ended.set)

    connection = GivenConnection(sock, "no-such-host.invalid", 1, ending)
    await asyncio.to_thread(connection.connect, 0x311)
    assert connection.dialect == 0x311
    connection.given.close()
    async with asyncio.timeout(5):
        await ended.wait()
    assert sock.fileno() == -1


async def test_more_files_are_open_than_select_can_take(server: Samba) -> None:
    """The library's own way to receive fails for a descriptor above 1023."""
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        async with watched(server) as (_, connector):
            await connector.stat("")
    finally:
        for descriptor in held:
            os.close(descriptor)


@pytest.mark.parametrize("number", [3, 5, 8], ids=["tree connect", "create", "read"])
async def test_an_answer_without_a_signature_is_refused(server: Samba, number: int) -> None:
    (server.data / "file").write_bytes(MARK)
    async with watched(server) as (middle, connector):
        middle.change = lambda message: unsigned(message) if command(message) == number else message
        with pytest.raises(BadAnswer, match="not signed"):
            await whole(connector, "file")
        middle.change = lambda message: message
        assert await whole(connector, "file") == MARK


async def test_an_answer_that_was_changed_is_refused(server: Samba) -> None:
    (server.data / "file").write_bytes(MARK)
    async with watched(server) as (middle, connector):
        middle.change = lambda message: message.replace(b"easy", b"hard")
        with pytest.raises(BadAnswer, match="not signed"):
            await whole(connector, "file")


async def test_an_answer_in_the_clear_is_refused_where_it_has_to_be_encrypted(server: Samba) -> None:
    async with watched(server, encryption=True) as (middle, connector):
        begun = 0

        def clear(message: bytes) -> bytes:
            """The first encrypted answer, to the connection to the share, becomes a plain yes."""
            nonlocal begun
            if message[:4] != b"\xfdSMB":
                return message
            begun += 1
            session = message[44:52]
            head = struct.pack("<4sHHIHHIIQII", b"\xfeSMB", 64, 1, 0, 3, 64, 1, 0, 3, 0, 77)
            return head + session + bytes(16) + struct.pack("<HBBIII", 16, 1, 0, 0, 0, 0)

        middle.change = clear
        with pytest.raises(BadAnswer):
            await connector.stat("")
        assert begun == 1


@pytest.mark.parametrize(
    ("share", "encryption", "readable"),
    [("share", False, True), ("share", True, False), ("encrypted", False, False)],
    ids=["signed", "the account wants it", "the share wants it"],
)
async def test_what_can_be_read_on_the_way(
    server: Samba, share: str, encryption: bool, readable: bool
) -> None:
    name = f"file {share} {encryption}"
    async with watched(server, share, encryption=encryption) as (middle, connector):
        entry = await put(connector, "", name, MARK)
        assert await whole(connector, entry.raw_id) == MARK
        assert (MARK in middle.seen) is readable
        assert (name.encode("utf-16-le") in middle.seen) is readable
        assert server.password.encode() not in middle.seen
        assert server.password.encode("utf-16-le") not in middle.seen


async def test_copied_bytes_do_not_come_by(server: Samba) -> None:
    content = os.urandom(24 * MIB)
    (server.data / "original").write_bytes(content)
    async with watched(server) as (middle, connector):
        await connector.copy("original", "", "copy")
        assert len(middle.seen) < 64 * 1024
        assert (server.data / "copy").read_bytes() == content


async def test_a_connection_that_is_cut_in_a_message(server: Samba) -> None:
    (server.data / "large").write_bytes(os.urandom(8 * MIB))

    def cut(message: bytes) -> bytes:
        if command(message) == 8:
            raise ConnectionAbortedError("cut")
        return message

    async with watched(server) as (middle, connector):
        middle.change = cut
        with pytest.raises((Unavailable, BadAnswer)):
            await whole(connector, "large")


async def test_small_requests_take_one_round_trip(server: Samba) -> None:
    (server.data / "stat").write_bytes(b"x")
    async with watched(server) as (middle, connector):
        await connector.stat("stat")
        answers = 0

        def counted(message: bytes) -> bytes:
            nonlocal answers
            answers += 1
            return message

        middle.change = counted
        await connector.stat("stat")
        assert answers == 1
        await connector.delete("stat")
        assert answers == 2


def test_the_library_is_pinned() -> None:
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert '"smbprotocol>=1.17,<1.18"' in project
