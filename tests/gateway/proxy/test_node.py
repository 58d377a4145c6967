"""Node's fetch: by the environment where Node knows how, else by a dispatcher of undici's."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.gateway.proxy.proxied import ROOT, Account, Proxied
from tests.servers.apache import Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]

PROGRAMS = ROOT / "tests/programs"
NODE_24 = PROGRAMS / "node_modules/.bin/node"
READ = "await fetch(process.argv[1])"


@pytest.mark.parametrize(
    ("node", "program"), [(NODE_24, "fetch.mjs"), ("node", "fetch-undici.mjs")], ids=["its-own", "undici"]
)
def test_fetch_streams_a_file_both_ways(
    proxied: Proxied, account: Account, store: Apache, node: str | Path, program: str
) -> None:
    content = os.urandom(1024 * 1024) * 32
    (store.data / "from").write_bytes(content)
    to = f"to-{program}"
    done = proxied.exec(account, node, PROGRAMS / program, f"{store.url}from", f"{store.url}{to}")
    assert (done.stdout, done.returncode) == ("201\n", 0), done.stderr
    copied = (store.data / to).read_bytes()
    assert hashlib.sha256(copied).digest() == hashlib.sha256(content).digest()


def test_another_host_is_refused(proxied: Proxied, account: Account, plain_store: Apache) -> None:
    done = proxied.exec(account, NODE_24, "--input-type=module", "-e", READ, plain_store.url)
    assert "(403)" in done.stderr
    assert done.returncode == 1
