"""A real SeaweedFS (its S3 gateway checks signatures) on a temporary folder and free ports."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import botocore.session

from tests.servers.private_network import PrivateNetwork
from tests.servers.sshd import wait_for_port

ACCESS_KEY, SECRET_KEY = "AKTEST", "SKTEST/with+signs"
READER, READER_SECRET = "AKREADER", "SKREADER"
_WEED = Path(sys.executable).with_name("weed")


@dataclass(frozen=True)
class SeaweedFS:
    """The server's S3 endpoint; its port for TLS is 0 where it has none."""

    endpoint: str
    port: int
    tls_port: int


@contextmanager
def seaweedfs(
    folder: Path,
    *arguments: str,
    tls: Path | None = None,
    network: PrivateNetwork | None = None,
    name: str = "127.0.0.1",
) -> Iterator[SeaweedFS]:
    """The server, until the context ends. It takes some seconds to start: once a module.

    Two users: one may do all, one may read. More `arguments` are appended to the command; `tls` is a file
    with key and certificate. `network` is where it runs, `name` the host's in its endpoint.
    """
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps({"identities": _IDENTITIES}))
    master, volume, filer, s3, s3_tls = ports = _free_ports(5)
    command = [
        *(str(_WEED), "-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-dir={folder}/data", f"-master.port={master}", f"-volume.port={volume}", "-filer"),
        # else a bucket's own volumes are allocated by the dozen, and the folder is full in no time
        *("-master.volumeSizeLimitMB=64", "-volume.max=0"),
        *(f"-filer.port={filer}", "-s3", f"-s3.port={s3}", f"-s3.config={folder}/s3.json"),
        # else it takes these two ports, whatever the others are, and tells its makers of itself
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),
        *arguments,
    ]
    if tls is not None:
        command += [f"-s3.port.https={s3_tls}", f"-s3.cert.file={tls}", f"-s3.key.file={tls}"]
    if network is not None:
        command = [*network.inside, *command]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, start_new_session=True, stdout=log, stderr=log)
    try:
        _wait_until_up(server, s3, network)
        if tls is not None:
            _wait_until_up(server, s3_tls, network)
        yield SeaweedFS(f"http://{name}:{s3}", s3, s3_tls if tls is not None else 0)
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # at SIGTERM it takes more than ten seconds
        server.wait()
        for port in (*ports, *(port + 10_000 for port in ports)):
            for left in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


_IDENTITIES = [
    {
        "name": "test",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    },
    {
        "name": "reader",
        "credentials": [{"accessKey": READER, "secretKey": READER_SECRET}],
        "actions": ["Read", "List"],
    },
]


def _wait_until_up(server: subprocess.Popen[bytes], port: int, network: PrivateNetwork | None) -> None:
    deadline = time.monotonic() + 60
    while True:
        if server.poll() is not None:
            raise RuntimeError("SeaweedFS ended at its start: see its log")
        try:
            return (network.wait_for_port if network else wait_for_port)(port, within=1.0)
        except TimeoutError:
            if time.monotonic() > deadline:
                raise


def other_client(server: SeaweedFS) -> Any:
    """botocore's own client, which shares nothing with ours but the signature. To be closed."""
    return botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=server.endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )


def make_bucket(server: SeaweedFS, name: str, *, versioned: bool = False) -> None:
    """A new bucket, made by another client than ours."""
    client = other_client(server)
    client.create_bucket(Bucket=name)
    if versioned:
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    client.close()


def _free_ports(count: int) -> list[int]:
    """Free ports, each with the one 10,000 above it, which SeaweedFS takes for gRPC.

    Below those that the system gives to clients: one that is free now stays so until the server has it.
    """
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port = random.randrange(10_000, 22_000)
            try:
                for wanted in (port, port + 10_000):
                    held.enter_context(socket()).bind(("127.0.0.1", wanted))
            except OSError:
                continue
            found.append(port)
    return found
