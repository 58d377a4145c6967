"""The gateway's own processes: started as an operator starts them, and found again."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.sshd import wait_for_port


@contextmanager
def serving(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    *ports: int,
    folder: Path | None = None,
) -> Iterator[None]:
    """All of the gateway's processes, from when the ports answer until they have ended."""
    with log.open("ab") as written:
        running = subprocess.Popen(
            command, cwd=folder, stdout=written, stderr=written, start_new_session=True, env=environment
        )
    try:
        for port in ports:
            wait_for_port(port, 60)
        yield
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def processes(data: Path, *roles: str) -> list[Path]:
    """Those of the gateway with this data folder that play these roles (none given: all), in /proc."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().split("\0")
            ours = f"ISTHMUS_DATA={data}" in (process / "environ").read_text().split("\0")
        except OSError:  # it has ended
            continue
        if ours and (not roles or set(roles) & set(words)):
            found.append(process)
    return found
