"""Events of real stores that other programs change: SSH server, Apache. A worker is killed on the way."""

import os
import shutil
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import kloudless
import pytest
import requests

from tests.journeys.agents import ask, over_stdio
from tests.journeys.folders import Account, Folders, folders, until
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.sshd import Sshd, sshd

# a gateway and two stores' accounts are set up, and looks follow each other at their own pace
pytestmark = [pytest.mark.journey, pytest.mark.server, pytest.mark.timeout(300)]
FOLDERS = 40


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("ssh")) as server:
        yield server


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("web")) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folders]:
    with folders(tmp_path_factory.mktemp("gateway"), events_interval=0.5) as made:
        made.switch(events_enabled=True)
        yield made


def connect(gateway: Folders, service: str, folder: Path, **settings: object) -> Account:
    """An account on a store that holds the folder, once it was looked through."""
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    made = gateway.isthmus("account", "add", service, "--app", gateway.app["id"], *words)
    assert made["checked"] == "ok"
    account = Account(made["id"], made["access_token"], folder, f"{gateway.url}/v1/accounts/{made['id']}")
    until(lambda: read(account)["collection"]["crawled"])
    return account


@pytest.fixture(scope="module")
def sftp(gateway: Folders, ssh: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Account:
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_text(ssh.private_key)
    for number in range(FOLDERS):
        inside = ssh.data / "tree" / f"d{number}"
        inside.mkdir(parents=True)
        (inside / "old.txt").write_text(f"{number}")
        os.utime(inside / "old.txt", (1_700_000_000 + number,) * 2)  # else no two of them are told apart
    settings = {"host": "127.0.0.1", "port": ssh.port, "username": ssh.user, "private_key": f"@{key}"}
    return connect(gateway, "sftp", ssh.data, root=ssh.data, **settings)


@pytest.fixture(scope="module")
def webdav(gateway: Folders, web: Apache) -> Account:
    return connect(gateway, "webdav", web.data, url=web.url, username=USER, password=PASSWORD)


def read(account: Account, **query: Any) -> dict[str, Any]:
    answer = requests.get(f"{account.url}/events", params=query, headers=account.bearer, timeout=90)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def latest(account: Account) -> int:
    return int(account.client().get("events/latest").data["cursor"])


def every(account: Account, cursor: int) -> Counter[tuple[str, str]]:
    """All events behind the cursor, by the published client."""
    found = account.client().get("events", params={"cursor": cursor, "page_size": 50})
    return Counter((e.data["type"], e.data["metadata"]["path"]) for e in found.get_paging_iterator())


def looked_again(account: Account) -> None:
    """Returns when a look that began after this moment is over."""
    for _ in range(2):
        before = read(account)["collection"]["crawled"]
        until(lambda b=before: read(account)["collection"]["crawled"] != b, within=60)  # type: ignore[misc]


def upload(account: Account, name: str) -> None:
    headers = {
        **account.bearer,
        "Content-Type": "application/octet-stream",
        "X-Kloudless-Metadata": f'{{"name": "{name}", "parent_id": "root"}}',
    }
    requests.post(
        f"{account.url}/storage/files", data=b"ours", headers=headers, timeout=30
    ).raise_for_status()


def noted(gateway: Folders, account: Account) -> int:
    """How much a look that is under way has found and not told yet."""
    with closing(sqlite3.connect(gateway.data / "isthmus.db")) as database:
        found = database.execute(
            "SELECT count(*) FROM tracked WHERE account_id = ? AND state != 0", (account.id,)
        )
        return int(found.fetchone()[0])


def test_a_worker_that_is_killed_while_it_looks_loses_nothing_and_tells_nothing_twice(
    gateway: Folders, sftp: Account
) -> None:
    cursor = latest(sftp)
    script = """
        cd tree
        mv d0/old.txt d1/moved.txt
        mv d2/old.txt d2/renamed.txt
        echo longer > d3/old.txt
        rm d4/old.txt
        for n in $(seq 5 39); do echo "new $n" > d$n/new.txt; done
    """
    subprocess.run(["sh", "-ec", script], cwd=sftp.folder, check=True)
    until(lambda: noted(gateway, sftp) > 10)
    gateway.kill_worker()
    until(lambda: requests.get(f"{gateway.url}/v1/health", timeout=10).status_code in (200, 404))
    expected = Counter(
        [
            ("move", "/tree/d1/moved.txt"),
            ("rename", "/tree/d2/renamed.txt"),
            ("update", "/tree/d3/old.txt"),
            ("delete", "/tree/d4/old.txt"),
            *(("add", f"/tree/d{number}/new.txt") for number in range(5, FOLDERS)),
        ]
    )
    until(lambda: reads(sftp, cursor) == expected, within=90)
    looked_again(sftp)
    assert every(sftp, cursor) == expected


def reads(account: Account, cursor: int) -> Counter[tuple[str, str]]:
    """All events; none while the worker is away."""
    try:
        return every(account, cursor)
    except kloudless.exceptions.APIException:
        return Counter()


def test_what_the_gateway_does_is_told_at_once_and_by_no_look_again(sftp: Account) -> None:
    cursor = latest(sftp)
    upload(sftp, "ours.txt")
    (told,) = read(sftp, cursor=cursor)["objects"]
    assert (told["type"], told["metadata"]["path"], told["ip"]) == ("add", "/ours.txt", "127.0.0.1")
    looked_again(sftp)
    assert every(sftp, cursor) == Counter([("add", "/ours.txt")])


def test_another_client_of_the_web_server(sftp: Account, webdav: Account, web: Apache) -> None:
    cursor, others = latest(webdav), latest(sftp)
    upload(webdav, "ours.txt")
    login = requests.auth.HTTPBasicAuth(USER.encode(), PASSWORD.encode())
    requests.request("MKCOL", f"{web.url}box/", auth=login, timeout=10).raise_for_status()
    requests.put(f"{web.url}box/a.txt", data=b"bytes", auth=login, timeout=10).raise_for_status()
    wanted = Counter([("add", "/ours.txt"), ("add", "/box"), ("add", "/box/a.txt")])
    until(lambda: every(webdav, cursor) == wanted, within=30)
    cursor = latest(webdav)
    there = {"Destination": f"{web.url}b.txt"}
    requests.request("MOVE", f"{web.url}box/a.txt", headers=there, auth=login, timeout=10).raise_for_status()
    requests.request("DELETE", f"{web.url}box/", auth=login, timeout=10).raise_for_status()
    until(lambda: every(webdav, cursor) == Counter([("move", "/b.txt"), ("delete", "/box")]), within=30)
    looked_again(webdav)
    assert sum(every(webdav, cursor).values()) == 2
    assert latest(sftp) == others


def test_a_store_that_goes_away_has_not_lost_its_files(
    gateway: Folders, ssh: Sshd, sftp: Account, tmp_path: Path
) -> None:
    cursor = latest(sftp)
    ssh.kill_sessions()
    shutil.move(ssh.data / "tree" / "d10", tmp_path / "away")
    until(lambda: every(sftp, cursor), within=60)
    assert set(every(sftp, cursor)) == {
        ("delete", "/tree/d10/old.txt"),
        ("delete", "/tree/d10/new.txt"),
        ("delete", "/tree/d10"),
    }


async def test_an_agent_waits_for_what_changes(gateway: Folders, sftp: Account) -> None:
    async with over_stdio(gateway.url, ISTHMUS_TOKEN=sftp.token) as client:
        cursor = latest(sftp)
        none = await ask(client, "list_events", cursor=cursor)
        assert (none["events"], none["cursor"], none["remaining"], none["note"]) == ([], cursor, 0, None)
        later = threading.Timer(1.0, lambda: (sftp.folder / "for the agent.txt").write_text("x"))
        later.start()
        found = await ask(client, "list_events", cursor=cursor, wait=30)
        later.join()
        (event,) = found["events"]
        assert (event["type"], event["entry"]["name"], event["by"]) == ("add", "for the agent.txt", None)
        assert not (await client.call_tool("read_file", {"file": event["entry"]["id"]})).is_error


def test_the_command_line_shows_the_same(gateway: Folders, sftp: Account) -> None:
    listed = gateway.isthmus("events", "list", str(sftp.id))["events"]
    assert [one["cursor"] for one in listed] == [e["cursor"] for e in read(sftp)["objects"]]
    status = gateway.isthmus("events", "status", str(sftp.id))
    assert (status["head"], status["failures"], status["error"]) == (latest(sftp), 0, None)
    assert status["entries"] > FOLDERS
    assert gateway.isthmus("app", "events", gateway.app["id"], "off")["events_enabled"] is False
    until(lambda: requests.get(f"{sftp.url}/events", headers=sftp.bearer, timeout=10).status_code == 403)
