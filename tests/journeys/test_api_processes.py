"""Several api processes on one port: each has its part, and whoever is asked knows what the others did."""

import contextlib
import hashlib
import http.client
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from gateway.listening import listening
from tests.journeys.folders import Account, Folders, folders, until
from tests.journeys.product import ISTHMUS, Gateway
from tests.servers.sshd import sshd, wait_for_port

# several processes start at once, beside an agent and a store
pytestmark = [pytest.mark.journey, pytest.mark.server, pytest.mark.timeout(300)]
PROCESSES = 3
BIG = 32 * 1024 * 1024


class Client:
    """One connection to the API, kept, and the process that has it."""

    def __init__(self, port: int, parent: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.connect()
        assert self.ask("GET", "/health")[0] == 200
        self.process = holder(parent, self.connection.sock.getsockname()[1])

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] = {}, body: str | bytes | None = None
    ) -> tuple[int, Any]:
        """Status and JSON."""
        self.connection.request(method, path, body, dict(headers))
        answer = self.connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content.startswith((b"{", b"[")) else content


def apis(parent: int) -> list[psutil.Process]:
    """The api processes of this supervisor that live."""
    found = []
    for one in psutil.Process(parent).children():
        with contextlib.suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            if "api" in one.cmdline():
                found.append(one)
    return found


def holder(parent: int, client_port: int) -> int:
    """The process that has the other end of a connection."""
    found: list[int] = [
        one.pid
        for one in apis(parent)
        for held in one.net_connections("tcp")
        if held.raddr and held.raddr.port == client_port
    ]
    return found[0]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folders]:
    with folders(tmp_path_factory.mktemp("apis"), api_processes=PROCESSES, events_interval=60) as made:
        made.switch(events_enabled=True)
        all_serve(made)
        yield made


@pytest.fixture
def mine(gateway: Folders, request: pytest.FixtureRequest) -> Account:
    return gateway.add(request.node.name)


@contextlib.contextmanager
def connected(gateway: Folders, number: int) -> Iterator[list[Client]]:
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(number):
            made.append(Client(gateway.port, gateway.serving.pid))
            stack.callback(made[-1].connection.close)
        yield made


def all_serve(gateway: Folders) -> None:
    """Returns once each process takes connections."""

    def reached() -> bool:
        with connected(gateway, 2 * PROCESSES) as clients:
            return len({client.process for client in clients}) == PROCESSES

    until(reached, within=60)


@pytest.fixture
def clients(gateway: Folders) -> Iterator[list[Client]]:
    """A connection to each process."""
    with connected(gateway, 2 * PROCESSES) as made:
        by_process = {client.process: client for client in made}
        assert len(by_process) == PROCESSES
        yield list(by_process.values())


def test_connections_are_spread_evenly_also_in_a_burst(gateway: Folders) -> None:
    with connected(gateway, 10 * PROCESSES) as made:
        held = Counter(client.process for client in made)
    assert len(held) == PROCESSES
    assert min(held.values()) >= 8, held  # a process may not know yet that connections of before have ended


def test_a_revoked_key_is_refused_by_all_at_once(gateway: Folders, clients: list[Client]) -> None:
    developer = {"Authorization": f"Bearer {gateway.developer['meta_token']}"}
    keys = f"/v1/meta/applications/{gateway.app['id']}/apikeys"
    for turn in range(2 * PROCESSES):
        revoking = clients[turn % PROCESSES]
        key = revoking.ask("POST", keys, developer)[1]["key"]
        headers = {"Authorization": f"APIKey {key}"}
        assert [one.ask("GET", "/v1/accounts", headers)[0] for one in clients] == [200] * PROCESSES
        assert revoking.ask("DELETE", f"{keys}/{key}", developer)[0] == 204
        assert [one.ask("GET", "/v1/accounts", headers)[0] for one in clients] == [401] * PROCESSES


def test_an_account_that_is_switched_off_or_removed_is_so_everywhere(
    gateway: Folders, mine: Account, clients: list[Client]
) -> None:
    path = f"/v1/accounts/{mine.id}"
    contents = f"{path}/storage/folders/root/contents"

    def statuses(headers: Mapping[str, str]) -> set[int]:
        return {client.ask("GET", contents, headers)[0] for client in clients}

    for switched, status in ((False, 403), (True, 200)) * 2:
        changed = clients[0].ask("PATCH", path, gateway.key, json.dumps({"enabled": switched}))
        assert changed[0] == 200
        assert statuses(gateway.key) == {status}
    assert statuses(mine.bearer) == {200}
    assert clients[1].ask("DELETE", path, gateway.key)[0] == 204
    assert statuses(mine.bearer) == {401}
    assert statuses(gateway.key) == {404}


def test_wrong_passwords_of_a_link_are_counted_together(mine: Account, clients: list[Client]) -> None:
    (mine.folder / "a.txt").write_text("a")
    listed = clients[0].ask("GET", f"/v1/accounts/{mine.id}/storage/folders/root/contents", mine.bearer)[1]
    body = json.dumps({"file_id": listed["objects"][0]["id"], "password": "right"})
    made = clients[0].ask("POST", f"/v1/accounts/{mine.id}/storage/links", mine.bearer, body)
    assert made[0] == 201, made
    path = urlsplit(made[1]["url"]).path
    tried = [clients[n % PROCESSES].ask("POST", path, body=f"password=w{n}")[0] for n in range(12)]
    assert tried == [403] * 10 + [429] * 2
    assert {client.ask("POST", path, body="password=right")[0] for client in clients} == {429}


