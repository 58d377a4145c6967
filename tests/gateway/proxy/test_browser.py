"""Chromium through the proxy: the authority is trusted for real, in a certificate store of this run alone."""

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.test_node import NODE_24, PROGRAMS
from tests.servers.apache import Apache

if TYPE_CHECKING:
    import subprocess

pytestmark = [pytest.mark.server, pytest.mark.journey]

TRUST = """
mkdir -p "$HOME/.pki/nssdb"
certutil -d "sql:$HOME/.pki/nssdb" -N --empty-password
certutil -d "sql:$HOME/.pki/nssdb" -A -n isthmus -t C,, -i "$NODE_EXTRA_CA_CERTS"
"""
PAGE = """<!doctype html><title>not yet</title><script src="title.js"></script>
<img src="one.png"><a href="file.bin" download>get</a>"""
PIXEL = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def browsed(
    proxied: Proxied, account: Account, home: Path, script: str, *words: str
) -> "subprocess.CompletedProcess[str]":
    shell = ("sh", "-ec", f'cd; {script}exec "$@"', "sh")
    return proxied.exec(account, *shell, NODE_24, PROGRAMS / "browse.mjs", *words, env={"HOME": str(home)})


@pytest.fixture
def page(store: Apache) -> str:
    (store.data / "page.html").write_text(PAGE)
    (store.data / "title.js").write_text("document.title = 'set by a script'")
    (store.data / "one.png").write_bytes(PIXEL)
    (store.data / "file.bin").write_bytes(os.urandom(1024 * 1024))
    return store.url


def test_chromium_shows_downloads_and_uploads_and_goes_nowhere_else(
    proxied: Proxied, account: Account, store: Apache, plain_store: Apache, page: str, tmp_path: Path
) -> None:
    done = browsed(proxied, account, tmp_path, TRUST, page, plain_store.url, "https://example.com/")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["title"], seen["image"], seen["uploaded"]) == ("set by a script", 1, 201)
    assert (store.data / "sent.txt").read_text() == "from a page"
    assert (tmp_path / "downloaded").read_bytes() == (store.data / "file.bin").read_bytes()
    plain, tls = seen["refused"]
    assert (
        plain.strip() == f"isthmus proxy: {plain_store.url.rstrip('/')} is not a host of account {account.id}"
    )
    assert "ERR_TUNNEL_CONNECTION_FAILED" in tls


def test_without_the_authority_chromium_refuses(
    proxied: Proxied, account: Account, page: str, tmp_path: Path
) -> None:
    done = browsed(proxied, account, tmp_path, "", page)
    assert done.returncode == 1
    assert "ERR_CERT_AUTHORITY_INVALID" in done.stderr
