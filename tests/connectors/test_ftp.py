"""What only FTP has: TLS asked for, logins that are shared and limited, replies that say little."""

import asyncio
import hashlib
import logging
import os
import secrets
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop
from pydantic import ValidationError

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, names, put, whole
from connectors.ftp import FtpConnector, FtpSettings, pool, tree
from connectors.ftp.errors import Reply, refusal
from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    BadCredential,
    InvalidName,
    Kind,
    NotFound,
    NotPermitted,
    OutOfSpace,
    PreconditionFailed,
    Span,
    StoreError,
    Throttled,
    TimedOut,
    Unavailable,
    Unsupported,
    UntrustedHost,
)
from tests.servers import proftpd as pro
from tests.servers import vsftpd as vs
from tests.servers.proftpd import Proftpd, proftpd
from tests.servers.small_disk import small_disk
from tests.servers.sshd import free_port
from tests.servers.vsftpd import Vsftpd, vsftpd

pytestmark = pytest.mark.server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proftpd]:
    with proftpd(tmp_path_factory.mktemp("proftpd")) as server:
        yield server


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vsftpd]:
    with vsftpd(tmp_path_factory.mktemp("vsftpd")) as server:
        yield server


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vsftpd]:
    with vsftpd(tmp_path_factory.mktemp("vsftpd"), tls=True) as server:
        yield server


@pytest.fixture(params=["facts", "lines"])
def either(request: pytest.FixtureRequest) -> Proftpd | Vsftpd:
    """A server with MLSD, and one with no more than LIST."""
    return cast("Proftpd | Vsftpd", request.getfixturevalue(request.param))


def store(server: Proftpd | Vsftpd, *, idle_timeout: float = 5.0, **changes: Any) -> Store:
    who = pro if isinstance(server, Proftpd) else vs
    known = {"host": "localhost", "port": server.port, "username": who.USER, "password": who.PASSWORD}
    tls = "none" if server.ca is None else "explicit"
    return Store(FtpConnector, {**known, "tls": tls, "ca": server.ca, **changes}, Direct(), idle_timeout)


def folder(server: Proftpd | Vsftpd) -> str:
    name = f"test-{secrets.token_hex(6)}"
    (server.data / name).mkdir()
    return name


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


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


# settings


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


# logging in


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


# TLS


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


# data connections


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


# logins


async def test_logins_are_few_and_used_again(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    before = either.commands().count("USER")
    async with store(either, connections=3).opened() as connector:
        for number in range(5):
            await put(connector, at, f"file {number}", b"x" * 10_000)
        assert either.commands().count("USER") == before + 1
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(whole(connector, f"{at}/file {number % 5}"))
        assert either.commands().count("USER") <= before + 3
    assert before + 2 <= either.commands().count("USER")


@pytest.mark.parametrize("kind", ["vsftpd says 421", "proftpd says 530"])
async def test_a_server_that_allows_fewer_logins(kind: str, tmp_path: Path) -> None:
    made = (
        vsftpd(tmp_path / "server", extra="max_per_ip=2\n")
        if kind.startswith("vsftpd")
        else proftpd(tmp_path / "server", extra="MaxClientsPerHost 2\n")
    )
    with made as server:
        await until(lambda: server.sessions() == [])
        async with store(server).opened() as connector:
            content = os.urandom(200_000)
            entry = await put(connector, "", "file", content)
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(whole(connector, entry.raw_id)) for _ in range(12)]
            assert all(task.result() == content for task in running)


async def test_transfers_leave_a_login_for_everything_else(facts: Proftpd) -> None:
    at = folder(facts)
    async with store(facts, connections=2, idle_timeout=1.0).opened() as connector:
        entry = await put(connector, at, "file", b"x" * 5 * MIB)
        opened = await connector.read(entry.raw_id)
        await anext(opened.chunks)
        assert await names(connector, at) == ["file"]
        with pytest.raises(Throttled) as told:
            await connector.read(entry.raw_id)
        assert told.value.retry_after
        await cast("Any", opened.chunks).aclose()
        assert len(await whole(connector, entry.raw_id)) == 5 * MIB


