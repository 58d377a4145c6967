"""A store that asks its clients for a certificate: by API and by proxy, and the key stays in the worker."""

import errno
import mmap
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.proxy.proxied import ISTHMUS, Account, Proxied
from tests.gateway.proxy.test_large import MIB, resident
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.issuer import Issued, Issuer

pytestmark = [pytest.mark.server, pytest.mark.journey]


@dataclass
class Asking:
    """A store that asks, and the account that has an answer."""

    store: Apache
    account: Account
    shown: Issued
    folder: Path


@pytest.fixture(scope="module")
def asking(proxied: Proxied, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    folder, issuer = tmp_path_factory.mktemp("asking"), Issuer()
    shown = issuer.issue("program", client=True)
    for name, text in (("ca", issuer.certificate), ("cert", shown.certificate), ("key", shown.key)):
        (folder / name).write_text(text)
    asks = f"SSLVerifyClient require\nSSLCACertificateFile {folder}/ca"
    with apache(folder / "store", tls=True, issuer=issuer, extra=asks) as store:
        (store.data / "a.txt").write_text("for those who show one")
        account = proxied.add("webdav", **settings(store, folder))
        yield Asking(store, account, shown, folder)


def settings(store: Apache, folder: Path, key: str = "key") -> dict[str, str]:
    return {
        "url": store.url,
        "username": USER,
        "password": PASSWORD,
        "ca": f"@{folder}/ca",
        "client_certificate": f"@{folder}/cert",
        "client_key": f"@{folder}/{key}",
    }


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_program_reads_and_writes_without_the_certificate(
    proxied: Proxied, asking: Asking, version: str, tmp_path: Path
) -> None:
    store = asking.store
    assert proxied.curl(asking.account, version, f"{store.url}a.txt") == (200, "for those who show one")
    (tmp_path / "sent").write_bytes(b"x" * 3 * MIB)
    assert proxied.curl(asking.account, version, "-T", str(tmp_path / "sent"), f"{store.url}b")[0] in (
        201,
        204,
    )
    assert (store.data / "b").stat().st_size == 3 * MIB
    refused = proxied.run(
        *("curl", "-sS", "--max-time", "10", "--cacert", f"{asking.folder}/ca", f"{store.url}a.txt")
    )
    assert refused.returncode != 0, "the store must not be open to those who show none"


def test_a_large_file_both_ways_takes_no_memory(proxied: Proxied, asking: Asking, tmp_path: Path) -> None:
    with (asking.store.data / "large").open("wb") as file:
        file.truncate(256 * MIB)
    url = asking.store.url
    proxied.curl(asking.account, "-o", "/dev/null", "-r", "0-1000000", f"{url}large")
    before = resident(proxied)
    assert proxied.curl(asking.account, "-o", str(tmp_path / "got"), f"{url}large")[0] == 200
    assert (tmp_path / "got").stat().st_size == 256 * MIB
    assert proxied.curl(asking.account, "-T", str(tmp_path / "got"), f"{url}sent")[0] in (201, 204)
    assert (asking.store.data / "sent").stat().st_size == 256 * MIB
    assert resident(proxied) - before < 48 * MIB


def test_the_api_shows_it_too(proxied: Proxied, asking: Asking) -> None:
    api = f"http://127.0.0.1:{proxied.port}/v1/accounts/{asking.account.id}"
    bearer = ("-H", f"Authorization: Bearer {asking.account.token}")
    listed = proxied.run("curl", "-sS", *bearer, f"{api}/storage/folders/root/contents")
    assert "a.txt" in listed.stdout, listed.stdout
    uri = ("-H", "X-Kloudless-Raw-URI: a.txt", "-H", "X-Kloudless-Raw-Method: GET")
    raw = proxied.run("curl", "-sS", *bearer, *uri, "-X", "POST", f"{api}/raw")
    assert raw.stdout == "for those who show one"


def test_the_proxy_never_holds_the_key(proxied: Proxied, asking: Asking) -> None:
    """Looked for in the writable memory of the proxy's process, after it was used."""
    assert proxied.curl(asking.account, f"{asking.store.url}a.txt")[0] == 200
    lines = [line.encode() for line in asking.shown.key.splitlines() if "PRIVATE" not in line]
    assert any(line in memory(proxied, "worker") for line in lines), "the search must find it where it is"
    proxy = memory(proxied, "proxy")
    assert len(proxy) > MIB
    assert not any(line in proxy for line in lines)


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_wrong_one_is_said_in_plain_words(
    proxied: Proxied, asking: Asking, version: str, tmp_path: Path
) -> None:
    stranger = Issuer("Stranger").issue("program", client=True)
    for name, text in (("cert", stranger.certificate), ("key", stranger.key)):
        (tmp_path / name).write_text(text)
    (tmp_path / "ca").write_text((asking.folder / "ca").read_text())
    made = added(proxied, settings(asking.store, tmp_path))
    assert "does not know its issuer" in made["checked"], made
    stranger_account = Account(made["id"], made["access_token"])
    code, why = proxied.curl(stranger_account, version, f"{asking.store.url}a.txt")
    assert (code, why.rstrip()) == (502, "isthmus proxy: " + made["checked"].removeprefix("failed: ")), why
    (tmp_path / "large").write_bytes(bytes(8 * MIB))
    code, why = proxied.curl(
        stranger_account, version, "-T", str(tmp_path / "large"), f"{asking.store.url}large"
    )
    assert (code, "does not know its issuer" in why) == (502, True), why


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_none_at_all_is_said_in_plain_words(proxied: Proxied, asking: Asking, version: str) -> None:
    """TLS with the store is the proxy's own, as there is no key that it must not have."""
    given = settings(asking.store, asking.folder)
    made = added(proxied, {name: value for name, value in given.items() if "client_" not in name})
    assert "wants a client certificate" in made["checked"], made
    account = Account(made["id"], made["access_token"])
    code, why = proxied.curl(account, version, f"{asking.store.url}a.txt")
    assert (code, "wants a client certificate, and the account has none to show" in why) == (502, True), why
    assert "127.0.0.1" not in why


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"client_certificate": "@{folder}/cert"}, "go together"),
        ({"client_certificate": "@{folder}/cert", "client_key": "@{folder}/other"}, "another certificate"),
        ({"client_certificate": "@{folder}/cert", "client_key": "@{folder}/ca"}, "must be PEM"),
    ],
)
def test_what_does_not_fit_is_refused(
    proxied: Proxied, asking: Asking, given: dict[str, str], said: str
) -> None:
    (asking.folder / "other").write_text(Issuer().issue("other", client=True).key)
    pairs = {"url": asking.store.url, **{k: v.format(folder=asking.folder) for k, v in given.items()}}
    words = [word for name, value in pairs.items() for word in ("--set", f"{name}={value}")]
    into = ("--app", proxied.app["id"], "--data", str(proxied.data))
    done = proxied.run(*ISTHMUS, "account", "add", "webdav", *into, *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert not any(line in done.stderr for line in asking.shown.key.splitlines()[1:-1])


def added(proxied: Proxied, given: dict[str, str]) -> dict[str, Any]:
    words = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    made: dict[str, Any] = proxied.isthmus("account", "add", "webdav", "--app", proxied.app["id"], *words)
    return made


def memory(proxied: Proxied, role: str) -> bytes:
    """What is written in the memory of the gateway's processes of that role, which stand still meanwhile."""
    found = bytearray()
    for process in proxied.processes(role):
        with stopped(int(process.name)):
            found += writable(process)
    return bytes(found)


@contextmanager
def stopped(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        while state(process) != "T":
            time.sleep(0.01)
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def state(process: int) -> str:
    """The letter of proc(5): T once it has stopped."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def writable(process: Path) -> bytes:
    """Each area that it may write to; a page beyond the end of a mapped file is as if it held nothing."""
    found = bytearray()
    with (process / "mem").open("rb", buffering=0) as memory_file:
        for line in (process / "maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            at, end = (int(edge, 16) for edge in span.split("-"))
            while at < end:
                memory_file.seek(at)
                try:
                    piece = memory_file.read(end - at)
                except OSError as error:
                    if error.errno != errno.EIO:
                        raise
                    piece = bytes(mmap.PAGESIZE)
                found += piece
                at += len(piece)
    return bytes(found)
