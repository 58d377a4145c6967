"""Two gateways on one PostgreSQL renew one account's token, at once and while one is killed.

The token server is a double that ends the consent when a refresh token comes twice; the API is a real Apache
that takes the last access token alone.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.proxy.proxied import ENVIRONMENT, ISTHMUS
from tests.servers.gateway import processes, serving
from tests.servers.guarded import Guarded, guarded
from tests.servers.postgres import postgres
from tests.servers.sshd import free_port
from tests.servers.token_double import REFRESH_TOKEN, TokenDouble, token_double

pytestmark = [pytest.mark.server, pytest.mark.journey]


@dataclass
class Gateway:
    """One of them, on a data folder of its own."""

    data: Path
    database: str
    port: int = 0

    def isthmus(self, *words: str) -> Any:
        command = [*ISTHMUS, *words, "--data", str(self.data), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment())
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def serving(self) -> Iterator[None]:
        self.port = free_port()
        command = [*ISTHMUS, "serve", "--data", str(self.data), "--port", str(self.port)]
        with serving(command, self.data / "log", self._environment(), self.port):
            yield

    def worker(self) -> int | None:
        """The process id of its worker, while there is one."""
        return next((int(process.name) for process in processes(self.data, "worker")), None)

    def _environment(self) -> dict[str, str]:
        return {**ENVIRONMENT, "ISTHMUS_DATABASE": self.database}


@dataclass
class Two:
    """Both, an account that both have, and what it is of."""

    gateways: list[Gateway]
    account: int
    key: str
    double: TokenDouble

    def change(self, gateway: Gateway, **settings: str) -> int:
        """The status of a change of the account's settings by one of the gateways."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{gateway.port}/v1/accounts/{self.account}",
            method="PATCH",
            data=json.dumps(settings).encode(),
            headers={"Authorization": f"APIKey {self.key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)

    def read(self, gateway: Gateway) -> tuple[int, bytes]:
        """Status and body of a request in the API's own terms, by one of the gateways."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{gateway.port}/v1/accounts/{self.account}/raw",
            method="POST",
            headers={
                "Authorization": f"APIKey {self.key}",
                "X-Kloudless-Raw-Method": "GET",
                "X-Kloudless-Raw-URI": "/a.txt",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    with ExitStack() as stack:
        api: Guarded = stack.enter_context(guarded(folder / "api", "bearer"))
        api.put("a.txt", b"bytes")
        double = stack.enter_context(token_double(api.token))
        double.rotates = double.revokes = True
        url = stack.enter_context(postgres()).url("postgres")
        first, second = Gateway(folder / "first", url), Gateway(folder / "second", url)
        first.isthmus("init")
        shutil.copytree(first.data, second.data)  # the same keys, as gateways of one database have
        first.isthmus("developer", "create", "dev@example.com")
        app = first.isthmus("app", "create", "demo", "--developer", "dev@example.com")
        settings = double.settings(url=api.url, refresh_token=REFRESH_TOKEN)
        pairs = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        account = first.isthmus("account", "add", "http", "--app", app["id"], *pairs)
        for gateway in (first, second):
            stack.enter_context(gateway.serving())
        yield Two([first, second], account["id"], app["api_key"], double)


def test_a_worker_that_is_killed_while_it_renews_holds_nobody_up_for_long(two: Two) -> None:
    first, second = two.gateways
    two.double.open.clear()
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(two.read, first)
        _until(lambda: two.double.waiting == 1)
        waits = pool.submit(two.read, second)
        worker = first.worker()
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        assert lost.result()[0] >= 500
        two.double.open.set()
        assert waits.result() == (200, b"bytes")
    _until(lambda: first.worker() not in (None, worker))
    _until(lambda: two.read(first) == (200, b"bytes"))  # by the token that the other one got
    assert _refresh_tokens(two.double) == ["refresh-1"]


def test_both_at_once_cost_one_exchange(two: Two) -> None:
    two.double.takes = 0.5
    two.double.revoke()
    with ThreadPoolExecutor(16) as pool:
        told = list(pool.map(two.read, two.gateways * 8))
    assert set(told) == {(200, b"bytes")}
    assert _refresh_tokens(two.double) == ["refresh-1", "refresh-2"]


def test_changed_settings_keep_the_refresh_token_that_is_good_now(two: Two) -> None:
    """One gateway changes them; the other one learns it, and both go on with what the last exchange gave."""
    two.double.takes = 0.0
    assert two.change(two.gateways[0], scope="read") == 200
    _until(lambda: [two.read(gateway) for gateway in two.gateways] == 2 * [(200, b"bytes")])
    _until(lambda: len(two.double.asked) == 3 and two.read(two.gateways[1])[0] == 200)
    assert _refresh_tokens(two.double) == ["refresh-1", "refresh-2", "refresh-3"]
    assert two.double.asked[-1]["scope"] == "read"


def _refresh_tokens(double: TokenDouble) -> list[str]:
    return [one["refresh_token"] for one in double.asked]


def _until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
