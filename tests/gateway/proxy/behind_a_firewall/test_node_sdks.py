"""SDKs for Node.js, unmodified, in programs that know of no proxy: to stores that nothing outside reaches."""

import os
from pathlib import Path

import pytest

from tests.gateway.proxy.behind_a_firewall.conftest import BUCKET, CONTAINER, MARKS, Office
from tests.gateway.proxy.behind_a_firewall.test_refusals import READ_ONLY, refused
from tests.gateway.proxy.proxied import ISTHMUS, Account
from tests.gateway.proxy.test_node import NODE_24, PROGRAMS
from tests.servers.azurite_blob import ACCOUNT, KEY, account_sas

pytestmark = MARKS

_MIB = 1024 * 1024
NAME = "a b+c 100% ä"
NODES = pytest.mark.parametrize("node", ["node", NODE_24], ids=["on the path", "24"])


def moves(
    office: Office,
    account: Account,
    folder: Path,
    program: tuple[str | Path, ...],
    *,
    size: int,
    env: dict[str, str] | None = None,
) -> str:
    """What the program prints, which is given a file and has brought the same back."""
    file, back = folder / "file", folder / "back"
    file.write_bytes(os.urandom(_MIB) * (size // _MIB))
    done = office.proxied.exec(account, *program, file, back, env=env)
    assert done.returncode == 0, done.stderr
    assert back.read_bytes() == file.read_bytes()
    return done.stdout.rstrip()


@NODES
def test_amazons_sdk_moves_64_mib_both_ways_copies_and_lists(
    office: Office, tmp_path: Path, node: str | Path
) -> None:
    """Up in parts side by side (`@aws-sdk/lib-storage`), down as one stream."""
    program = (node, PROGRAMS / "s3.mjs", office.s3.endpoint, BUCKET)
    listed = moves(office, office.objects, tmp_path, program, size=64 * _MIB)
    assert listed == f"node/{NAME},node/copy"


@pytest.mark.parametrize(
    "secret", [f"DefaultEndpointsProtocol=https;AccountKey={KEY}", f"SharedAccessSignature={account_sas()}"]
)
def test_azures_sdk_moves_64_mib_both_ways_copies_and_lists(
    office: Office, tmp_path: Path, secret: str
) -> None:
    """By a connection string as the portal shows it, with a key or a SAS, that is made harmless."""
    connection = f"AccountName={ACCOUNT};BlobEndpoint={office.azure.url};{secret}"
    env = {"AZURE_STORAGE_CONNECTION_STRING": connection}
    program = ("node", PROGRAMS / "azure.mjs", CONTAINER)
    listed = moves(office, office.blobs, tmp_path, program, size=64 * _MIB, env=env)
    assert listed == f"node/{NAME},node/copy"


def test_googles_sdk_moves_a_file_both_ways_copies_and_lists(office: Office, tmp_path: Path) -> None:
    env = {"STORAGE_EMULATOR_HOST": f"{office.gcs.endpoint}/storage/v1"}
    program = ("node", PROGRAMS / "google.mjs", office.gcs.endpoint, BUCKET)
    listed = moves(office, office.google, tmp_path, program, size=24 * _MIB, env=env)
    assert listed == f"node/{NAME},node/copy"


def test_webdav_moves_a_file_both_ways_renames_and_lists(office: Office, tmp_path: Path) -> None:
    program = ("node", PROGRAMS / "webdav.mjs", office.webdav.url)
    assert moves(office, office.files, tmp_path, program, size=24 * _MIB) == NAME


@NODES
def test_http_clients_write_and_read(office: Office, node: str | Path) -> None:
    """axios, fetch, got, an agent of the program's own, undici's request; another host is refused to each."""
    program = (node, PROGRAMS / "clients.mjs", office.webdav.url, f"{office.s3.endpoint}/file")
    done = office.proxied.exec(office.files, *program)
    clients = ("axios", "fetch", "got", "node", "undici")
    said = [f"{name} by {name}" for name in clients] + [f"{name} 403" for name in clients]
    assert (done.stdout.splitlines(), done.returncode) == (said, 0), done.stderr


@pytest.mark.parametrize("service", ["s3", "azure", "google", "webdav"])
def test_a_read_only_run_says_why_it_does_not_write(office: Office, service: str) -> None:
    """In the error's message; of Google's resumable uploads and of `webdav` beside it, in the answer."""
    account, place, name = {
        "s3": (office.objects, office.s3.endpoint, BUCKET),
        "azure": (office.blobs, office.azure.url, CONTAINER),
        "google": (office.google, office.gcs.endpoint, BUCKET),
        "webdav": (office.files, office.webdav.url, "refused"),
    }[service]
    env = {"STORAGE_EMULATOR_HOST": f"{office.gcs.endpoint}/storage/v1"}
    done = refused(office, account, "node", str(PROGRAMS / "write.mjs"), service, place, name, env=env)
    message, *beside = done.stdout.splitlines()
    if service in ("google", "webdav"):
        assert "403" in message
        message = "".join(beside)
    assert READ_ONLY in message, done


def test_a_program_with_a_token_of_its_own_needs_the_module_alone(office: Office, tmp_path: Path) -> None:
    """Where `isthmus exec` is not: the module, the token, its keys, and the authority."""
    module = tmp_path / "isthmus.cjs"
    module.write_text(office.proxied.run(*ISTHMUS, "proxy", "node").stdout)
    made = office.proxied.isthmus("proxy", "token", "create", "--account", str(office.objects.id))
    env = {f"AWS_{name.upper()}": key for name, key in made["aws"].items()}
    env |= {
        "HTTPS_PROXY": office.proxied.url(office.objects, made["token"]),
        "NODE_EXTRA_CA_CERTS": str(office.proxied.ca),
    }
    words = (str(PROGRAMS / "write.mjs"), "s3", office.s3.endpoint, BUCKET)
    done = office.proxied.run("node", "--require", str(module), *words, env=env)
    assert (done.stdout, done.returncode) == ("written\n", 0), done.stderr