async def test_content_that_nobody_reads_is_given_back(facts: Proftpd) -> None:
    at = folder(facts)
    async with store(facts, connections=1, idle_timeout=1.0).opened() as connector:
        entry = await put(connector, at, "file", b"x" * MIB)
        opened = await connector.read(entry.raw_id)
        await cast("Any", opened.chunks).aclose()
        await connector.stat("")


async def test_idle_logins_end(facts: Proftpd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_KEEP", 0.2)
    await until(lambda: facts.sessions() == [])
    async with store(facts).opened() as connector:
        await connector.stat("")
        assert facts.sessions()
        await until(lambda: facts.sessions() == [])


async def test_an_idle_login_that_broke_is_replaced(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    async with store(either).opened() as connector:
        full = cast("FullConnector", connector)
        await put(full, at, "file", b"bytes")
        for verb in (
            full.stat(at),
            full.list(at, None, 10),
            whole(full, f"{at}/file"),
            put(full, at, "other"),
            full.move(f"{at}/other", at, "another"),
            full.delete(f"{at}/another"),
            full.mkdir(at, "folder"),
        ):
            either.kill_sessions()
            await until(lambda: either.sessions() == [])
            await verb
        assert await names(full, at) == ["file", "folder"]


async def test_a_login_that_the_server_timed_out_is_replaced(tmp_path: Path) -> None:
    """It has said 421 into the silence, and closed."""
    with vsftpd(tmp_path / "vsftpd", extra="idle_session_timeout=1\n") as server:
        async with store(server).opened() as connector:
            await connector.stat("")
            await until(lambda: server.sessions() == [])
            await put(connector, "", "file")


async def test_a_login_that_breaks_in_a_transfer(either: Proftpd | Vsftpd) -> None:
    at, content = folder(either), os.urandom(20 * MIB)
    async with store(either).opened() as connector:
        entry = await put(connector, at, "file", content)
        opened = await connector.read(entry.raw_id)
        async with aclosing(cast("Any", opened.chunks)) as chunks:
            await anext(chunks)
            either.kill_sessions()
            with pytest.raises(Unavailable):
                _ = [piece async for piece in chunks]
        assert await whole(connector, entry.raw_id) == content

        async def source() -> AsyncIterator[bytes]:
            yield b"x" * MIB
            either.kill_sessions()
            while True:
                yield b"x" * MIB

        with pytest.raises(Unavailable):
            await connector.write(at, "broken", source(), size=None, replace=False)
        await until(lambda: os.listdir(either.data / at) == ["file"])


async def test_a_cancelled_reader_ends_the_server_s_side_at_once(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    (either.data / at / "file").write_bytes(bytes(50 * MIB))
    await until(lambda: either.sessions() == [])
    async with store(either).opened() as connector:
        begun = asyncio.Event()

        async def read() -> None:
            opened = await connector.read(f"{at}/file")
            async with aclosing(cast("Any", opened.chunks)) as chunks:
                async for _ in chunks:
                    begun.set()
                    await asyncio.sleep(3600)

        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(read())
            await begun.wait()
            assert len(either.sessions()) >= 1
            reader.cancel()
        await until(lambda: either.sessions() == [], within=3.0)


async def test_a_closed_account(facts: Proftpd) -> None:
    at = folder(facts)
    async with store(facts).opened() as connector:
        entry = await put(connector, at, "file", b"x" * 20 * MIB)
        opened = await connector.read(entry.raw_id)
        await anext(opened.chunks)
        await connector.aclose()
        with pytest.raises(Unavailable):
            _ = [piece async for piece in opened.chunks]
        with pytest.raises(Unavailable, match="closed"):
            await connector.stat("")


# refusals


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (421, Unavailable),
        (425, Unavailable),
        (426, Unavailable),
        (450, Unavailable),
        (452, OutOfSpace),
        (500, Unsupported),
        (530, Unavailable),
        (534, UntrustedHost),
        (550, NotFound),
        (552, OutOfSpace),
        (553, InvalidName),
        (299, BadAnswer),
    ],
)
def test_a_reply_is_an_error_of_ours(code: int, error: type[StoreError]) -> None:
    told = refusal(Reply(code, ["-/home/ann/secret is on 10.1.2.3", " end"]))
    assert isinstance(told, error)
    assert "secret" not in str(told)
    assert "10.1" not in str(told)


async def test_an_account_that_may_only_read(tmp_path: Path) -> None:
    with vsftpd(tmp_path / "vsftpd", extra="write_enable=NO\n") as server:
        (server.data / "file").write_text("kept")
        (server.data / "folder").mkdir()
        async with store(server).opened() as connector:
            full = cast("FullConnector", connector)
            for verb in (
                put(full, "", "new"),
                put(full, "", "file", replace=True),
                full.mkdir("", "new"),
                full.move("file", "", "new"),
                full.delete("file"),
                full.delete("folder"),
            ):
                with pytest.raises(NotPermitted):
                    await verb
            with pytest.raises(AlreadyExists):
                await full.mkdir("", "folder")
            with pytest.raises(NotFound):
                await full.mkdir("nowhere", "folder")
            assert await whole(full, "file") == b"kept"


async def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    with vsftpd(tmp_path / "vsftpd", extra="deny_file=*.key\n") as server:
        (server.data / "private.key").write_text("secret")
        async with store(server).opened() as connector:
            with pytest.raises(StoreError) as told:
                await connector.read("private.key")
            assert isinstance(told.value, NotFound | NotPermitted)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a small file system")
async def test_a_full_disk(tmp_path: Path) -> None:
    with proftpd(tmp_path / "proftpd") as server, small_disk(server.data, MIB):
        async with store(server).opened() as connector:
            with pytest.raises(OutOfSpace):
                await put(connector, "", "file", bytes(8 * MIB))
            assert os.listdir(server.data) == []
            await put(connector, "", "small", b"fits")
    with vsftpd(tmp_path / "vsftpd") as other, small_disk(other.data, MIB):
        async with store(other).opened() as connector:
            with pytest.raises(OutOfSpace):
                await put(connector, "", "file", bytes(8 * MIB))
            assert os.listdir(other.data) == []


async def test_a_server_that_renames_over_nothing(tmp_path: Path) -> None:
    with proftpd(tmp_path / "proftpd", overwrite=False) as server:
        async with store(server).opened() as connector:
            full = cast("FullConnector", connector)
            await put(full, "", "file", b"first")
            await put(full, "", "file", b"second", replace=True)
            assert await whole(full, "file") == b"second"
            await put(full, "", "other", b"third")
            await full.move("other", "", "file", replace=True)
            assert await whole(full, "file") == b"third"
            assert os.listdir(server.data) == ["file"]


async def test_a_file_that_may_not_be_replaced_stays(tmp_path: Path) -> None:
    """It was set aside, its successor may not have the name, and it comes back."""
    extra = '<Directory {folder}/data>\n  PathDenyFilter "/file$"\n</Directory>\n'
    with proftpd(tmp_path / "proftpd", overwrite=False, extra=extra) as server:
        (server.data / "file").write_text("first")
        async with store(server).opened() as connector:
            with pytest.raises(NotPermitted):
                await put(connector, "", "file", b"second", replace=True)
        assert (server.data / "file").read_text() == "first"
        assert os.listdir(server.data) == ["file"]


async def test_a_move_that_is_cancelled_loses_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that it replaces is set aside at that moment."""
    aside = asyncio.Event()
    rename = tree.Tree._rename

    async def told(self: tree.Tree, control: Any, parts: list[str], to: list[str]) -> Any:
        reply = await rename(self, control, parts, to)
        if to[-1].startswith(".isthmus-"):
            aside.set()
            await asyncio.sleep(0)  # the cancellation comes in between
        return reply

    monkeypatch.setattr(tree.Tree, "_rename", told)
    with proftpd(tmp_path / "proftpd", overwrite=False) as server:
        for name in ("old", "new"):
            (server.data / name).write_text(name)
        async with store(server).opened() as connector:
            async with asyncio.TaskGroup() as tasks:
                full = cast("FullConnector", connector)
                move = tasks.create_task(full.move("new", "", "old", replace=True))
                await aside.wait()
                assert sorted(os.listdir(server.data))[0].startswith(".isthmus-")
                move.cancel()
            assert move.cancelled()
        assert os.listdir(server.data) == ["old"]
        assert (server.data / "old").read_text() == "new"


async def test_an_error_of_the_source_is_passed_on_as_it_is(either: Proftpd | Vsftpd) -> None:
    """Although it is one that we explain when it is the store's."""
    at = folder(either)
    error = NotFound("the other account's file is gone")

    async def breaking() -> AsyncIterator[bytes]:
        yield b"a" * 300_000
        raise error

    async with store(either).opened() as connector:
        with pytest.raises(NotFound) as told:
            await connector.write(at, "name", breaking(), size=None, replace=False)
        assert told.value is error
        assert os.listdir(either.data / at) == []
        await connector.stat(at)


async def test_a_folder_is_never_replaced(either: Proftpd | Vsftpd) -> None:
    """rename(2) would put a folder in an empty one's place."""
    at = folder(either)
    async with store(either).opened() as connector:
        full = cast("FullConnector", connector)
        for name in ("one", "two"):
            await full.mkdir(at, name)
        await put(full, at, "file")
        for source, name in (("one", "two"), ("file", "two"), ("one", "file")):
            with pytest.raises(AlreadyExists):
                await full.move(f"{at}/{source}", at, name, replace=True)
        with pytest.raises(StoreError):
            await full.move(f"{at}/one", f"{at}/one", "below itself")
        assert await names(full, at) == ["file", "one", "two"]


# names


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


# entries


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


async def test_a_file_that_changes_while_it_is_read(either: Proftpd | Vsftpd) -> None:
    at = folder(either)
    path = either.data / at / "file"

    def append() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    for change in (append, lambda: os.utime(path, (1, 1))):
        path.write_bytes(bytes(8 * MIB))
        for span in (None, Span(0, 4 * MIB)):
            async with store(either).opened() as connector:
                opened = await connector.read(f"{at}/file", span)
                await anext(opened.chunks)
                change()
                with pytest.raises(PreconditionFailed):
                    _ = [piece async for piece in opened.chunks]
            path.write_bytes(bytes(8 * MIB))


# large files


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clear", "encrypted"])
async def test_large_files_at_constant_memory(lines: Vsftpd, encrypted: Vsftpd, kind: str) -> None:
    server = lines if kind == "clear" else encrypted
    at, size = folder(server), 256 * MIB
    piece = os.urandom(256 * 1024)
    sent = hashlib.sha256()

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            sent.update(piece)
            yield piece

    async with store(server).opened() as connector:
        tracemalloc.start()
        try:
            entry = await connector.write(at, "large", source(), size=None, replace=False)
            assert entry.size == size
            got = hashlib.sha256()
            opened = await connector.read(entry.raw_id)
            async for number, part in _numbered(opened.chunks):
                if number == 3:
                    await asyncio.sleep(0.5)  # a reader that is slow: the store has to wait
                got.update(part)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert got.digest() == sent.digest()
        assert peak < 12 * MIB
        await connector.delete(entry.raw_id)


async def _numbered(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for chunk in chunks:
        yield number, chunk
        number += 1


# what is logged


async def test_logs_have_no_name_no_address_and_no_secret(
    facts: Proftpd, caplog: pytest.LogCaptureFixture
) -> None:
    at = folder(facts)
    with caplog.at_level(logging.DEBUG):
        async with store(facts).opened() as connector:
            await put(connector, at, "quiet name")
            await names(connector, at)
    assert not [record for record in caplog.records if record.name.startswith("aioftp")]
    for word in ("quiet name", "127.0.0.1", pro.PASSWORD, pro.USER):
        assert word not in caplog.text
