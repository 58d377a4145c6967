"""Connecting to one of several addresses: one that is silent does not use up the others' time."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from gateway.worker.outside.reach import connected


@pytest.fixture
def port() -> Iterator[int]:
    """Where 127.0.0.1 answers, 127.0.0.2 says nothing at all, and 127.0.0.3 refuses."""
    with contextlib.ExitStack() as stack:
        answering, silent = (stack.enter_context(socket.socket()) for _ in range(2))
        answering.bind(("127.0.0.1", 0))
        answering.listen()
        found: int = answering.getsockname()[1]
        silent.bind(("127.0.0.2", found))
        silent.listen(0)
        for _ in range(3):  # its queue is full from here on: the kernel drops what comes
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", found))
        yield found


async def test_a_silent_address_leaves_time_for_the_next(port: int) -> None:
    addresses = [ip_address("127.0.0.2"), ip_address("127.0.0.1")]
    async with asyncio.timeout(5):
        with await connected(addresses, port, 1.0) as sock:
            assert sock.getpeername()[0] == "127.0.0.1"


async def test_all_have_one_deadline_and_the_first_failure_is_told(port: int) -> None:
    addresses = [ip_address("127.0.0.3"), *[ip_address("127.0.0.2")] * 3]
    began = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        await connected(addresses, port, 0.6)
    assert time.monotonic() - began < 2
