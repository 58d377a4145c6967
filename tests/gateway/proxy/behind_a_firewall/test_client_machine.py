"""`isthmus exec` on a machine of its own that has the light install and reaches the gateway alone."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.proxy.behind_a_firewall.conftest import MARKS, Office
from tests.gateway.proxy.proxied import ENVIRONMENT
from tests.installs import built, fresh
from tests.servers.private_network import PrivateNetwork, private_network

pytestmark = MARKS

SEES = "import importlib.util as u; print([n for n in ('sqlalchemy', 'pydantic_settings') if u.find_spec(n)])"


@pytest.fixture(scope="module")
def isthmus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment that has what the wheel asks for without an extra."""
    folder = tmp_path_factory.mktemp("client")
    made = fresh(folder / "venv", [built(folder)], ["isthmus"])
    seen = made.run("python", "-c", SEES, cwd=folder)
    assert seen.stdout.strip() == "[]", "the light install must not have the gateway's libraries"
    return folder / "venv/bin/isthmus"


@pytest.fixture(scope="module")
def machine() -> Iterator[PrivateNetwork]:
    with private_network() as network:
        yield network


def ran(
    office: Office, machine: PrivateNetwork, *command: str | Path, **more: str
) -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [*machine.inside, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd="/",
        env={**env, "ISTHMUS_TOKEN": office.files.token, **more},
    )


def test_a_program_reads_what_neither_it_nor_its_machine_reaches(
    office: Office, machine: PrivateNetwork, isthmus: Path
) -> None:
    (office.webdav.data / "light.txt").write_text("light")
    url = f"{office.webdav.url}light.txt"
    assert ran(office, machine, "curl", "-sS", "--max-time", "2", url).returncode != 0
    gateway = f"http://{machine.outside}:{office.proxied.port}"
    words = ("exec", "--gateway", gateway, "--account", str(office.files.id), "--read-only", "--")
    done = ran(office, machine, isthmus, *words, "curl", "-sS", url)
    assert (done.stdout, done.returncode) == ("light", 0), done.stderr
    listed = office.proxied.isthmus("proxy", "token", "list", "--account", str(office.files.id))["tokens"]
    assert "exec" not in [one["name"] for one in listed]


def test_a_program_of_nodes_does_too(office: Office, machine: PrivateNetwork, isthmus: Path) -> None:
    """The module that leads it comes with the light install."""
    (office.webdav.data / "light.txt").write_text("light")
    script = 'require("https").get(process.argv[1], (answer) => answer.pipe(process.stdout))'
    gateway = f"http://{machine.outside}:{office.proxied.port}"
    words = ("exec", "--gateway", gateway, "--account", str(office.files.id), "--")
    done = ran(office, machine, isthmus, *words, "node", "-e", script, f"{office.webdav.url}light.txt")
    assert (done.stdout, done.returncode) == ("light", 0), done.stderr


def test_without_a_gateways_url_it_says_what_is_missing(
    office: Office, machine: PrivateNetwork, isthmus: Path
) -> None:
    done = ran(office, machine, isthmus, "exec", "--account", "1", "--", "true")
    assert done.returncode == 1
    assert "--gateway URL" in done.stderr
    assert "Traceback" not in done.stderr
