"""Processes that a measurement starts, and what they cost: CPU seconds and memory of whole trees."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_LAST_LINES = 20  # of each log, shown when a measurement fails


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for_port(port: int, within: float = 60.0) -> None:
    """Returns when something listens."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


class Fleet:
    """Processes with logs, stopped at the end of the context, last first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *command: str | Path, port: int | None = None) -> psutil.Process:
        """A process; returns once its port listens."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command], stdout=log, stderr=log, start_new_session=True
            )
        self._running.append(process)
        if port is not None:
            wait_for_port(port)
        return psutil.Process(process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._show_logs()
        for process in reversed(self._running):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _show_logs(self) -> None:
        for log in sorted(self.folder.glob("**/*.log")):
            for line in log.read_text(errors="replace").splitlines()[-_LAST_LINES:]:
                print(f"{log.stem}: {line}", file=sys.stderr)


def tree(roots: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes and everything below them."""
    found = []
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [root, *root.children(recursive=True)]
    return found


def cpu(roots: Iterable[psutil.Process]) -> float:
    """CPU seconds used so far, in user and kernel mode."""
    used = 0.0
    for process in tree(roots):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return used


def resident(roots: Iterable[psutil.Process]) -> int:
    """Resident bytes, shared pages counted once (proportional set size)."""
    used = 0
    for process in tree(roots):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += process.memory_full_info().pss
    return used
