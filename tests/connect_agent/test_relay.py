"""The relay's first moments: a store that speaks before both ends stand is heard."""

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from connect_agent.tunnel.relay import RelayEnd, SocketEnd

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


async def relayed(closes: bool) -> bytes:
    """What comes out of a relay whose store has spoken, and perhaps ended, before it was made."""
    store, near_socket = socket.socketpair()
    far_socket, client = socket.socketpair()
    for sock in (near_socket, far_socket, client):
        sock.setblocking(False)
    store.sendall(b"220 ready\r\n")
    if closes:
        store.shutdown(socket.SHUT_WR)
    loop = asyncio.get_running_loop()
    near = SocketEnd(bytearray(65536))
    await loop.create_connection(lambda: near, sock=near_socket)
    await asyncio.sleep(0.05)  # time for a loop to read what it was not asked to read
    far = near.peer = RelayEnd(peer=near)
    await loop.create_connection(lambda: far, sock=far_socket)
    near.begin()
    received = b""
    async with asyncio.timeout(5):
        while closes or len(received) < 11:
            piece = await loop.sock_recv(client, 4096)
            if not piece:
                break
            received += piece
    store.close()
    client.close()
    near.transport.abort()
    far.transport.abort()
    await asyncio.sleep(0)
    return received


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("closes", [False, True], ids=["stays", "closes"])
def test_what_a_store_says_first_is_not_lost(loop: str, closes: bool) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(relayed(closes)) == b"220 ready\r\n"
