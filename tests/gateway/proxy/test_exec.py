"""`isthmus exec`: the program holds a token of its own, which is dead when the program is."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gateway.proxy.proxied import ENVIRONMENT, ISTHMUS, Account, Proxied
from tests.servers.apache import PASSWORD, Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]

REQUESTS = "import requests, sys; print(requests.get(sys.argv[1]).text, end='')"
HTTPX = "import httpx, sys; print(httpx.get(sys.argv[1]).text, end='')"
URLLIB = "import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1]).read().decode(), end='')"


def words(proxied: Proxied, account: Account, *more: str) -> list[str]:
    return [*ISTHMUS, "exec", "--account", str(account.id), "--data", str(proxied.data), *more]


@pytest.mark.parametrize("program", [REQUESTS, HTTPX, URLLIB])
def test_python_programs_read_without_a_credential(
    proxied: Proxied, account: Account, store: Apache, program: str
) -> None:
    (store.data / "p.txt").write_text("python")
    command = (sys.executable, "-c", program, f"{store.url}p.txt")
    done = proxied.run(*words(proxied, account), "--", *command)
    assert (done.stdout, done.returncode) == ("python", 0), done.stderr


def test_curl_writes(proxied: Proxied, account: Account, store: Apache) -> None:
    done = proxied.run(*words(proxied, account, "--"), "curl", "-sSf", "-T", __file__, f"{store.url}e.py")
    assert done.returncode == 0, done.stderr
    assert (store.data / "e.py").read_text() == Path(__file__).read_text()


def test_read_only_does_not_write(proxied: Proxied, account: Account, store: Apache) -> None:
    command = ("curl", "-sS", "-o", "-", "-T", __file__, f"{store.url}ro.py")
    done = proxied.run(*words(proxied, account, "--read-only", "--"), *command)
    assert "read-only" in done.stdout
    assert not (store.data / "ro.py").exists()


def test_the_exit_status_is_the_programs(proxied: Proxied, account: Account) -> None:
    assert proxied.run(*words(proxied, account, "--"), "sh", "-c", "exit 7").returncode == 7
    assert proxied.run(*words(proxied, account, "--"), "sh", "-c", "kill -KILL $$").returncode == 137
    assert proxied.run(*words(proxied, account, "--"), "no-such-program").returncode == 127


def test_the_environment_has_the_proxy_and_no_secret_but_the_runs_own(
    proxied: Proxied, account: Account
) -> None:
    given = {"ISTHMUS_TOKEN": account.token, "NO_PROXY": "*", "AWS_PROFILE": "mine"}
    done = proxied.run(*words(proxied, account, "--"), "env", "-0", env=given)
    env = dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)
    assert env["HTTPS_PROXY"] == env["http_proxy"]
    assert "BEGIN" not in env["SSL_CERT_FILE"]
    assert not {"ISTHMUS_TOKEN", "NO_PROXY", "AWS_PROFILE"} & set(env)
    assert account.token not in done.stdout
    assert PASSWORD not in done.stdout


def test_a_program_trusts_the_proxy_beside_what_its_machine_trusts(
    proxied: Proxied, account: Account
) -> None:
    script = 'cat "$NODE_EXTRA_CA_CERTS"; echo; cat "$SSL_CERT_FILE"'
    done = proxied.exec(
        account, "sh", "-c", script, env={"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}
    )
    ours = proxied.ca.read_text()
    machines = Path("/etc/ssl/certs/ca-certificates.crt").read_text()
    assert done.stdout == f"{ours}\n{ours}{machines}"


def test_a_token_stolen_from_a_run_is_dead_behind_it(
    proxied: Proxied, account: Account, store: Apache
) -> None:
    (store.data / "s.txt").write_text("s")
    stolen = proxied.run(*words(proxied, account, "--"), "printenv", "HTTPS_PROXY").stdout.strip()
    time.sleep(1.1)  # what the page promises: a second
    done = proxied.run("curl", "-sS", "-x", stolen, "--cacert", str(proxied.ca), f"{store.url}s.txt")
    assert "407" in done.stderr
    assert done.stdout == ""


def test_a_run_that_is_terminated_ends_its_program_and_its_token(proxied: Proxied, account: Account) -> None:
    command = [*words(proxied, account, "--"), "sh", "-c", "echo $$; exec sleep 60"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert running.stdout is not None
    program = int(running.stdout.readline())
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 128 + signal.SIGTERM
    running.stdout.close()
    with pytest.raises(ProcessLookupError):
        os.kill(program, 0)
    listed = proxied.isthmus("proxy", "token", "list", "--account", str(account.id))["tokens"]
    assert "exec" not in [one["name"] for one in listed]


def test_proxy_ca_prints_the_certificate(proxied: Proxied) -> None:
    shown = proxied.isthmus("proxy", "ca")
    assert shown["certificate"] == proxied.ca.read_text()
    key = proxied.data / "keys" / "proxy-ca.key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    checked = proxied.run("openssl", "x509", "-in", shown["file"], "-noout", "-text").stdout
    assert "CA:TRUE, pathlen:0" in checked
