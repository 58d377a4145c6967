"""The whole product as its users run it: processes, a real SSH server, an agent, the published client."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from typing import Any

import kloudless
import pytest

from tests.journeys.product import Gateway
from tests.servers.sshd import sshd

pytestmark = [pytest.mark.journey, pytest.mark.server]
NAMES = ["plain.txt", "Ünï cödé.txt", "100% + 'quotes' \"double\".txt", ".hidden", "n" * 251 + ".txt"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("first-light")
    with sshd(folder / "ssh") as server:
        made = Gateway(folder, server)
        try:
            made.set_up()
            yield made
        finally:
            made.stop()


@pytest.fixture
def account(gateway: Gateway) -> Any:
    kloudless.configuration["base_url"] = f"http://127.0.0.1:{gateway.port}"
    return kloudless.Account(token=gateway.account["access_token"])


def test_the_account_was_reached_when_it_was_added(gateway: Gateway) -> None:
    assert gateway.account["checked"] == "ok"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_goes_up_and_comes_down_exactly(gateway: Gateway, account: Any, name: str) -> None:
    content = os.urandom(3_000_001)
    made = account.post(
        "storage/files",
        data=io.BytesIO(content),
        headers={"X-Kloudless-Metadata": json.dumps({"name": name, "parent_id": "root"})},
    )
    assert made.data["name"] == name
    assert (gateway.server.data / name).read_bytes() == content
    status, body = gateway.call("GET", f"/accounts/me/storage/files/{made.data['id']}/contents")
    assert (status, hashlib.sha256(body).digest()) == (200, hashlib.sha256(content).digest())
    status, body = gateway.call(
        "GET", f"/accounts/me/storage/files/{made.data['id']}/contents", Range="bytes=1000-2999"
    )
    assert (status, body) == (206, content[1000:3000])


def test_no_temporary_name_is_left_on_the_store(gateway: Gateway) -> None:
    assert not [p for p in gateway.server.data.iterdir() if p.name.startswith(".isthmus-")]


def test_a_download_survives_a_killed_agent_process(gateway: Gateway) -> None:
    content = os.urandom(1024) * 1024 * 64
    (gateway.server.data / "big.bin").write_bytes(content)
    with gateway.content("big.bin") as answer:
        received = [answer.read(1_000_000)]
        gateway.running_agent.kill()
        gateway.running_agent.wait()
        gateway.run_agent()
        received.append(answer.read())
    assert hashlib.sha256(b"".join(received)).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/accounts/me/storage/folders/root/contents?page_size=0", "page_size"),
        ("/accounts/me/storage/folders/root/contents?page_size=1000000", "page_size"),
        ("/accounts?page=x", "page"),
    ],
)
def test_bad_input_is_a_400_that_names_the_field(gateway: Gateway, path: str, field: str) -> None:
    status, error = gateway.call("GET", path)
    if path.startswith("/accounts?"):
        assert status in (200, 400)
    else:
        assert status == 400
        assert field in error["message"]


@pytest.mark.parametrize(
    "path", ["/accounts/999999", "/accounts/me/storage/files/bm90LWFuLWlk", "/accounts/-1"]
)
def test_what_is_not_yours_is_a_404(gateway: Gateway, path: str) -> None:
    status, error = gateway.call("GET", path)
    assert status == 404
    assert error["error_code"] == "not_found"


def test_a_wrong_token_is_a_401(gateway: Gateway) -> None:
    status, error = gateway.call("GET", "/accounts", token="nonsense")
    assert (status, error["status_code"]) == (401, 401)


def test_the_allow_list_says_no_without_an_address(gateway: Gateway) -> None:
    other = gateway.isthmus(
        "account", "add", "sftp", "--app", gateway.app["id"], "--network", "office",
        "--set", "host=127.0.0.1", "--set", "port=1", "--set", "username=x", "--set", "password=secret-word",
    )  # fmt: skip
    assert "allow-list" in other["checked"]
    status, error = gateway.call("GET", "/accounts/me/storage/folders/root", token=other["access_token"])
    assert status in (403, 502)
    assert "127.0.0.1" not in json.dumps(error)
    assert "secret-word" not in json.dumps(error)
