"""What becomes of an account by the command line: tried, changed, removed, and given tokens."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.gateway.cli.commands import Commands
from tests.gateway.proxy.proxied import ENVIRONMENT, ISTHMUS
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.gateway import serving
from tests.servers.sshd import free_port

pytestmark = [pytest.mark.server, pytest.mark.journey]


class Gateway(Commands):
    """One that is served, and asked over the API."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self.port = free_port()

    def status(self, account: int, token: str) -> int:
        """What the API answers to a listing with the token."""
        url = f"http://127.0.0.1:{self.port}/v1/accounts/{account}/storage/folders/root/contents"
        return requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=30).status_code


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("accounts")
    made = Gateway(folder / "data")
    command = [*ISTHMUS, "serve", "--data", str(made.data), "--port", str(made.port)]
    with serving(command, folder / "log", ENVIRONMENT, made.port):
        yield made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture
def account(gateway: Gateway, store: Apache) -> tuple[int, str]:
    """Its number and its first token; the password is wrong."""
    pairs = (f"url={store.url}", f"username={USER}", "password=wrong")
    words = [word for pair in pairs for word in ("--set", pair)]
    made = gateway.data_of("account", "add", "webdav", "--app", gateway.app, *words)
    return made["id"], made["access_token"]


def test_a_wrong_password_is_found_and_changed(gateway: Gateway, account: tuple[int, str]) -> None:
    number, token = account
    status, out, _ = gateway.run("account", "check", str(number))
    assert (status, "checked: failed: " in out) == (1, True)
    assert gateway.status(number, token) != 200
    status, out, err = gateway.run(
        "account", "change", str(number), "--set", "password=-", given=f"{PASSWORD}\n"
    )
    assert (status, "checked: ok" in out) == (0, True), err
    assert PASSWORD not in out
    assert gateway.status(number, token) == 200
    assert gateway.run("account", "check", str(number))[0] == 0


def test_what_can_not_be_changed_is_said_and_nothing_is(gateway: Gateway, account: tuple[int, str]) -> None:
    number = str(account[0])
    for pair, said in (
        ("pasword=x", "pasword: is no setting of this connector. It takes: "),
        ("url=ftp://x", "url: "),
    ):
        status, _, err = gateway.run("account", "change", number, "--set", pair, "--name", "new")
        assert (status, said in err) == (1, True), err
    assert "nothing is to be changed" in gateway.run("account", "change", number)[2]
    assert "'isthmus account list'" in gateway.run("account", "change", "999", "--name", "x")[2]
    [found] = [one for one in gateway.data_of("account", "list")["accounts"] if str(one["id"]) == number]
    assert found["account"] != "new"


def test_an_account_is_switched_off_and_on(gateway: Gateway, account: tuple[int, str]) -> None:
    number = account[0]
    gateway.data_of("account", "change", str(number), "--set", f"password={PASSWORD}", "--name", "files")
    switched = gateway.data_of("account", "change", str(number), "--disable")
    assert switched == {"id": number, "account": "files", "enabled": False}
    until(gateway, account, 403)
    gateway.data_of("account", "change", str(number), "--enable")
    until(gateway, account, 200)


def test_a_removed_account_is_gone_with_its_tokens(
    gateway: Gateway, account: tuple[int, str], store: Apache
) -> None:
    (store.data / "stays.txt").write_text("stays")
    number = str(account[0])
    assert gateway.run("account", "remove", number, given="n\n")[0] == 1
    assert gateway.data_of("account", "token", "list", "--account", number)["tokens"]
    assert gateway.data_of("account", "remove", number, "--yes") == {"id": account[0], "removed": True}
    until(gateway, account, 401)
    assert "'isthmus account list'" in gateway.run("account", "remove", number, "--yes")[2]
    assert (store.data / "stays.txt").exists()


def test_tokens_are_made_listed_and_revoked(gateway: Gateway, account: tuple[int, str]) -> None:
    number, first = account
    gateway.data_of("account", "change", str(number), "--set", f"password={PASSWORD}")
    made = gateway.data_of("account", "token", "create", "--account", str(number), "--hours", "1")
    assert gateway.status(number, made["access_token"]) == 200
    listed = gateway.data_of("account", "token", "list", "--account", str(number))["tokens"]
    assert [one["expires"] for one in listed] == [None, made["expires"]]
    assert made["access_token"] not in json.dumps(listed)
    gateway.data_of("account", "token", "revoke", str(made["id"]))
    until(gateway, (number, made["access_token"]), 401)
    assert gateway.status(number, first) == 200
    assert "no token" in gateway.run("account", "token", "revoke", str(made["id"]))[2]
    actions = [row["action"] for row in gateway.data_of("audit", "list")["rows"]]
    assert {"access_token.create", "access_token.revoke", "account.change"} <= set(actions)


def test_settings_wait_for_a_running_gateway(tmp_path: Path) -> None:
    stopped = Gateway(tmp_path / "data")
    number = stopped.data_of("account", "add", "local", "--app", stopped.app, "--set", f"root={tmp_path}")[
        "id"
    ]
    status, _, err = stopped.run("account", "change", str(number), "--set", "root=/")
    assert (status, "'isthmus serve'" in err) == (1, True)
    assert stopped.data_of("account", "change", str(number), "--name", "n")["account"] == "n"
    assert stopped.data_of("account", "remove", str(number), "--yes")["removed"]


def until(gateway: Gateway, account: tuple[int, str], status: int) -> None:
    """Returns when the API answers so: it remembers look-ups for a second."""
    deadline = time.monotonic() + 10
    while (last := gateway.status(*account)) != status:
        assert time.monotonic() < deadline, last
        time.sleep(0.1)
