"""What goes wrong for real: processes killed, connections cut, clients that vanish, stores that refuse."""

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.journeys.product import Gateway
from tests.servers.sshd import free_port, sshd

pytestmark = [pytest.mark.journey, pytest.mark.server]
BIG = 128 * 1024 * 1024


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("faults")
    with sshd(folder / "ssh") as server:
        made = Gateway(folder, server)
        made.allowed += [f"127.0.0.1:{free_port()}", "no-such-host.invalid:22"]
        try:
            made.set_up()
            (server.data / "big.bin").write_bytes(os.urandom(1024 * 1024) * (BIG // 2**20))
            yield made
        finally:
            made.stop()


def big(gateway: Gateway) -> Any:
    """The big file's body, opened."""
    return gateway.content("big.bin")


def rest(answer: Any) -> int:
    """How many bytes still come, until the end or the break."""
    size = 0
    with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
        while piece := answer.read(1_000_000):
            size += len(piece)
    return size


def expected(gateway: Gateway) -> bytes:
    return hashlib.sha256((gateway.server.data / "big.bin").read_bytes()).digest()


def works(gateway: Gateway) -> bool:
    status, _ = gateway.call("GET", "/accounts/me/storage/folders/root/contents")
    return status == 200


def workers(gateway: Gateway) -> list[psutil.Process]:
    """Those that serve the socket between api and worker."""
    children = psutil.Process(gateway.gateway.pid).children(recursive=True)
    return [
        child
        for child in children
        if any(str(one.laddr).endswith(".sock") for one in child.net_connections("unix"))
    ]


def test_a_killed_worker_breaks_its_transfers_and_is_started_again(gateway: Gateway) -> None:
    with big(gateway) as answer:
        answer.read(1_000_000)
        (worker,) = workers(gateway)
        worker.kill()
        assert rest(answer) < BIG - 1_000_000
    gateway.until(lambda: works(gateway), within=30)


def test_a_cut_connection_of_the_tunnel_costs_no_byte(gateway: Gateway) -> None:
    gateway.until(gateway.connected)
    (tunnel,) = (
        one.laddr.port
        for one in psutil.Process(gateway.running_agent.pid).net_connections("tcp")
        if one.raddr and one.raddr.port == gateway.port and one.status == psutil.CONN_ESTABLISHED
    )
    content = hashlib.sha256()
    with big(gateway) as answer:
        content.update(answer.read(1_000_000))
        killed = subprocess.run(
            ["ss", "-K", "-H", "-t", "-n", "sport", "=", f":{tunnel}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert str(tunnel) in killed.stdout
        while piece := answer.read(1_000_000):
            content.update(piece)
    assert content.digest() == expected(gateway)


def test_a_gateway_killed_under_a_transfer_comes_back_with_its_agent(gateway: Gateway) -> None:
    with big(gateway) as answer:
        answer.read(1_000_000)
        for process in psutil.Process(gateway.gateway.pid).children(recursive=True):
            process.kill()
        gateway.gateway.kill()
        gateway.gateway.wait()
        assert rest(answer) < BIG - 1_000_000
    gateway.serve()
    gateway.until(gateway.connected, within=60)
    assert works(gateway)


def test_a_killed_supervisor_takes_its_processes_with_it(gateway: Gateway) -> None:
    children = psutil.Process(gateway.gateway.pid).children(recursive=True)
    assert len(children) >= 2
    gateway.gateway.kill()
    gateway.gateway.wait()
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert not alive, gone
    gateway.serve()
    gateway.until(gateway.connected, within=60)
    assert works(gateway)


def test_a_gateway_restarted_under_an_idle_agent_gets_it_back(gateway: Gateway) -> None:
    gateway.gateway.send_signal(signal.SIGTERM)
    assert gateway.gateway.wait(30) == 0
    gateway.serve()
    gateway.until(gateway.connected, within=60)
    assert works(gateway)


def test_a_client_that_vanishes_in_mid_upload_leaves_no_name(gateway: Gateway) -> None:
    before = {path.name for path in gateway.server.data.iterdir()}
    head = (
        f"POST /v1/accounts/me/storage/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BIG}\r\n"
        f"Authorization: Bearer {gateway.account['access_token']}\r\n"
        "Content-Type: application/octet-stream\r\n"
        'X-Kloudless-Metadata: {"name": "half.bin", "parent_id": "root"}\r\n\r\n'
    )

    def names() -> set[str]:
        return {path.name for path in gateway.server.data.iterdir()}

    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(head.encode() + bytes(20_000_000))
        gateway.until(lambda: names() > before)  # it is on its way
    gateway.until(lambda: names() == before, within=10)


def test_a_slow_reader_holds_up_nobody_and_fills_no_memory(gateway: Gateway) -> None:
    processes = [
        psutil.Process(gateway.running_agent.pid),
        *psutil.Process(gateway.gateway.pid).children(recursive=True),
    ]

    def resident() -> int:
        return sum(process.memory_full_info().pss for process in processes)

    with big(gateway) as warm:
        warm.read()
    before = resident()
    with big(gateway) as answer:
        answer.read(1_000_000)
        time.sleep(3)
        assert works(gateway)
        assert resident() - before < 64 * 1024 * 1024
        with big(gateway) as other:
            assert hashlib.sha256(other.read()).digest() == expected(gateway)


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"private_key": "@OTHER"}, 403, "does not accept"),
        ({"host_key": "@HOST"}, 502, "host key"),
        ({"port": "REFUSED"}, 502, "refused"),
        ({"host": "no-such-host.invalid", "port": "22"}, 502, "name"),
        ({"port": "1"}, 502, "allow-list"),
    ],
    ids=["credential", "host key", "refused port", "unknown name", "allow-list"],
)
def test_what_a_store_or_an_agent_refuses_is_said_clearly(
    gateway: Gateway, tmp_path: Path, changed: dict[str, str], status: int, says: str
) -> None:
    for name in ("OTHER", "HOST"):
        key = tmp_path / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    files = {"@OTHER": f"@{tmp_path / 'OTHER'}", "@HOST": f"@{tmp_path / 'HOST.pub'}"}
    refused = gateway.allowed[1].split(":")[1]
    settings = {
        name: files.get(value, refused if value == "REFUSED" else value) for name, value in changed.items()
    }
    account = gateway.add_account(**settings)
    found, error = gateway.call(
        "GET", "/accounts/me/storage/folders/root/contents", token=account["access_token"]
    )
    assert (found, error["status_code"]) == (status, status), error
    assert says in error["message"]
    assert set(error) >= {"status_code", "error_code", "message", "id"}
    for inner in ("127.0.0.1", "no-such-host", str(gateway.server.port), "BEGIN"):
        assert inner not in json.dumps(error)


