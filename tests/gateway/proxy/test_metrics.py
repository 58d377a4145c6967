"""What the proxy counts is what programs did, by account and host; and nobody's token stands in it."""

import os
import pty
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.proxy.counting import reports
from gateway.proxy.counting.exposition import exposed
from gateway.proxy.counting.metrics import BOUNDS, Counts, Histogram, Metrics, reason, summed
from tests.gateway.proxy.proxied import ENVIRONMENT, ISTHMUS, Account, Proxied
from tests.gateway.proxy.test_attacks import basic
from tests.servers.apache import PASSWORD, USER, Apache


@pytest.fixture(scope="module")
def fresh(proxied: Proxied, plain_store: Apache) -> Account:
    """An account that nothing has been counted for."""
    return proxied.add("webdav", url=plain_store.url, username=USER, password=PASSWORD)


def counted(proxied: Proxied, account: Account | None, host: str) -> dict[str, Any]:
    """The sum of what all processes tell, as `isthmus proxy metrics` has it."""
    told = reports.gathered(proxied.data / "run")
    total = summed(report["rows"] for report in told)
    return total[account.id if account else None, host].to_json()


class TestCounters:
    def test_a_quantile_lies_in_its_bucket(self) -> None:
        times = Histogram()
        assert times.quantile(0.5) is None
        for _ in range(99):
            times.add(0.004)
        times.add(100.0)
        assert 0.0025 < (times.quantile(0.5) or 0) <= 0.005
        assert times.quantile(0.999) == BOUNDS[-1]

    def test_a_bound_is_in_its_own_bucket(self) -> None:
        times = Histogram()
        times.add(BOUNDS[0])
        assert times.buckets[0] == 1

    def test_keys_are_bounded_for_an_account_and_for_all(self) -> None:
        metrics = Metrics()
        for host in range(1000):
            metrics.of(1, f"h{host}:443").refuse("not_allowed")
        assert len(metrics.to_json()) == 33
        for account in range(10_000):
            metrics.of(account, "h:443").refuse("not_allowed")
        rows = metrics.to_json()
        assert len(rows) <= 4097
        assert sum(row["refused"]["not_allowed"] for row in rows) == 11_000

    def test_a_name_that_is_none_is_not_shown(self) -> None:
        metrics = Metrics()
        metrics.of(1, "\x1b[2Jevil:443").up = 1
        assert [row["host"] for row in metrics.to_json()] == ["other"]

    def test_processes_are_summed(self) -> None:
        one, other = Metrics(), Metrics()
        one.of(7, "a:443").answer(200, 0.01, 0.02)
        other.of(7, "a:443").answer(503, 0.2, 0.3)
        other.of(8, "b:443").up = 5
        total = summed([one.to_json(), other.to_json()])
        assert total[7, "a:443"].answered == {"2xx": 1, "5xx": 1}
        assert (total[7, "a:443"].requests, total[7, "a:443"].errors) == (2, 1)
        assert total[8, "b:443"].up == 5

    @pytest.mark.parametrize(
        ("status", "gave", "kind"),
        [(407, False, "asked"), (407, True, "token"), (429, True, "throttled"), (418, True, "failed")],
    )
    def test_reasons(self, status: int, gave: bool, kind: str) -> None:
        assert reason(status, gave_token=gave) == kind


class TestPrometheus:
    """The text format, held against its page: names, escapes, one HELP and TYPE before a name's samples."""

    SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)')

    def page(self) -> str:
        counts = Counts({"2xx": 3}, {"token": 1}, up=10, down=20)
        counts.first_byte.add(0.003)
        counts.first_byte.add(99)
        row = {"account": 7, "host": 'a"\\\n:443', **counts.to_json()}
        return exposed(
            [{"process": 1, "clients": 2, "rows": [row]}, {"process": 2, "clients": 0, "rows": []}]
        )

    def test_every_line_is_one_of_the_format(self) -> None:
        page = self.page()
        assert page.endswith("\n")
        current = ""
        seen: set[str] = set()
        for line in page.splitlines():
            if line.startswith("# HELP "):
                current = line.split()[2]
                assert current not in seen, "one group a name"
                seen.add(current)
            elif line.startswith("# TYPE "):
                assert line.split()[2] == current
                assert line.split()[3] in ("counter", "gauge", "histogram")
            else:
                sample = self.SAMPLE.fullmatch(line)
                assert sample, line
                assert re.sub("_(bucket|sum|count)$", "", sample[1]) == current or sample[1] == current
                float(sample[3])

    def test_a_histograms_buckets_add_up_to_its_count(self) -> None:
        page = self.page()
        buckets = [int(n) for n in re.findall(r'first_byte_seconds_bucket\{[^}]*le="[^"]+"\} (\d+)', page)]
        assert buckets == sorted(buckets)
        assert buckets[-1] == 2 == int(re.findall(r"first_byte_seconds_count\{[^}]*\} (\d+)", page)[0])
        assert 'le="+Inf"' in page


