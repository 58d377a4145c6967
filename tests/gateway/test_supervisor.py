"""The supervisor: alone on its folder, and not ended by one process that can't be started."""

import asyncio
import errno
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from gateway import supervisor
from gateway.settings import Settings
from gateway.supervisor import Supervisor
from tests.servers.gateway import serving
from tests.servers.sshd import free_port

ISTHMUS = Path(sys.executable).with_name("isthmus")


def test_a_second_supervisor_leaves_the_first_ones_folder_alone(tmp_path: Path) -> None:
    data = tmp_path / "state"
    environment = {"ISTHMUS_DATA": str(data), "PATH": "/usr/bin:/bin"}
    subprocess.run([ISTHMUS, "init"], env=environment, check=True, capture_output=True)
    port = free_port()
    with serving([str(ISTHMUS), "serve", "--port", str(port)], tmp_path / "log", environment, port):
        sockets = {one: one.stat().st_ino for one in (data / "run").glob("*.sock")}
        second = subprocess.run(
            [ISTHMUS, "serve", "--port", str(free_port())],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode == 1
        assert f"'isthmus serve' is running already for {data}" in second.stderr
        assert sockets == {one: one.stat().st_ino for one in (data / "run").glob("*.sock")}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            assert answer.status == 200


class Child:
    """A double of a process that runs until it is told to end."""

    returncode: int | None = None

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def wait(self) -> int:
        await self.ended.wait()
        return 0

    def terminate(self) -> None:
        self.ended.set()


@pytest.fixture
def alone(tmp_path: Path) -> Supervisor:
    return Supervisor(Settings(data=tmp_path))


async def test_a_process_that_cant_be_started_now_is_started_later(
    alone: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_SHORTEST_LIFE", 0.01)
    failures = 2

    async def execute(*_: Any, **__: Any) -> Child:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return Child()

    monkeypatch.setattr(asyncio, "create_subprocess_exec", execute)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(alone._keep("worker"))
        while not alone._children:
            await asyncio.sleep(0.01)
        alone._stopping.set()
        alone._children["worker", 1].terminate()
