"""rclone as a server: a second implementation beside the usual one, which lacks some of what that can."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.sshd import free_port, wait_for_port

USER, PASSWORD = "ann", "secret"
_RCLONE = Path(sys.executable).with_name("rclone")


@dataclass(frozen=True)
class Rclone:
    """`data` is the folder that is served; for S3 the bucket's."""

    port: int
    data: Path
    url: str


@contextmanager
def rclone(folder: Path, kind: str) -> Iterator[Rclone]:
    """`kind` is a protocol of `rclone serve` that takes a user and a password, such as sftp or webdav."""
    data = folder / "data"
    data.mkdir(parents=True)
    with _served(folder, kind, "--user", USER, "--pass", PASSWORD, str(data)) as port:
        yield Rclone(port, data, f"http://127.0.0.1:{port}/")


@contextmanager
def rclone_s3(folder: Path, access_key: str, secret_key: str, bucket: str) -> Iterator[Rclone]:
    """`rclone serve s3`."""
    data = folder / "buckets" / bucket
    data.mkdir(parents=True)
    keys = ("--auth-key", f"{access_key},{secret_key}", "--etag-hash", "MD5")
    with _served(folder, "s3", *keys, str(folder / "buckets")) as port:
        yield Rclone(port, data, f"http://127.0.0.1:{port}")


@contextmanager
def _served(folder: Path, kind: str, *words: str) -> Iterator[int]:
    port = free_port()
    own = ("--config", str(folder / "none.conf"), "--cache-dir", str(folder / "cache"))
    server = subprocess.Popen(
        [str(_RCLONE), "serve", kind, "--addr", f"127.0.0.1:{port}", *own, *words],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield port
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
