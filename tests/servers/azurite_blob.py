"""A real Azurite (Microsoft's own emulator; it checks signatures) on a temporary folder and a free port."""

import hashlib
import hmac
import os
import signal
import ssl
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode

from tests.servers.private_network import PrivateNetwork
from tests.servers.sshd import free_port, wait_for_port

ACCOUNT = "testacct"
KEY = b64encode(b"a key of this test, sixty-four bytes as the real ones have it...").decode()
CONTAINER = "files"
HOST_INSIDE = f"{ACCOUNT}.blob.internal"
_MAIN = Path(__file__).parent / "azurite/node_modules/azurite/dist/src/blob/main.js"
_VERSION = "2021-12-02"


@dataclass(frozen=True)
class Azurite:
    url: str  # of the account
    port: int
    pid: int
    ca: str | None


@contextmanager
def azurite(folder: Path, *, certificate: Path | None = None, ca: str | None = None) -> Iterator[Azurite]:
    """The server with one empty container, until the context ends. `certificate` has the private key too."""
    # else the first label of any host that is no address is taken for the account
    words = ("--disableProductStyleUrl",)
    with _running(folder, certificate, ca, *words) as (port, pid):
        scheme, host = ("http", "127.0.0.1") if certificate is None else ("https", "localhost")
        made = Azurite(f"{scheme}://{host}:{port}/{ACCOUNT}", port, pid, ca)
        assert request(made, "PUT", f"{CONTAINER}?restype=container") == 201
        yield made


@contextmanager
def azurite_inside(network: PrivateNetwork, folder: Path, certificate: Path, ca: str) -> Iterator[Azurite]:
    """The server in a private network, where the account is a part of its host's name, as Azure has it.

    Over TLS. Without a container: nobody out here could make it.
    """
    with _running(folder, certificate, ca, network=network) as (port, pid):
        yield Azurite(f"https://{HOST_INSIDE}:{port}", port, pid, ca)


@contextmanager
def _running(
    folder: Path, certificate: Path | None, ca: str | None, *words: str, network: PrivateNetwork | None = None
) -> Iterator[tuple[int, int]]:
    """Its port, and its process."""
    if not _MAIN.exists():
        raise RuntimeError("Azurite is not installed: run scripts/install-servers")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        *("node", str(_MAIN), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)),
        *("--silent", "--disableTelemetry", "--skipApiVersionCheck", *words),
    ]
    if network is not None:
        command = [*network.inside, *command]
    if certificate is not None:
        command += ["--cert", str(certificate), "--key", str(certificate)]
    environment = {"PATH": os.environ["PATH"], "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}  # noqa: TID251  # a child's
    if ca is not None:  # it fetches from itself what a token is to copy
        (folder / "ca.pem").write_text(ca)
        environment["NODE_EXTRA_CA_CERTS"] = str(folder / "ca.pem")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            start_new_session=True,
            stdout=log,
            stderr=log,
        )
    try:
        (network.wait_for_port if network else wait_for_port)(port, within=60)
        yield port, server.pid
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # at SIGTERM it waits for its clients
        server.wait()


def request(server: Azurite, method: str, target: str, body: bytes = b"", **headers: str) -> int:
    """The status of a request by another client than ours, let in by a token.

    Headers are given as `x_ms_blob_type`.
    """
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = (
        HTTPSConnection("localhost", server.port, context=ssl.create_default_context(cadata=server.ca))
        if server.ca
        else HTTPConnection("127.0.0.1", server.port)
    )
    try:
        sign = "&" if "?" in target else "?"
        connection.request(method, f"/{ACCOUNT}/{target}{sign}{account_sas()}", body, fields)
        return connection.getresponse().status
    finally:
        connection.close()


def account_sas(permissions: str = "rwdlactfx", expiry: str = "2099-01-01T00:00:00Z") -> str:
    """An account SAS for containers and blobs (Microsoft's page "Create an account SAS", 2020-12-06 on)."""
    fields = {"sp": permissions, "ss": "b", "srt": "sco", "se": expiry, "spr": "https,http", "sv": _VERSION}
    order = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses")
    text = "".join(f"{line}\n" for line in (ACCOUNT, *(fields.get(name, "") for name in order)))
    signature = b64encode(hmac.digest(b64decode(KEY), text.encode(), hashlib.sha256)).decode()
    return urlencode({**fields, "sig": signature})
