"""A real `rclone serve s3` on a temporary folder and a free port: a second implementation of the protocol."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.sshd import free_port, wait_for_port

_RCLONE = Path(sys.executable).with_name("rclone")


@dataclass(frozen=True)
class RcloneS3:
    """`data` is the bucket's folder."""

    endpoint: str
    data: Path


@contextmanager
def rclone_s3(folder: Path, access_key: str, secret_key: str, bucket: str) -> Iterator[RcloneS3]:
    """The server, until the context ends."""
    port, data = free_port(), folder / "buckets" / bucket
    data.mkdir(parents=True)
    server = subprocess.Popen(
        [
            *(str(_RCLONE), "--config", str(folder / "none"), "--cache-dir", str(folder / "cache")),
            *("serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{access_key},{secret_key}"),
            *("--etag-hash", "MD5", str(folder / "buckets")),
        ],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield RcloneS3(f"http://127.0.0.1:{port}", data)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
