"""One line a request and a CONNECT, in which nothing secret stands."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway.proxy.counting.access_log import shown
from tests.gateway.proxy.proxied import Account, Proxied
from tests.servers.apache import Apache


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("/a/b", "/a/b"),
        ("/a?b=c", "/a?b=*"),
        ("/a?", "/a?*"),
        ("/a?X-Amz-Signature=5ab&list-type=2", "/a?X-Amz-Signature=*&list-type=*"),
        ("/a?eyJhbGciOiJIUzI1NiJ9", "/a?*"),
        ("/a?dG9rZW4=", "/a?*"),
        ("/a?dG9rZW4==", "/a?*"),
        ("/a?b=c=d&b", "/a?b=*&*"),
        (f"/a?{'n' * 33}=v", "/a?*"),
        ("/a?b=c?d=e", "/a?b=*"),
        ("/" + "p" * 600, "/" + "p" * 511 + "…"),
    ],
)
def test_a_querys_values_are_not_shown(target: str, line: str) -> None:
    assert shown(target) == line


def lines(proxied: Proxied) -> list[dict[str, Any]]:
    found = [
        json.loads(line) for line in (proxied.folder / "log").read_text().splitlines() if line[:1] == "{"
    ]
    return [one for one in found if one["process"].startswith("proxy") and one["logger"] == "access"]


def line(proxied: Proxied, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The last such line, once it is there."""
    deadline = time.monotonic() + 10
    while not (found := [one for one in lines(proxied) if fits(one)]):
        assert time.monotonic() < deadline, "no such line"
        time.sleep(0.05)
    return found[-1]


@pytest.mark.server
@pytest.mark.journey
class TestServed:
    def test_a_request(self, proxied: Proxied, account: Account, store: Apache) -> None:
        assert proxied.curl(account, "-T", __file__, f"{store.url}logged.py")[0] == 201
        size = (store.data / "logged.py").stat().st_size
        found = line(proxied, lambda one: one["path"] == "/logged.py")
        assert found["level"] == "info"
        assert found["message"] == "request"
        assert (found["account"], found["method"], found["status"]) == (account.id, "PUT", 201)
        assert (found["host"], found["up"]) == (f"localhost:{store.port}", size)
        assert found["actor"].startswith("access token ")
        assert found["ms"] > 0
        assert found["down"] > 0
        assert found["refused"] is None

    def test_secrets_in_a_query_do_not_stand_in_the_log(
        self, proxied: Proxied, account: Account, store: Apache
    ) -> None:
        sas = "sv=2024-05-04&sr=b&sp=r&se=2030-01-01T00%3A00%3A00Z&sig=Zm9vYmFyc2lnbmF0dXJlMTIz%3D"
        proxied.curl(account, f"{store.url}sas.txt?{sas}&access_token=verysecret77")
        found = line(proxied, lambda one: one["path"].startswith("/sas.txt"))
        assert found["path"] == "/sas.txt?sv=*&sr=*&sp=*&se=*&sig=*&access_token=*"
        log = (proxied.folder / "log").read_text()
        for secret in ("Zm9vYmFyc2lnbmF0dXJlMTIz", "verysecret77", account.token):
            assert secret not in log

    def test_what_is_refused_says_why(self, proxied: Proxied, account: Account, store: Apache) -> None:
        proxied.curl(account, "https://elsewhere.example/")
        found = line(proxied, lambda one: one["host"] == "elsewhere.example:443")
        assert (found["method"], found["status"], found["account"]) == ("CONNECT", 403, account.id)
        assert "is not a host of account" in found["refused"]
        proxied.curl(account, "https://unproven.example/", token="wrongtoken99")
        found = line(proxied, lambda one: one["host"] == "unproven.example:443")
        assert (found["account"], found["actor"]) == (None, None)
        assert found["status"] in (407, 429)
        assert "wrongtoken99" not in (proxied.folder / "log").read_text()

    def test_a_store_that_is_not_there(self, proxied: Proxied, account: Account, store: Apache) -> None:
        made = proxied.isthmus(
            *("account", "add", "webdav", "--app", proxied.app["id"], "--set", "url=http://localhost:9/"),
            *("--set", "username=u", "--set", "password=p"),
        )
        gone = Account(made["id"], made["access_token"])
        assert proxied.curl(gone, "http://localhost:9/gone")[0] == 502
        found = line(proxied, lambda one: one["path"] == "/gone")
        assert found["status"] == 502
        assert found["refused"].startswith("the store's host refused the connection")
