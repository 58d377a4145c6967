"""Who leaves in the middle leaves nothing on the server, and no login that nobody can have again."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, cast

import pytest

from connectors.conformance.kit import FullConnector, put, whole
from connectors.ftp.control import Control
from connectors.interface import Connector
from connectors.interface.paths import TEMPORARY
from tests.connectors.ftp.stores import folder, store
from tests.connectors.leaving import CONTENT, Verb, let_go
from tests.servers.open_files import descendants, open_files
from tests.servers.proftpd import Proftpd
from tests.servers.vsftpd import Vsftpd

VERBS: dict[str, Callable[[str], Verb]] = {
    "read": lambda at: lambda store: store.read(f"{at}/file"),
    "write": lambda at: lambda store: put(store, at, "new", CONTENT),
    "replace": lambda at: lambda store: put(store, at, "file", CONTENT, replace=True),
    "move": lambda at: lambda store: cast("FullConnector", store).move(f"{at}/file", at, "new"),
    "list": lambda at: lambda store: store.list(at, None, 10),
}


async def nothing_left(server: Proftpd | Vsftpd, at: str, connector: Connector) -> None:
    """Every login and every place is free again; files that have their name are whole."""
    pool = cast("Any", connector)._pool
    async with asyncio.timeout(10):
        while (
            pool._used
            or any(name.startswith(TEMPORARY) for name in os.listdir(server.data / at))
            or open_files(server.data, descendants(server.pid))
        ):
            await asyncio.sleep(0.01)
    assert (pool._slots._value, pool._transfers._value) == (4, 3)
    assert not pool._last_used
    found = os.listdir(server.data / at)
    assert found
    for name in found:
        assert await whole(connector, f"{at}/{name}") == CONTENT


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
async def test_cancelled_at_any_moment_nothing_stays_open(
    either: Proftpd | Vsftpd, verb: Callable[[str], Verb]
) -> None:
    handles = len(os.listdir("/proc/self/fd"))
    for turns in range(0, 24, 3):
        at = folder(either)
        async with store(either, connections=4).opened() as connector:
            (either.data / at / "file").write_bytes(CONTENT)
            if turns % 2:  # with a login that stands, and without one
                await connector.stat(at)
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(verb(at)(connector))
                for _ in range(turns):
                    await asyncio.sleep(0.0005)
                task.cancel()
            await let_go(connector, task)
            await nothing_left(either, at, connector)
    async with asyncio.timeout(10):
        while len(os.listdir("/proc/self/fd")) > handles:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("verb", "command"),
    [("read", "EPSV"), ("read", "RETR"), ("list", "MLSD"), ("move", "RNFR"), ("move", "RNTO")]
    + [("write", command) for command in ("EPSV", "STOR", "RNFR", "RNTO")],
)
async def test_whoever_leaves_before_the_answer_leaves_nothing(
    either: Proftpd | Vsftpd, verb: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stands still when it is asked, and answers when nobody waits any more."""
    if command == "MLSD" and isinstance(either, Vsftpd):
        command = "LIST"
    at = folder(either)
    (either.data / at / "file").write_bytes(CONTENT)
    asked = asyncio.Event()
    send = Control.command

    async def sent(control: Control, text: str, *more: Any) -> Any:
        if text.startswith(command) and not asked.is_set():
            for pid in either.sessions():
                os.kill(pid, signal.SIGSTOP)
            asked.set()
        return await send(control, text, *more)

    async with store(either, connections=4).opened() as connector:
        monkeypatch.setattr(Control, "command", sent)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(VERBS[verb](at)(connector))
            async with asyncio.timeout(10):
                await asked.wait()
            await asyncio.sleep(0.05)  # the command is on its way
            running.cancel()
            await asyncio.sleep(0.05)
            for pid in either.sessions():
                os.kill(pid, signal.SIGCONT)
        monkeypatch.undo()
        assert running.cancelled()
        await nothing_left(either, at, connector)
