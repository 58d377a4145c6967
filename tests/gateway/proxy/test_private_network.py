"""A store behind a firewall that lets nothing in: programs outside reach it by the proxy and the agent."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.gateway.proxy.agents import agent
from tests.gateway.proxy.proxied import ISTHMUS, Account, Proxied
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.private_network import PrivateNetwork, private_network

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.netns, pytest.mark.slow]


@dataclass
class Behind:
    proxied: Proxied
    network: PrivateNetwork
    store: Apache
    account: Account


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder = tmp_path_factory.mktemp("behind")
    proxied = Proxied(folder, host="0.0.0.0", settings={"ISTHMUS_PROXY_PRIVATE": "[]"})
    with private_network() as network, apache(folder / "store", tls=True, network=network) as store:
        proxied.set_up()
        with proxied.serving(), agent(proxied, network, store.port):
            ca = folder / "ca.pem"
            ca.write_text(store.ca or "")
            account = proxied.add(
                *("webdav", "--network", "office"),
                url=store.url,
                username=USER,
                password=PASSWORD,
                ca=f"@{ca}",
            )
            yield Behind(proxied, network, store, account)


def test_a_program_reads_and_writes_a_store_that_nothing_outside_reaches(behind: Behind) -> None:
    store = behind.store
    (store.data / "a.txt").write_text("from inside")
    refused = behind.proxied.run("curl", "-sS", "--max-time", "3", "-k", store.url)
    assert refused.returncode != 0, "the store must not be reachable from here"
    assert behind.proxied.curl(behind.account, f"{store.url}a.txt") == (200, "from inside")
    assert behind.proxied.curl(behind.account, "-T", __file__, f"{store.url}b.py")[0] == 201
    with open(__file__) as itself:
        assert (store.data / "b.py").read_text() == itself.read()


def test_exec_moves_a_large_file_both_ways(behind: Behind) -> None:
    content = os.urandom(1024 * 1024) * 64
    (behind.store.data / "big").write_bytes(content)
    script = f"curl -sSf {behind.store.url}big | curl -sSf -T - {behind.store.url}copy"
    words = ("exec", "--account", str(behind.account.id), "--data", str(behind.proxied.data), "--")
    done = behind.proxied.run(*ISTHMUS, *words, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    copied = (behind.store.data / "copy").read_bytes()
    assert hashlib.sha256(copied).digest() == hashlib.sha256(content).digest()


def test_the_networks_authorities_serve_an_account_without_its_own(behind: Behind) -> None:
    trusted = behind.proxied.folder / "ca.pem"
    behind.proxied.isthmus("network", "trust", "office", "--ca", str(trusted))
    account = behind.proxied.add(
        *("webdav", "--network", "office"), url=behind.store.url, username=USER, password=PASSWORD
    )
    (behind.store.data / "c.txt").write_text("trusted")
    assert behind.proxied.curl(account, f"{behind.store.url}c.txt") == (200, "trusted")
    behind.proxied.isthmus("network", "trust", "office", "--clear")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_the_agents_allow_list_decides(behind: Behind, scheme: str, version: str) -> None:
    """Another port in there is neither the account's nor, were it one, on the agent's list."""
    url = f"{scheme}://localhost:{behind.store.port + 1}/"
    made = behind.proxied.isthmus(
        *("account", "add", "webdav", "--app", behind.proxied.app["id"], "--network", "office"),
        *("--set", f"url={url}", "--set", f"username={USER}", "--set", f"password={PASSWORD}"),
    )
    code, why = behind.proxied.curl(Account(made["id"], made["access_token"]), version, url)
    assert code == 502
    assert why == (
        "isthmus proxy: the agent's allow-list does not have the store's host and port: "
        "run 'isthmus-agent allow HOST:PORT' there\n"
    )
    assert behind.proxied.curl(behind.account, url)[0] == 403
