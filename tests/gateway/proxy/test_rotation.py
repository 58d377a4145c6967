"""The authority rotates under a running gateway; its key is for the proxy's Unix user alone."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.gateway.proxy.proxied import ISTHMUS, Account, Proxied
from tests.gateway.proxy.test_attacks import basic
from tests.servers.apache import PASSWORD, USER, Apache

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.timeout(300)]  # many commands


@pytest.fixture(scope="module")
def rotating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    made = Proxied(tmp_path_factory.mktemp("rotating"))
    made.set_up()
    with made.serving():
        yield made


@pytest.fixture(scope="module")
def its_account(rotating: Proxied, store: Apache) -> Account:
    (rotating.folder / "store-ca.pem").write_text(store.ca or "")
    (store.data / "a.txt").write_text("hello")
    ca = f"@{rotating.folder}/store-ca.pem"
    return rotating.add("webdav", url=store.url, username=USER, password=PASSWORD, ca=ca)


def test_clients_that_trust_the_old_the_new_or_both(
    rotating: Proxied, its_account: Account, store: Apache
) -> None:
    def works(trusted: Path) -> bool:
        url = f"{store.url}a.txt"
        words = ("curl", "-sS", "--max-time", "30", "-x", rotating.url(its_account), "--cacert", str(trusted))
        done = rotating.run(*words, url)
        assert done.returncode in (0, 60), done.stderr  # 60: the certificate is not trusted
        return done.stdout == "hello"

    old, new, both = (rotating.folder / name for name in ("old.pem", "new.pem", "both.pem"))
    old.write_text(rotating.ca.read_text())
    assert works(old)
    said = rotating.isthmus("proxy", "ca", "rotate")["authorities"]
    assert [(one["state"], one["hosts"]) for one in said] == [("signs", "any"), ("next", "any")]
    both.write_text(rotating.ca.read_text())
    following = x509.load_pem_x509_certificates(both.read_bytes())[1]
    new.write_bytes(following.public_bytes(Encoding.PEM))
    assert given_to_programs(rotating, its_account) == [both.read_text()] * 3
    assert [works(one) for one in (old, both, new)] == [True, True, False]
    assert [one["state"] for one in rotating.isthmus("proxy", "ca", "rotate", "--finish")["authorities"]] == [
        "signs",
        "old",
    ]
    assert [works(one) for one in (old, both, new)] == [False, True, True]
    rotating.isthmus("proxy", "ca", "retire")
    assert rotating.ca.read_text() == new.read_text()
    assert works(new)


def given_to_programs(rotating: Proxied, account: Account) -> list[str]:
    """The certificates by the command, by the API, and by `isthmus exec`."""
    printed = rotating.run(*ISTHMUS, "proxy", "ca", "--data", str(rotating.data)).stdout
    api = f"http://127.0.0.1:{rotating.port}"
    token = {"ISTHMUS_TOKEN": account.token}
    by_api = rotating.run(*ISTHMUS, *executing(account), "--gateway", api, "--", *SHOW, env=token).stdout
    local = rotating.run(*ISTHMUS, *executing(account), "--data", str(rotating.data), "--", *SHOW).stdout
    return [printed, by_api, local]


SHOW = ("sh", "-c", 'cat "$NODE_EXTRA_CA_CERTS"')  # the proxy's alone


def executing(account: Account) -> tuple[str, ...]:
    return ("exec", "--account", str(account.id))


def test_a_constrained_one_serves_the_accounts_hosts_and_no_others(
    rotating: Proxied, its_account: Account, store: Apache
) -> None:
    """The command's own words reach the client and the log."""
    rotating.isthmus("proxy", "ca", "rotate", "--host", "elsewhere.example")
    rotating.isthmus("proxy", "ca", "rotate", "--finish")
    refused = connect(rotating, its_account, f"localhost:{store.port}")
    assert refused.startswith("HTTP/1.1 503")
    assert "isthmus proxy ca rotate --for-accounts" in refused
    assert "constrained to other hosts than localhost" in (rotating.folder / "log").read_text()
    made = rotating.isthmus("proxy", "ca", "rotate", "--for-accounts")["authorities"][1]
    assert made["hosts"] == ["localhost"]
    rotating.isthmus("proxy", "ca", "rotate", "--finish")
    assert rotating.curl(its_account, f"{store.url}a.txt") == (200, "hello")


def connect(rotating: Proxied, account: Account, place: str) -> str:
    with socket.create_connection(("127.0.0.1", rotating.proxy_port), timeout=20) as sock:
        head = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nProxy-Authorization: Basic {basic(account)}\r\n"
        sock.sendall(f"{head}\r\n".encode())
        answer = b""
        while b"rotate" not in answer and (piece := sock.recv(4096)):
            answer += piece
    return answer.decode()


@pytest.mark.skipif(os.getuid() != 0, reason="becoming other users takes root")
def test_the_proxys_user_reads_the_authoritys_key_and_nobody_else_any(tmp_path: Path) -> None:
    for above in (tmp_path, *tmp_path.parents[: len(tmp_path.parents) - 2]):  # up to /tmp
        above.chmod(above.stat().st_mode | 0o011)
    made = Proxied(tmp_path)
    made.isthmus("init")
    made.data.chmod(0o751)
    users = ("--worker-user", "daemon", "--api-user", "bin", "--proxy-user", "nobody")
    made.isthmus("keys", "protect", *users)
    keys = made.data / "keys"
    private = keys / "unsealing.key.pem"
    for _ in range(2):  # as made, and rotated
        authoritys = sorted(keys.glob("proxy-ca*.key.pem"))
        for key in authoritys:
            assert [reads(made, user, key) for user in USERS] == [True, False, False, False], key.name
        assert [reads(made, user, private) for user in USERS] == [False, False, True, False]
        made.isthmus("proxy", "ca", "rotate")
        made.isthmus("proxy", "ca", "rotate", "--finish")
        assert sorted(keys.glob("proxy-ca*.key.pem")) != authoritys


USERS = ("nobody", "www-data", "daemon", "bin")


def reads(made: Proxied, user: str, path: Path) -> bool:
    as_user = ("setpriv", f"--reuid={user}", f"--regid={user_group(user)}", "--clear-groups")
    return made.run(*as_user, "cat", str(path)).returncode == 0


def user_group(user: str) -> str:
    return {"nobody": "nogroup"}.get(user, user)
