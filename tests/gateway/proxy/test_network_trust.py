"""A store with a private authority, behind a firewall: its network says whom to trust."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway.proxy.agents import agent
from tests.gateway.proxy.proxied import ISTHMUS, Account, Proxied
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.issuer import Issuer
from tests.servers.private_network import private_network

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.netns, pytest.mark.slow]


@dataclass
class Inside:
    """A store that asks for a client certificate; an account without one would not do."""

    proxied: Proxied
    store: Apache
    account: Account
    issuer: Issuer
    folder: Path

    def trust(self, *words: str) -> list[dict[str, str]]:
        said = self.proxied.isthmus("network", "trust", "office", *words)
        return list(said["authorities"])

    def curl(self, *words: str) -> tuple[int, str]:
        return self.proxied.curl(self.account, *words)


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    folder, issuer = tmp_path_factory.mktemp("inside"), Issuer()
    shown = issuer.issue("program", client=True)
    files = {"ca": issuer.certificate, "cert": shown.certificate, "key": shown.key}
    files["other"] = Issuer().certificate
    for name, text in files.items():
        (folder / name).write_text(text)
    proxied = Proxied(folder, host="0.0.0.0", settings={"ISTHMUS_PROXY_PRIVATE": "[]"})
    asks = f"SSLVerifyClient require\nSSLCACertificateFile {folder}/ca"
    with (
        private_network() as network,
        apache(folder / "store", tls=True, network=network, issuer=issuer, extra=asks) as store,
    ):
        (store.data / "a.txt").write_text("from inside")
        proxied.set_up()
        with proxied.serving(), agent(proxied, network, store.port):
            proxied.isthmus("network", "trust", "office", "--ca", f"{folder}/ca")
            account = proxied.add(
                *("webdav", "--network", "office"),
                url=store.url,
                username=USER,
                password=PASSWORD,
                client_certificate=f"@{folder}/cert",
                client_key=f"@{folder}/key",
            )
            yield Inside(proxied, store, account, issuer, folder)


def test_the_networks_authorities_hold_for_the_api_and_the_proxy(inside: Inside) -> None:
    """`add` tried the account by its connector. The client certificate went through the tunnel."""
    assert [one["subject"] for one in inside.trust()] == ["CN=Inside"]
    assert inside.curl(f"{inside.store.url}a.txt") == (200, "from inside")
    assert inside.curl("--http2", "-T", __file__, f"{inside.store.url}b.py")[0] == 201
    assert (inside.store.data / "b.py").read_bytes() == Path(__file__).read_bytes()


def test_a_change_holds_at_once_and_the_accounts_own_goes_before_it(inside: Inside) -> None:
    url = f"{inside.store.url}a.txt"
    for changed in (("--ca", f"{inside.folder}/other"), ("--clear",)):
        inside.trust(*changed)
        code, why = eventually(inside, url, 502)
        assert (code, "the store's certificate is not trusted" in why) == (502, True), why
        said = refused_by_api(inside)
        assert "not trusted" in said, said
    own = inside.proxied.add(
        *("webdav", "--network", "office"),
        url=inside.store.url,
        username=USER,
        password=PASSWORD,
        ca=f"@{inside.folder}/ca",
        client_certificate=f"@{inside.folder}/cert",
        client_key=f"@{inside.folder}/key",
    )
    assert inside.proxied.curl(own, url) == (200, "from inside")
    inside.trust("--ca", f"{inside.folder}/ca")
    assert eventually(inside, url, 200) == (200, "from inside")


def test_what_is_no_authority_is_refused_and_changes_nothing(inside: Inside) -> None:
    before = inside.trust()
    (inside.folder / "old").write_text(Issuer("Old", expired=True).certificate)
    for file, said in (("old", "expired"), ("key", "private key"), ("missing", "No such file")):
        done = inside.proxied.run(
            *(*ISTHMUS, "network", "trust", "office", "--data", str(inside.proxied.data)),
            *("--ca", str(inside.folder / file)),
        )
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert inside.trust() == before


def api(inside: Inside) -> str:
    bearer = f"Authorization: Bearer {inside.account.token}"
    url = f"http://127.0.0.1:{inside.proxied.port}/v1/accounts/{inside.account.id}/storage/folders/root/contents"
    done = inside.proxied.run("curl", "-sS", "-H", bearer, url)
    return str(json.loads(done.stdout))


def eventually(inside: Inside, url: str, wanted: int) -> tuple[int, str]:
    """The answer of that status, or the last within ten seconds: accounts are remembered for one."""
    deadline = time.monotonic() + 10
    while True:
        code, body = inside.curl("--retry", "0", url)
        if code == wanted or time.monotonic() > deadline:
            return code, body


def refused_by_api(inside: Inside) -> str:
    """What the api says when it says something of trust; else the last it said within ten seconds."""
    deadline = time.monotonic() + 10
    while "not trusted" not in (said := api(inside)) and time.monotonic() < deadline:
        pass
    return said
