"""Uploads from a URL, on a real gateway: as calls, as tasks, cancelled, and with the worker killed."""

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kloudless import exceptions

from tests.journeys.folders import Account, Folders, folders, until

pytestmark = [pytest.mark.journey]
DATA = os.urandom(2_000_003)


class Site(ThreadingHTTPServer):
    """A double of any site: `/data` gives DATA, `/slow` never ends, `/away` redirects to another address."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.slow = threading.Event()
        self.left = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        if self.path == "/data":
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA)
        elif self.path == "/slow":
            self.send_response(200)
            self.send_header("Content-Length", "1000000000")
            self.end_headers()
            self.drip()
        else:
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.2:{self.server.server_port}/data")
            self.end_headers()

    def drip(self) -> None:
        self.server.slow.set()
        try:
            while True:
                self.wfile.write(b"x" * 4096)
                self.server.left.wait(0.02)
        except OSError:
            self.server.left.set()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folders]:
    allowed = {"fetch_private": ["127.0.0.1/32"], "fetch_ports": [], "fetch_bytes": 1_000_000_000}
    with folders(tmp_path_factory.mktemp("fetch"), **allowed) as made:
        yield made


@pytest.fixture(scope="module")
def account(gateway: Folders) -> Account:
    return gateway.add("main")


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        serving = threading.Thread(target=made.serve_forever)
        serving.start()
        yield made
        made.shutdown()
        serving.join()


def post(account: Account, url: str, name: str = "a.bin", **query: str) -> Any:
    return account.client().post(
        "storage/files", json={"url": url, "parent_id": "root", "name": name}, params=query
    )


def test_a_file_is_made_of_what_a_url_gives(account: Account, site: Site) -> None:
    made = post(account, f"{site.url}/data")
    assert (made.response.status_code, made.data["name"], made.data["size"]) == (201, "a.bin", len(DATA))
    assert (account.folder / "a.bin").read_bytes() == DATA
    assert post(account, f"{site.url}/data").data["name"] == "a (1).bin"
    assert post(account, f"{site.url}/data", overwrite="true").response.status_code == 200
    with pytest.raises(exceptions.APIException) as caught:
        post(account, f"{site.url}/data", conflict_if_exists="true")
    assert caught.value.status == 409


@pytest.mark.parametrize("path", ["/away", "@127.0.0.2/", ":1@127.0.0.2:80/"])
def test_where_we_do_not_go_is_a_400_that_names_the_url(account: Account, site: Site, path: str) -> None:
    with pytest.raises(exceptions.APIException) as caught:
        post(account, f"{site.url}{path}", "never")
    assert caught.value.status == 400
    assert caught.value.error_data["message"].startswith("url:")
    assert "127.0.0" not in caught.value.error_data["message"]
    assert not (account.folder / "never").exists()


def test_a_url_as_a_task_with_its_progress(account: Account, site: Site) -> None:
    task = post(account, f"{site.url}/data", "task.bin", return_type="task").data
    ended = until(lambda: (t := account.client().get(f"tasks/{task['id']}").data)["state"] == "SUCCESS" and t)
    assert ended["result"]["name"] == "task.bin"
    assert ended["progress"] == {"bytes": len(DATA), "total": len(DATA), "entries": 1}
    assert (account.folder / "task.bin").read_bytes() == DATA


def test_a_task_that_is_cancelled_leaves_no_name_and_lets_go(account: Account, site: Site) -> None:
    client = account.client()
    task = post(account, f"{site.url}/slow", "slow.bin", return_type="task").data

    def moving() -> Any:
        found = client.get(f"tasks/{task['id']}").data
        return found["state"] == "STARTED" and found["progress"]["bytes"] and found

    assert until(moving)["progress"]["total"] == 1_000_000_000
    assert client.delete(f"tasks/{task['id']}").status_code == 204
    hidden = [path.name for path in account.folder.iterdir() if path.name.startswith(".")]
    assert hidden == []
    assert not (account.folder / "slow.bin").exists()
    assert site.left.wait(5)
    failed = client.get(f"tasks/{task['id']}").data
    assert (failed["state"], failed["error"]["error_code"]) == ("FAILURE", "cancelled")
    assert client.delete(f"tasks/{task['id']}").status_code == 204
    with pytest.raises(exceptions.NotFoundException):
        client.get(f"tasks/{task['id']}")


def test_a_client_that_leaves_ends_the_fetch(gateway: Folders, account: Account, site: Site) -> None:
    body = f'{{"url": "{site.url}/slow", "parent_id": "root", "name": "left.bin"}}'.encode()
    head = (
        f"POST /v1/accounts/me/storage/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(head.encode() + body)
        assert site.slow.wait(5)
    assert site.left.wait(5)
    assert not (account.folder / "left.bin").exists()


def test_a_worker_that_dies_leaves_a_task_that_says_so(
    gateway: Folders, account: Account, site: Site
) -> None:
    client = account.client()
    task = post(account, f"{site.url}/slow", "lost.bin", return_type="task").data
    until(lambda: client.get(f"tasks/{task['id']}").data["state"] == "STARTED")
    gateway.kill_worker()
    failed = until(lambda: (t := client.get(f"tasks/{task['id']}").data)["state"] == "FAILURE" and t, 60)
    assert failed["error"]["status_code"] == 502
    assert "restarted" in failed["error"]["message"]
    assert not (account.folder / "lost.bin").exists()
