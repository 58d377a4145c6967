"""Descriptors from the worker to the proxy: real sockets in between, the dial itself is a double."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from connectors.interface import NotPermitted, Unavailable
from gateway.operations import AccountRef, WorkerUnavailable
from gateway.operations.dialing import Dialing
from gateway.worker import dialing
from gateway.worker.operations.dials import DIALS
from gateway.worker.outside.ways import Opened

ACCOUNT = AccountRef(1, 1)

type Opens = Callable[[dict[str, Any]], Awaitable[socket.socket]]


class Desk:
    """A double of the desk: what leads there is the question itself, and `opens` makes it a socket."""

    def __init__(self, opens: Opens, agent_left: asyncio.Event | None) -> None:
        self.ways = self
        self._opens = opens
        self._agent_left = agent_left

    async def opened(self, question: dict[str, Any]) -> Opened:
        return Opened(await self._opens(question), self._agent_left)


@asynccontextmanager
async def worker(
    place: Path, monkeypatch: pytest.MonkeyPatch, opens: Opens, agent_left: asyncio.Event | None = None
) -> AsyncIterator[Dialing]:
    async def store(desk: Desk, question: dict[str, Any]) -> dict[str, Any]:
        return question

    double: Any = store
    monkeypatch.setitem(DIALS, "store", double)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(place))
    listening.listen()
    desk: Any = Desk(opens, agent_left)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(dialing.serve(desk, listening))
        yield Dialing(place)
        serving.cancel()


def some_socket() -> socket.socket:
    kept, given = socket.socketpair()
    kept.close()
    return given


async def test_a_connected_socket_comes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    ours: list[socket.socket] = []

    async def opens(question: dict[str, Any]) -> socket.socket:
        asked.append(question)
        kept, given = socket.socketpair()
        ours.append(kept)
        return given

    async with worker(tmp_path / "s", monkeypatch, opens) as there:
        with (await there.store(ACCOUNT, "a.example", 443, tls=True)).sock as got:
            assert not got.get_inheritable()
            ours[0].sendall(b"greeting")
            assert got.recv(100) == b"greeting"
        assert ours[0].recv(1) == b"", "nobody else has kept it open"
        ours[0].close()
    account = {"id": 1, "revision": 1}
    assert asked == [{"dial": "store", "account": account, "host": "a.example", "port": 443, "tls": True}]


async def test_many_at_once_each_get_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def opens(question: dict[str, Any]) -> socket.socket:
        kept, given = socket.socketpair()
        await asyncio.sleep(question["port"] % 3 / 100)
        with kept:
            kept.sendall(str(question["port"]).encode())
        return given

    async def ask(there: Dialing, port: int) -> None:
        with (await there.store(ACCOUNT, "a.example", port, tls=False)).sock as got:
            assert got.recv(100) == str(port).encode()

    async with worker(tmp_path / "s", monkeypatch, opens) as there, asyncio.TaskGroup() as asking:
        for port in range(1, 101):
            asking.create_task(ask(there, port))


async def test_the_proxy_is_told_when_the_agent_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def opens(_: dict[str, Any]) -> socket.socket:
        return some_socket()

    left = asyncio.Event()
    async with worker(tmp_path / "s", monkeypatch, opens, left) as there:
        given_up = await there.store(ACCOUNT, "a.example", 443, tls=False)
        given_up.close()
        with closing(await there.store(ACCOUNT, "a.example", 443, tls=False)) as dialled:
            assert dialled.agent is not None
            with pytest.raises(BlockingIOError):
                dialled.agent.recv(1)
            left.set()
            async with asyncio.timeout(5):
                assert await asyncio.get_running_loop().sock_recv(dialled.agent, 1) == b""


@pytest.mark.parametrize("error", [NotPermitted("not there"), Unavailable("it is down")])
async def test_why_there_is_none_comes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def opens(_: dict[str, Any]) -> socket.socket:
        raise error

    async with worker(tmp_path / "s", monkeypatch, opens) as there:
        with pytest.raises(type(error), match=str(error)):
            await there.store(ACCOUNT, "a.example", 443, tls=False)


async def test_a_fault_of_ours_is_not_shown_and_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def opens(question: dict[str, Any]) -> socket.socket:
        if question["port"] == 1:
            raise RuntimeError("inner words")
        return some_socket()

    async with worker(tmp_path / "s", monkeypatch, opens) as there:
        with pytest.raises(Unavailable, match="its log has the reason"):
            await there.store(ACCOUNT, "a.example", 1, tls=False)
        (await there.store(ACCOUNT, "a.example", 2, tls=False)).close()


async def test_a_dial_that_nobody_waits_for_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def opens(_: dict[str, Any]) -> socket.socket:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        raise AssertionError("it was waited for")

    async with worker(tmp_path / "s", monkeypatch, opens) as there, asyncio.TaskGroup() as asking:
        one = asking.create_task(there.store(ACCOUNT, "a.example", 443, tls=False))
        await begun.wait()
        one.cancel()
        async with asyncio.timeout(5):
            await ended.wait()


@pytest.mark.parametrize("question", [b"", b"{", b"\n", b"[]\n", b'{"dial": "elsewhere"}\n', b"x" * 200_000])
async def test_what_is_no_question_gets_no_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: bytes
) -> None:
    async def opens(_: dict[str, Any]) -> socket.socket:
        return some_socket()

    async with worker(tmp_path / "s", monkeypatch, opens) as there:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(question)
        writer.write_eof()
        answer = b""
        with suppress(ConnectionResetError):  # of what it did not read
            answer = await reader.read()
        writer.close()
        assert not answer or json.loads(answer)["error"]
        (await there.store(ACCOUNT, "a.example", 443, tls=False)).close()


async def test_without_a_worker_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkerUnavailable):
        await Dialing(tmp_path / "nothing").store(ACCOUNT, "a.example", 443, tls=False)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        listening.setblocking(False)

        async def hangs_up() -> None:
            (await asyncio.get_running_loop().sock_accept(listening))[0].close()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hangs_up())
            with pytest.raises(WorkerUnavailable):
                await Dialing(tmp_path / "s").store(ACCOUNT, "a.example", 443, tls=False)