def test_a_full_disk_is_said_and_leaves_no_name(gateway: Gateway) -> None:
    small = gateway.server.data / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=True)
    try:
        account = gateway.add_account(root=str(small))
        status, error = gateway.upload("large.bin", bytes(16 * 1024 * 1024), account["access_token"])
        assert (status, error["status_code"]) == (507, 507), error
        assert "no room" in error["message"]
        assert list(small.iterdir()) == []
        assert gateway.upload("fits.bin", b"x" * 1000, account["access_token"])[0] == 201
    finally:
        subprocess.run(["umount", str(small)], check=True)
        small.rmdir()


def test_without_an_agent_the_network_is_said_to_be_away(gateway: Gateway) -> None:
    gateway.running_agent.send_signal(signal.SIGTERM)
    gateway.running_agent.wait(90)
    gateway.until(lambda: not gateway.connected())
    status, error = gateway.call("GET", "/accounts/me/storage/folders/root/contents")
    assert (status, error["error_code"]) == (503, "network_unavailable")


def test_nothing_of_all_this_is_kept(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Database, logs and every other file of the gateway and the agent: no secret, no content."""
    gateway.run_agent()
    gateway.until(gateway.connected, within=60)
    content = os.urandom(20) * 50_000
    assert gateway.upload("traceless.bin", content)[0] == 201
    with gateway.content("traceless.bin") as answer:
        assert answer.read() == content
    gateway.stop()
    key = gateway.server.private_key.split("\n")[2]
    token = gateway.account["access_token"]
    secret = {"key": key, "token": token, "API key": gateway.app["api_key"], "invitation": gateway.invitation}
    sought = {name: value.encode() for name, value in secret.items()} | {"content": content[:40]}
    files = [*gateway.data.rglob("*"), *gateway.folder.glob("log*"), *gateway.folder.glob("agent*")]
    searched = [file for file in files if file.is_file()]
    assert {file.suffix for file in searched} >= {".db", ".pem", ".toml", ""}
    for file in searched:
        held = file.read_bytes()
        assert not [name for name, value in sought.items() if value in held], file.name
