"""From a store behind a firewall to one that is not, and back: through a real agent, at constant memory."""

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.journeys.product import Gateway
from tests.servers.sshd import sshd

pytestmark = [pytest.mark.journey, pytest.mark.server, pytest.mark.slow]
MIB = 1024 * 1024
SIZE = 300 * MIB


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("between-networks")
    with sshd(folder / "ssh") as server:
        made = Gateway(folder, server)
        try:
            made.set_up()
            yield made
        finally:
            made.stop()


def resident(gateway: Gateway) -> int:
    """Bytes of memory that the worker has now."""
    children = Path(f"/proc/{gateway.gateway.pid}/task/{gateway.gateway.pid}/children").read_text().split()
    worker = next(pid for pid in children if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * 4096


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_a_file_moves_out_of_a_private_network_and_back(gateway: Gateway) -> None:
    outside = gateway.folder / "outside"
    outside.mkdir()
    words = ("account", "add", "local", "--app", gateway.app["id"], "--set", f"root={outside}")
    local = gateway.isthmus(*words)
    with (gateway.server.data / "large.bin").open("wb") as file:
        for number in range(SIZE // MIB):
            file.write(hashlib.sha256(bytes([number % 251])).digest() * (MIB // 32))
    digest = sha256(gateway.server.data / "large.bin")

    before, peak, done = resident(gateway), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, resident(gateway))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        there = moved(gateway, gateway.account, local, "large.bin")
        assert there["size"] == SIZE
        assert sha256(outside / "large.bin") == digest
        assert not (gateway.server.data / "large.bin").exists()
        moved(gateway, local, gateway.account, "large.bin")
    finally:
        done.set()
        watching.join()
    assert sha256(gateway.server.data / "large.bin") == digest
    assert list(outside.iterdir()) == []
    assert 0 < peak < before + 100 * MIB


def moved(gateway: Gateway, source: Any, target: Any, name: str) -> Any:
    url = f"http://127.0.0.1:{gateway.port}/v1/accounts/{source['id']}"
    both = {"Authorization": f"Bearer {source['access_token']},{target['access_token']}"}
    asked: Any = {"raw_id": name, "type": "file"}
    file = requests.post(f"{url}/encode_raw_id", json=asked, headers=both, timeout=10).json()["id"]
    body = json.dumps({"account": target["id"], "parent_id": "root"})
    answer = requests.patch(f"{url}/storage/files/{file}", data=body, headers=both, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()
