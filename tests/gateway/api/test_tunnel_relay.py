"""The websocket `/connect` against a hub on a Unix socket: every byte, at the slower end's pace."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.gateway.api.served import Gateway

PROTOCOL = Subprotocol("isthmus.tunnel.1")
Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def hub(gateway: Gateway, handler: Handler) -> AsyncIterator[None]:
    path = gateway.settings.hub_socket
    path.unlink(missing_ok=True)
    async with unix_serve(
        handler, str(path), subprotocols=[PROTOCOL], compression=None, max_size=4 * 1024 * 1024
    ):
        yield
    path.unlink(missing_ok=True)


def agent(gateway: Gateway, protocol: str = PROTOCOL) -> connect:
    return connect(
        f"ws://127.0.0.1:{gateway.port}/connect",
        subprotocols=[Subprotocol(protocol)],
        compression=None,
        max_size=4 * 1024 * 1024,
        proxy=None,
    )


async def test_messages_arrive_whole_and_in_order_both_ways(gateway: Gateway) -> None:
    async def echo(websocket: ServerConnection) -> None:
        async for message in websocket:
            await websocket.send(message)

    messages = [os.urandom(size) for size in (0, 1, 65_536, 1_000_000, 2 * 1024 * 1024, 7)]
    async with hub(gateway, echo), agent(gateway) as websocket:
        assert websocket.subprotocol == PROTOCOL
        for message in messages:
            await websocket.send(message)
            assert await websocket.recv() == message


async def test_a_hub_that_reads_slowly_slows_the_agent_down(gateway: Gateway) -> None:
    go_on, ended = asyncio.Event(), asyncio.Event()
    received: list[int] = []

    async def slow(websocket: ServerConnection) -> None:
        await go_on.wait()
        async for message in websocket:
            received.append(len(message))
        ended.set()

    piece = os.urandom(256 * 1024)
    sent = 0
    async with hub(gateway, slow), agent(gateway) as websocket:
        with suppress(TimeoutError):
            async with asyncio.timeout(3):
                while True:
                    sent += 1  # the last one is in the buffer when time is up
                    await websocket.send(piece)
        assert sent * len(piece) < 64 * 1024 * 1024  # socket buffers of two hops, and no more
        go_on.set()
        await websocket.close()
        async with asyncio.timeout(10):
            await ended.wait()
    assert received == [len(piece)] * sent


async def test_the_hubs_end_is_told_to_the_agent(gateway: Gateway) -> None:
    async def revoked(websocket: ServerConnection) -> None:
        await websocket.recv()
        await websocket.close(4003, "revoked")

    async with hub(gateway, revoked), agent(gateway) as websocket:
        await websocket.send(b"hello")
        assert await closed(websocket) == (4003, "revoked")


async def test_a_hub_that_breaks_is_worth_trying_again(gateway: Gateway) -> None:
    async def broken(websocket: ServerConnection) -> None:
        await websocket.recv()
        websocket.transport.abort()

    async with hub(gateway, broken), agent(gateway) as websocket:
        await websocket.send(b"hello")
        assert (await closed(websocket))[0] == 1013


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_the_agents_end_reaches_the_hub_at_once(gateway: Gateway, how: str) -> None:
    ended = asyncio.Event()

    async def waiting(websocket: ServerConnection) -> None:
        await websocket.wait_closed()
        ended.set()

    async with hub(gateway, waiting):
        websocket = await agent(gateway)
        await websocket.send(b"hello")
        if how == "abort":
            websocket.transport.abort()
        else:
            await websocket.close()
        async with asyncio.timeout(2):
            await ended.wait()


async def test_text_is_no_tunnel(gateway: Gateway) -> None:
    async def silent(websocket: ServerConnection) -> None:
        await websocket.wait_closed()

    async with hub(gateway, silent), agent(gateway) as websocket:
        await websocket.send("text")
        assert (await closed(websocket))[0] == 1003


async def test_without_a_worker_the_agent_is_told_when_to_come_back(gateway: Gateway) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await agent(gateway)
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"]


async def test_another_subprotocol_is_refused(gateway: Gateway) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await agent(gateway, "chat")
    assert refused.value.response.status_code == 400


async def closed(websocket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        async with asyncio.timeout(5):
            await websocket.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason
