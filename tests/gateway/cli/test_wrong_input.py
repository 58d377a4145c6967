"""What a user gets wrong is said in one line with what to do, and is no traceback."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.cli.proxy_metrics import Sample, Sort, fitting
from gateway.proxy.counting.metrics import Counts
from tests.gateway.cli.commands import Commands
from tests.servers.sshd import free_port, wait_for_port

ISTHMUS = (sys.executable, "-P", "-c", "from gateway.cli.entry import main; main()")


class Gateway(Commands):
    """What a command is refused with, too."""

    def refused(self, *words: str) -> str:
        status, _, err = self.run(*words)
        assert status == 1, err
        assert err.startswith("isthmus: ")
        return err

    def add(self, service: str, *settings: str) -> str:
        words = [word for one in settings for word in ("--set", one)]
        return str(self.data_of("account", "add", service, "--app", self.app, *words)["id"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return Gateway(tmp_path_factory.mktemp("gateway") / "data")


@pytest.fixture(scope="module")
def local(gateway: Gateway) -> str:
    return gateway.add("local", f"root={gateway.data}")


def test_an_id_that_was_lost_is_found_again(gateway: Gateway, local: str) -> None:
    assert json.loads(gateway.told("app", "list", "--json")) == {
        "applications": [{"id": gateway.app, "name": "demo", "developer": "me@example.com"}]
    }
    [account] = json.loads(gateway.told("account", "list", "--app", gateway.app, "--json"))["accounts"]
    assert (str(account["id"]), account["service"], account["network"]) == (local, "local", None)
    assert json.loads(gateway.told("account", "list", "--app", "other", "--json")) == {"accounts": []}


def test_an_id_that_is_wrong_names_the_list(gateway: Gateway) -> None:
    assert "'isthmus app list'" in gateway.refused(
        "account", "add", "local", "--app", "no", "--set", "root=/"
    )
    assert "'isthmus account list'" in gateway.refused("proxy", "token", "list", "--account", "99")
    assert "'isthmus account list'" in gateway.refused("proxy", "token", "create", "--account", "99")


def test_an_account_that_programs_cannot_use_gets_no_token(gateway: Gateway, local: str) -> None:
    said = gateway.refused("proxy", "token", "create", "--account", local)
    assert "the local connector" in said
    assert "s3, s3_compatible, webdav" in said
    assert gateway.told("proxy", "token", "list", "--account", local).strip() == "no tokens"


def test_a_setting_of_an_account_that_is_none(gateway: Gateway) -> None:
    said = gateway.refused(
        "account", "add", "local", "--app", gateway.app, "--set", "root=/", "--set", "rot=/"
    )
    assert "rot: is no setting of this connector. It takes: root" in said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("prot = 1", "setting prot: there is no such setting"),
        ('port = "ninety-one"', "setting port: Input should be a valid integer"),
        ("port = ", "isthmus.toml is not TOML"),
    ],
)
def test_a_setting_of_the_gateway_that_is_wrong(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / "isthmus.toml").write_text(written)
    done = subprocess.run(
        [*ISTHMUS, "config", "show", "--data", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "ninety-one" not in done.stderr, "a value may be secret"


def test_an_invitation_says_where_the_agent_will_look(gateway: Gateway) -> None:
    gateway.told("network", "create", "office")
    status, out, err = gateway.run("network", "invite", "office")
    assert (status, "gateway: http://127.0.0.1:8080" in out) == (0, True)
    assert "--url" in err, "another machine reaches no 127.0.0.1"
    status, out, err = gateway.run("network", "invite", "office", "--url", "https://gateway.example")
    assert (status, "gateway: https://gateway.example" in out, err) == (0, True, "")
    assert "no URL" in gateway.refused("network", "invite", "office", "--url", "gateway.example")


def test_the_authority_is_told_with_lines_to_copy(gateway: Gateway) -> None:
    _, _, err = gateway.run("proxy", "ca")
    file = gateway.data / "keys" / "proxy-ca.pem"
    assert f"SSL_CERT_FILE={file} " in err
    assert f"GIT_SSL_CAINFO={file};" in err


def test_constraints_to_no_host_say_what_to_do(gateway: Gateway) -> None:
    fresh = Gateway(gateway.data.parent / "fresh")
    assert "--host" in fresh.refused("proxy", "ca", "rotate", "--for-accounts")


def test_two_forms_of_metrics_exclude_each_other(gateway: Gateway) -> None:
    assert "exclude each other" in gateway.refused("proxy", "metrics", "--json", "--prometheus")


def test_values_for_people_are_no_python(gateway: Gateway) -> None:
    account = gateway.add("webdav", "url=https://files.invalid/", "username=a", "password=b")
    made = gateway.told("proxy", "token", "create", "--account", account)
    assert "aws: access_key_id ISTHMUS" in made
    assert "expires: -" in made
    assert "{" not in made


class NoGateway(BaseHTTPRequestHandler):
    """A server of something else."""

    def do_POST(self) -> None:
        self.send_error(418)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), NoGateway) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def run_through(url: str) -> str:
    words = ["exec", "--account", "7", "--gateway", url, "--", "true"]
    done = CliRunner().invoke(app, words, env={"ISTHMUS_TOKEN": "not-shown"})
    assert done.exit_code == 1
    assert "not-shown" not in done.stderr
    return done.stderr.strip()


def test_a_gateway_that_is_none(elsewhere: str) -> None:
    assert run_through(elsewhere) == (
        f"isthmus: {elsewhere} answered 418, and not as a gateway's API: is it the right URL and port?"
    )


def test_a_gateway_that_is_not_there(elsewhere: str) -> None:
    closed = "http://127.0.0.1:1"
    assert run_through(closed) == f"isthmus: the gateway {closed} can't be reached: Connection refused"


@pytest.mark.parametrize(("width", "last"), [(40, "req/s"), (200, "p99")])
def test_top_leaves_out_columns_before_it_cuts_any(width: int, last: str) -> None:
    counts = Counts({"2xx": 3}, {}, up=10, down=20)
    sample = Sample(1.0, 1, 2, {(7, "files.corp.example:443"): counts})
    console = Console(width=width, record=True, file=None)
    with console.capture() as printed:
        console.print(fitting(console, sample, sample, None, Sort.REQUESTS))
    head = printed.get().splitlines()[1]
    assert head.split()[:2] == ["account", "host"]
    assert head.split()[-1] == last
    assert "files.corp.example:443" in printed.get()


def test_modules_of_the_folder_it_is_started_in_are_not_loaded(tmp_path: Path, gateway: Gateway) -> None:
    """The worker reads the private key: a `store.py` that lies about must not become part of it."""
    (tmp_path / "store.py").write_text("raise SystemExit('loaded from the working folder')")
    port = free_port()
    with running([*ISTHMUS, "serve", "--data", str(gateway.data), "--port", str(port)], tmp_path) as serving:
        wait_for_port(port, within=60)
        serving.terminate()
        said = serving.communicate(timeout=60)[0]
    assert "loaded from" not in said
    assert serving.returncode == 0


@contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own, all of which is gone afterwards."""
    with subprocess.Popen(
        command,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as started:
        try:
            yield started
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