def test_an_upload_in_parts_may_go_over_all(mine: Account, clients: list[Client]) -> None:
    path = f"/v1/accounts/{mine.id}/storage/multipart"
    begun = clients[0].ask("POST", path, mine.bearer, json.dumps({"parent_id": "root", "name": "parts.bin"}))[
        1
    ]
    content = os.urandom(begun["part_size"]) + b"the end"
    for number, client in ((1, clients[1]), (2, clients[2])):
        part = content[(number - 1) * begun["part_size"] : number * begun["part_size"]]
        where = f"{path}/{begun['id']}?part_number={number}"
        assert client.ask("PUT", where, mine.bearer, part)[0] == 200
    assert len(clients[1].ask("GET", f"{path}/{begun['id']}", mine.bearer)[1]["parts"]) == 2
    assert clients[1].ask("POST", f"{path}/{begun['id']}/complete", mine.bearer)[0] == 201
    assert (mine.folder / "parts.bin").read_bytes() == content


def test_who_waits_at_one_hears_of_what_another_wrote(mine: Account, clients: list[Client]) -> None:
    waiting, writing, _ = clients
    events = f"/v1/accounts/{mine.id}/events"
    until(lambda: writing.ask("GET", events, mine.bearer)[1]["collection"]["crawled"])
    cursor = writing.ask("GET", f"{events}/latest", mine.bearer)[1]["cursor"]
    heard: list[Any] = []
    thread = threading.Thread(
        target=lambda: heard.append(waiting.ask("GET", f"{events}?cursor={cursor}&wait=60", mine.bearer))
    )
    thread.start()
    folder = json.dumps({"parent_id": "root", "name": "new"})
    assert writing.ask("POST", f"/v1/accounts/{mine.id}/storage/folders", mine.bearer, folder)[0] == 201
    thread.join(timeout=20)
    ((status, told),) = heard
    assert status == 200
    assert [event["metadata"]["name"] for event in told["objects"]] == ["new"]


def test_while_all_are_dead_connections_wait(gateway: Folders) -> None:
    before = {one.pid for one in apis(gateway.serving.pid)}
    for process in apis(gateway.serving.pid):
        process.kill()
    client = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    client.request("GET", "/health")
    assert client.getresponse().status == 200
    client.close()
    all_serve(gateway)
    assert not before & {one.pid for one in apis(gateway.serving.pid)}


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    (taken,) = listening("127.0.0.1", 0)
    made = Folders(tmp_path, {"api_processes": 2})
    made.port = taken.getsockname()[1]
    made.isthmus("init")
    made.serve()
    assert made.serving.wait(30) == 1
    assert f"the API can't listen on 127.0.0.1:{made.port}" in made.log()
    assert "Traceback" not in made.log()
    made.stop()
    taken.close()


class Several(Gateway):
    """With several api processes."""

    def serve(self) -> None:
        (self.data / "isthmus.toml").write_text(f"api_processes = {PROCESSES}\n")
        words = ("serve", "--data", str(self.data), "--port", str(self.port))
        self.gateway = self.start(*ISTHMUS, *words)
        wait_for_port(self.port, within=60)  # as many processes start at once


@pytest.fixture(scope="module")
def tunnelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    folder = tmp_path_factory.mktemp("tunnelled")
    with sshd(folder / "ssh") as server:
        made = Several(folder, server)
        try:
            made.set_up()
            (server.data / "big.bin").write_bytes(os.urandom(1024 * 1024) * (BIG // 2**20))
            until(lambda: len(apis(made.gateway.pid)) == PROCESSES)
            yield made
        finally:
            made.stop()


def test_a_killed_process_takes_no_transfer_of_others_with_it(tunnelled: Several) -> None:
    """It is the one that carries the agent's tunnel: the tunnel comes back over another, and all go on."""
    parent = tunnelled.gateway.pid
    (agent,) = (
        one.laddr.port
        for one in psutil.Process(tunnelled.running_agent.pid).net_connections("tcp")
        if one.raddr and one.raddr.port == tunnelled.port and one.status == psutil.CONN_ESTABLISHED
    )
    doomed = holder(parent, agent)
    expected = hashlib.sha256((tunnelled.server.data / "big.bin").read_bytes()).hexdigest()
    with contextlib.ExitStack() as stack:
        answers = [stack.enter_context(tunnelled.content("big.bin")) for _ in range(2 * PROCESSES)]
        holders = [holder(parent, answer.fp.raw._sock.getsockname()[1]) for answer in answers]
        starts = [answer.read(1_000_000) for answer in answers]
        assert doomed in holders
        assert len(set(holders)) == PROCESSES
        psutil.Process(doomed).kill()
        for held, start, answer in zip(holders, starts, answers, strict=True):
            if held == doomed:
                with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
                    assert len(start + answer.read()) < BIG
            else:
                assert hashlib.sha256(start + answer.read()).hexdigest() == expected
    until(lambda: len(apis(parent)) == PROCESSES)
    assert doomed not in [one.pid for one in apis(parent)]
    assert tunnelled.call("GET", "/accounts/me/storage/folders/root/contents")[0] == 200
