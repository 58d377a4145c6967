"""Real programs, holding no credential of the store, through the proxy to a real Apache."""

from pathlib import Path

import pytest

from tests.gateway.proxy.proxied import Account, Proxied
from tests.servers.apache import Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]


def test_curl_reads_and_writes_over_tls(proxied: Proxied, account: Account, store: Apache) -> None:
    (store.data / "a.txt").write_text("from the store")
    assert proxied.curl(account, f"{store.url}a.txt") == (200, "from the store")
    assert proxied.curl(account, "-X", "PUT", "--data-binary", "new", f"{store.url}b.txt")[0] == 201
    assert (store.data / "b.txt").read_text() == "new"


@pytest.mark.parametrize("version", ["http1.1", "http2"])
def test_both_versions_of_http_carry_a_body_without_a_length(
    proxied: Proxied, account: Account, store: Apache, version: str, tmp_path: Path
) -> None:
    sent = tmp_path / "body"
    sent.write_bytes(b"0123456789" * 100_000)
    command = f"cat {sent} | curl -sS -o /dev/null -w '%{{http_code}} %{{http_version}}' --{version} -T - "
    command += f"-x {proxied.url(account)} --cacert {proxied.ca} {store.url}{version}"
    done = proxied.run("sh", "-c", command)
    assert done.stdout == f"201 {version[4:]}", done.stderr
    assert (store.data / version).read_bytes() == sent.read_bytes()


def test_curl_without_tls(proxied: Proxied, other: Account, plain_store: Apache) -> None:
    (plain_store.data / "a.txt").write_text("plain")
    assert proxied.curl(other, f"{plain_store.url}a.txt") == (200, "plain")
    assert proxied.curl(other, "--proxytunnel", f"{plain_store.url}a.txt") == (200, "plain")


def test_what_the_client_sends_as_authorisation_does_not_arrive(
    proxied: Proxied, account: Account, store: Apache
) -> None:
    (store.data / "a.txt").write_text("mine")
    answered = proxied.curl(account, "-u", "somebody:else", "-H", "Cookie: a=b", f"{store.url}a.txt")
    assert answered == (200, "mine")