@pytest.mark.server
@pytest.mark.journey
class TestServed:
    def test_counts_are_what_curl_did(
        self, proxied: Proxied, fresh: Account, plain_store: Apache, tmp_path: Path
    ) -> None:
        place = f"localhost:{plain_store.port}"
        (plain_store.data / "m.bin").write_bytes(os.urandom(700_001))
        (tmp_path / "up").write_bytes(os.urandom(300_007))
        for _ in range(3):
            assert proxied.curl(fresh, "-o", "/dev/null", f"{plain_store.url}m.bin")[0] == 200
        status, said = proxied.curl(fresh, "-T", str(tmp_path / "up"), f"{plain_store.url}m.up")
        assert status == 201
        chunked = ("-H", "Transfer-Encoding: chunked")
        assert proxied.curl(fresh, *chunked, "-T", str(tmp_path / "up"), f"{plain_store.url}m.up")[0] == 204
        status, body = proxied.curl(fresh, f"{plain_store.url}nothing")
        assert status == 404
        token = proxied.isthmus("proxy", "token", "create", "--account", str(fresh.id), "--read-only")
        assert proxied.curl(fresh, "-X", "DELETE", f"{plain_store.url}m.up", token=token["token"])[0] == 403
        rows = proxied.isthmus("proxy", "metrics")["rows"]
        (row,) = [one for one in rows if one["account"] == fresh.id]
        assert row == {"account": fresh.id, "host": place, **counted(proxied, fresh, place)}
        assert row["answered"] == {"2xx": 5, "4xx": 1}
        assert row["refused"] == {"not_allowed": 1}
        assert (row["requests"], row["broken"], row["in_flight"], row["passed"]) == (7, 0, 0, 0)
        assert (row["up"], row["down"]) == (2 * 300_007, 3 * 700_001 + len(said) + len(body))
        assert sum(row["first_byte"]["buckets"]) == 6 == sum(row["whole"]["buckets"])
        assert row["whole"]["sum"] >= row["first_byte"]["sum"] > 0

    def test_wrong_tokens_and_those_who_only_ask(
        self, proxied: Proxied, account: Account, store: Apache
    ) -> None:
        proxied.curl(account, store.url, token="wrong")
        proxied.run("curl", "-sS", "-x", f"http://127.0.0.1:{proxied.proxy_port}", store.url)
        before = counted(proxied, None, "other")["refused"]
        proxied.curl(account, store.url, token="wrong")
        proxied.run("curl", "-sS", "-x", f"http://127.0.0.1:{proxied.proxy_port}", store.url)
        after = counted(proxied, None, "other")["refused"]
        wrong = [sum(kinds.get(kind, 0) for kind in ("token", "throttled")) for kinds in (before, after)]
        assert wrong[1] == wrong[0] + 1
        assert after["asked"] == before["asked"] + 1

    def test_what_is_under_way_is_seen(self, proxied: Proxied, fresh: Account, plain_store: Apache) -> None:
        place = f"localhost:{plain_store.port}"
        with (plain_store.data / "large").open("wb") as file:
            file.truncate(256 * 1024 * 1024)
        head = f"GET {plain_store.url}large HTTP/1.1\r\nHost: {place}\r\n"
        with socket.create_connection(("127.0.0.1", proxied.proxy_port)) as sock:
            sock.sendall(f"{head}Proxy-Authorization: Basic {basic(fresh)}\r\n\r\n".encode())
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
            row = counted(proxied, fresh, place)
            assert (row["in_flight"], row["connections"]) == (1, 1)
        deadline = time.monotonic() + 10
        while (row := counted(proxied, fresh, place))["in_flight"] or row["connections"]:
            assert time.monotonic() < deadline
        assert row["broken"] == 1

    def test_top_once_shows_account_and_host(
        self, proxied: Proxied, fresh: Account, plain_store: Apache
    ) -> None:
        proxied.curl(fresh, f"{plain_store.url}nothing?token=abc123")
        command = (*ISTHMUS, "proxy", "top", "--once", "--interval", "0.1", "--data", str(proxied.data))
        shown = proxied.run(*command, "--sort", "p99", env={"COLUMNS": "120"})
        assert shown.returncode == 0, shown.stderr
        lines = [line.split()[:2] for line in shown.stdout.splitlines()]
        assert [str(fresh.id), f"localhost:{plain_store.port}"] in lines
        assert fresh.token not in shown.stdout
        assert "abc123" not in shown.stdout

    def test_top_leaves_the_terminal_clean(self, proxied: Proxied) -> None:
        ours, theirs = pty.openpty()
        command = [*ISTHMUS, "proxy", "top", "--interval", "0.2", "--data", str(proxied.data)]
        env = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as running:
            os.close(theirs)
            try:
                seen = until(ours, "1049h.*account")
                running.send_signal(signal.SIGINT)
                seen += until(ours, None)
                assert running.wait(20) == 0
            finally:
                running.kill()
                os.close(ours)
        assert "Traceback" not in seen
        assert seen.rindex("\x1b[?1049l") > seen.rindex("\x1b[?1049h")  # back from the other screen
        assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")  # the cursor shows again

    def test_prometheus(self, proxied: Proxied, fresh: Account, plain_store: Apache) -> None:
        proxied.curl(fresh, f"{plain_store.url}nothing")
        command = (*ISTHMUS, "proxy", "metrics", "--prometheus", "--data", str(proxied.data))
        shown = proxied.run(*command).stdout
        pair = f'process="1",account="{fresh.id}",host="localhost:{plain_store.port}"'
        assert re.search(rf'isthmus_proxy_answers_total\{{{pair},status="4xx"\}} [1-9]', shown), shown

    def test_the_socket_is_for_owner_and_group(self, proxied: Proxied) -> None:
        assert (proxied.data / "run" / "proxy-1.sock").stat().st_mode & 0o777 == 0o660


def until(terminal: int, pattern: str | None) -> str:
    """What the terminal shows until it matches, or (None) until its other side is closed."""
    seen, deadline = "", time.monotonic() + 30
    while pattern is None or not re.search(pattern, seen, re.DOTALL):
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # EIO: closed
                piece = b""
            if not piece:
                break
            seen += piece.decode("utf-8", "replace")
    return seen
