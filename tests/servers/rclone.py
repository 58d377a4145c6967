"""rclone as a server: a second implementation beside the usual one, which lacks some of what that can."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.sshd import free_port, wait_for_port

USER, PASSWORD = "ann", "secret"


@dataclass(frozen=True)
class Rclone:
    port: int
    data: Path
    url: str


@contextmanager
def rclone(folder: Path, kind: str) -> Iterator[Rclone]:
    """`kind` is a protocol of `rclone serve`, such as sftp or webdav."""
    data = folder / "data"
    data.mkdir(parents=True)
    port = free_port()
    beside = Path(sys.executable).parent / "rclone"
    command = str(beside) if beside.exists() else shutil.which("rclone") or "rclone"
    own = ["--config", str(folder / "none.conf"), "--cache-dir", str(folder / "cache")]
    login = ["--addr", f"127.0.0.1:{port}", "--user", USER, "--pass", PASSWORD]
    server = subprocess.Popen(
        [command, "serve", kind, *login, *own, str(data)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield Rclone(port, data, f"http://127.0.0.1:{port}/")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
