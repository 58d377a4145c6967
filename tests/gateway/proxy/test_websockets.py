"""Websockets through the proxy: the handshake is authorised, then bytes pass and nothing is kept."""

import asyncio
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidProxyStatus, InvalidStatus

from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.test_large import MIB, resident
from tests.gateway.proxy.test_tokens import scoped
from tests.servers.websocket_echo import LARGEST, PASSWORD, USER, WebsocketEcho, websocket_echo

pytestmark = [pytest.mark.server, pytest.mark.journey]

PROGRAM = """
import sys
from websockets.sync.client import connect
with connect(sys.argv[1]) as socket:
    socket.send("from a program")
    print(socket.recv())
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebsocketEcho]:
    with websocket_echo(tmp_path_factory.mktemp("echo")) as server:
        yield server


@pytest.fixture(scope="module")
def listener(proxied: Proxied, echo: WebsocketEcho) -> Account:
    return added(proxied, echo)


def added(proxied: Proxied, server: WebsocketEcho) -> Account:
    """An account for the server. It is no WebDAV, so the check at adding is not asked to be `ok`."""
    ca = server.log.with_name("cert.pem")
    made = proxied.isthmus(
        *("account", "add", "webdav", "--app", proxied.app["id"], "--set", f"url={server.url}"),
        *("--set", f"username={USER}", "--set", f"password={PASSWORD}", "--set", f"ca=@{ca}"),
    )
    return Account(made["id"], made["access_token"])


@asynccontextmanager
async def opened(
    proxied: Proxied,
    account: Account,
    server: WebsocketEcho,
    *,
    token: str | None = None,
    compression: str | None = "deflate",
) -> AsyncIterator[ClientConnection]:
    async with connect(
        f"wss://localhost:{server.port}/",
        proxy=proxied.url(account, token),
        ssl=ssl.create_default_context(cafile=str(proxied.ca)),
        max_size=LARGEST,
        compression=compression,
    ) as connection:
        yield connection


async def test_without_the_proxy_the_server_lets_nobody_in(echo: WebsocketEcho) -> None:
    tls = ssl.create_default_context(cadata=echo.ca)
    with pytest.raises(InvalidStatus, match="401"):
        async with connect(f"wss://localhost:{echo.port}/", ssl=tls, proxy=None):
            pass


def test_a_program_of_exec_talks_both_ways(proxied: Proxied, listener: Account, echo: WebsocketEcho) -> None:
    done = proxied.exec(listener, sys.executable, "-c", PROGRAM, f"wss://localhost:{echo.port}/")
    assert (done.stdout, done.returncode) == ("from a program\n", 0), done.stderr


async def test_large_messages_pass_whole_both_ways(
    proxied: Proxied, listener: Account, echo: WebsocketEcho
) -> None:
    async with opened(proxied, listener, echo) as connection:
        for message in (os.urandom(8 * MIB), "grüße " * MIB, b"", ""):
            await connection.send(message)
            assert await connection.recv() == message


async def test_ten_thousand_messages_take_no_memory(
    proxied: Proxied, listener: Account, echo: WebsocketEcho
) -> None:
    async def flooded(count: int) -> None:
        await connection.send(f"flood {count}")
        for number in range(count):
            assert str(await connection.recv()).startswith(f"{number} ")

    async with opened(proxied, listener, echo) as connection:
        await flooded(1000)  # all is loaded and open
        before = resident(proxied)
        await flooded(10_000)
        assert resident(proxied) - before < 4 * MIB


async def test_a_reader_that_stops_stops_the_server(
    proxied: Proxied, listener: Account, echo: WebsocketEcho
) -> None:
    async with opened(proxied, listener, echo, compression=None) as connection:
        before = resident(proxied)
        await connection.send("flood 100000")  # 100 MB, of which the client keeps some messages
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:  # as long as the server would take to send all of it
            assert resident(proxied) - before < 16 * MIB
            await asyncio.sleep(0.1)
        connection.transport.abort()


async def test_close_codes_arrive_from_both_sides(
    proxied: Proxied, listener: Account, echo: WebsocketEcho
) -> None:
    async with opened(proxied, listener, echo) as connection:
        await connection.send("close 4001 enough of it")
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert (connection.close_code, connection.close_reason) == (4001, "enough of it")
    async with opened(proxied, listener, echo) as connection:
        await connection.close(4002, "so do I")
    await _until(lambda: "closed 4002 so do I" in echo.log.read_text())


async def test_pings_are_answered_by_the_other_side(
    proxied: Proxied, listener: Account, echo: WebsocketEcho
) -> None:
    async with opened(proxied, listener, echo) as connection, asyncio.timeout(10):
        assert await (await connection.ping(b"are you there")) >= 0


async def test_a_server_that_is_killed_ends_the_clients_side(proxied: Proxied, tmp_path: Path) -> None:
    with websocket_echo(tmp_path) as server:
        account = await asyncio.to_thread(added, proxied, server)
        async with opened(proxied, account, server) as connection:
            await connection.send("x")
            await connection.recv()
            server.kill()
            async with asyncio.timeout(5):
                with pytest.raises(ConnectionClosed):
                    await connection.recv()
            assert connection.close_code == 1006  # nobody said goodbye


async def test_a_client_that_is_gone_ends_the_servers_side(
    proxied: Proxied, listener: Account, echo: WebsocketEcho
) -> None:
    async with opened(proxied, listener, echo) as connection:
        connection.transport.abort()
    await _until(lambda: "closed 1006" in echo.log.read_text())


async def test_a_revoked_token_ends_an_open_websocket(
    proxied: Proxied, listener: Account, echo: WebsocketEcho
) -> None:
    made = await asyncio.to_thread(scoped, proxied, listener)
    async with opened(proxied, listener, echo, token=made["token"]) as connection:
        await connection.send("x")
        await connection.recv()
        await asyncio.to_thread(proxied.isthmus, "proxy", "token", "revoke", str(made["id"]))
        await asyncio.sleep(1.1)  # what the page promises: a second
        await connection.send("y")
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionClosed):
                await connection.recv()


async def test_a_read_only_token_opens_none(proxied: Proxied, listener: Account, echo: WebsocketEcho) -> None:
    made = await asyncio.to_thread(scoped, proxied, listener, "--read-only")
    with pytest.raises(InvalidStatus, match="403"):
        async with opened(proxied, listener, echo, token=made["token"]):
            pass


async def test_another_accounts_token_opens_none(
    proxied: Proxied, account: Account, echo: WebsocketEcho
) -> None:
    with pytest.raises(InvalidProxyStatus, match="403"):
        async with opened(proxied, account, echo):
            pass


async def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
