"""Several proxy processes on one port: all serve, one that dies takes nothing of the others with it."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.listening import listening, port_of
from gateway.proxy.counting import reports
from tests.gateway.proxy.proxied import ISTHMUS, Account, Proxied
from tests.gateway.proxy.test_access_log import lines
from tests.gateway.proxy.test_metrics import counted
from tests.servers.apache import PASSWORD, USER, Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    settings = {"ISTHMUS_PROXY_PROCESSES": "2", "ISTHMUS_PROXY_ACCESS_LOG": "false"}
    made = Proxied(tmp_path_factory.mktemp("several"), settings=settings)
    made.set_up()
    with made.serving():
        until(lambda: len(processes(made)) == 2)
        yield made


@pytest.fixture(scope="module")
def mine(several: Proxied, plain_store: Apache) -> Account:
    return several.add("webdav", url=plain_store.url, username=USER, password=PASSWORD)


def until(condition: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def processes(proxied: Proxied) -> dict[int, int]:
    """The proxy processes that run: number and process id."""
    found = {}
    for folder in proxied.processes("proxy"):
        words = (folder / "cmdline").read_text().split("\0")
        if "--number" in words:
            found[int(words[words.index("--number") + 1])] = int(folder.name)
    return found


def served(proxied: Proxied, account: Account) -> dict[int, int]:
    """Answers by process, as each tells it."""
    return {
        report["process"]: row["answered"].get("2xx", 0)
        for report in reports.gathered(proxied.data / "run")
        for row in report["rows"]
        if row["account"] == account.id and row["answered"]
    }


def requests(proxied: Proxied, account: Account, url: str, number: int) -> list[str]:
    """Statuses of so many requests at once, each on a connection of its own."""
    one = ["--next", *("-sS", "-o", "/dev/null", "-w", "%{http_code}\n", "-x", proxied.url(account), url)]
    parallel = ["--parallel", "--parallel-immediate", "--parallel-max", "50"]
    done = proxied.run("curl", *parallel, *(one * number)[1:])
    return done.stdout.split()


def test_all_processes_serve_and_their_counts_add_up(
    several: Proxied, mine: Account, plain_store: Apache
) -> None:
    (plain_store.data / "p.txt").write_text("p")
    sent = 0
    for _ in range(20):
        assert requests(several, mine, f"{plain_store.url}p.txt", 20) == ["200"] * 20
        sent += 20
        if len(by_process := served(several, mine)) == 2:
            break
    assert sorted(by_process) == [1, 2]
    assert sum(by_process.values()) == sent
    rows = several.isthmus("proxy", "metrics")["rows"]
    (row,) = [one for one in rows if one["account"] == mine.id]
    assert row["answered"] == {"2xx": sent}


def test_the_access_log_is_off_by_setting(several: Proxied, mine: Account, plain_store: Apache) -> None:
    assert several.curl(mine, f"{plain_store.url}nothing")[0] == 404
    assert lines(several) == []


def test_the_port_is_said_and_is_one(several: Proxied) -> None:
    assert (several.data / "run" / "proxy.port").read_text() == str(several.proxy_port)


def test_wrong_tokens_are_throttled_over_all(several: Proxied, mine: Account, plain_store: Apache) -> None:
    """Each process has its half of the twenty; whichever are asked, no more than twenty are tried."""
    wrong = Account(mine.id, "wrong")
    statuses = [status for _ in range(4) for status in requests(several, wrong, plain_store.url, 20)]
    assert set(statuses) == {"407", "429"}
    assert 10 <= statuses.count("407") <= 20
    assert several.curl(mine, f"{plain_store.url}p.txt")[0] == 200


def test_a_killed_process_takes_no_new_connection_with_it(
    several: Proxied, mine: Account, plain_store: Apache
) -> None:
    (plain_store.data / "p.txt").write_text("p")
    before = processes(several)
    assert sorted(before) == [1, 2]
    os.kill(before[1], signal.SIGKILL)
    until(lambda: before[1] not in processes(several).values())
    while len(processes(several)) < 2:  # as long as it is gone, and while it starts
        assert several.curl(mine, f"{plain_store.url}p.txt") == (200, "p")
        assert (several.data / "run" / "proxy.port").read_text() == str(several.proxy_port)
    after = processes(several)
    assert after[1] != before[1]
    assert after[2] == before[2]
    until(lambda: len(reports.gathered(several.data / "run")) == 2)
    until(lambda: requests(several, mine, f"{plain_store.url}p.txt", 20) and len(served(several, mine)) == 2)


def test_counts_outlive_their_process(several: Proxied, mine: Account, plain_store: Apache) -> None:
    (plain_store.data / "p.txt").write_text("p")
    until(lambda: requests(several, mine, f"{plain_store.url}p.txt", 20) and len(served(several, mine)) == 2)

    def counts() -> dict[str, Any]:
        row = counted(several, mine, f"localhost:{plain_store.port}")
        return {name: row[name] for name in ("answered", "down", "first_byte")}

    def successor_tells() -> bool:
        assert counts() == shown, "nothing is asked for meanwhile"
        return started(several)[1] != before[1]

    before, shown = started(several), counts()
    os.kill(processes(several)[1], signal.SIGKILL)
    until(successor_tells)
    assert started(several)[2] == before[2]
    assert requests(several, mine, f"{plain_store.url}p.txt", 20) == ["200"] * 20
    assert counts()["answered"] == {**shown["answered"], "2xx": shown["answered"]["2xx"] + 20}


def started(proxied: Proxied) -> dict[int, float]:
    """When each process was, as it tells."""
    return {report["process"]: report["started"] for report in reports.gathered(proxied.data / "run")}


def test_while_all_are_dead_connections_wait(several: Proxied, mine: Account, plain_store: Apache) -> None:
    for process in processes(several).values():
        os.kill(process, signal.SIGKILL)
    (plain_store.data / "w.txt").write_text("waited")
    assert several.curl(mine, "--max-time", "55", f"{plain_store.url}w.txt") == (200, "waited")


def test_port_0_is_one_port_for_all(tmp_path: Path) -> None:
    with_two = listening("localhost", 0)
    assert len({sock.getsockname()[1] for sock in with_two}) == 1
    with pytest.raises(OSError, match="in use"):
        listening("localhost", port_of(with_two))
    for sock in with_two:
        sock.close()


def test_a_taken_port_is_said_before_anything_starts(several: Proxied, tmp_path: Path) -> None:
    made = Proxied(tmp_path)
    made.isthmus("init")
    words = ("serve", "--data", str(made.data), "--port", "0", "--proxy-port", str(several.proxy_port))
    done = made.run(*ISTHMUS, *words)
    assert done.returncode == 1
    assert "the native proxy can't listen on 127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_process_may_have_as_many_connections_as_the_machine_lets_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    made = Proxied(tmp_path_factory.mktemp("limited"))
    made.set_up()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))  # as services begin with few
    try:
        with made.serving():
            found = made.processes()
            limits = [(process / "limits").read_text().partition("Max open files")[2] for process in found]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(found) == 3  # worker, api, proxy
    assert {limit.split()[0] for limit in limits} == {str(hard)}
