"""Another user of the gateway's machine, where the data folder is one that all may enter."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.proxy.proxied import ISTHMUS, Account, Proxied
from tests.servers.apache import PASSWORD, USER, Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


@pytest.fixture(scope="module")
def shared() -> Iterator[Proxied]:
    """A gateway in a folder that an administrator made before, as `mkdir` makes them."""
    with tempfile.TemporaryDirectory(prefix="isthmus-shared-") as folder:  # pytest's own are closed
        made = Proxied(Path(folder))
        made.data.mkdir()
        for entered in (made.folder, made.data):
            entered.chmod(0o755)
        made.set_up()
        with made.serving():
            yield made


def as_nobody(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*NOBODY, *map(str, command)], capture_output=True, text=True, check=False, timeout=30
    )


def test_no_file_is_read_but_what_is_public(shared: Proxied) -> None:
    assert as_nobody("ls", shared.data).returncode == 0, "it can come so far"
    read = [
        file.name
        for file in shared.data.rglob("*")
        if not file.is_socket() and as_nobody("cat", file).returncode == 0
    ]
    assert read == []
    assert (shared.data / "isthmus.db").stat().st_size, "there was something to read"


def test_a_database_of_before_is_closed_as_well(tmp_path: Path) -> None:
    gateway = Proxied(tmp_path)
    gateway.set_up()
    database = gateway.data / "isthmus.db"
    database.chmod(0o644)
    gateway.isthmus("db", "upgrade")
    assert not database.stat().st_mode & 0o007


def test_no_socket_is_connected_to(shared: Proxied) -> None:
    places = [file for file in (shared.data / "run").iterdir() if file.is_socket()]
    assert {place.name for place in places} >= {"worker.sock", "calls.sock", "dial.sock", "hub.sock"}
    (shared.data / "run").chmod(0o755)  # as if the folder did not keep it out
    try:
        for place in places:
            with socket.socket(socket.AF_UNIX) as ours:
                ours.connect(os.fspath(place))
            said = f"import socket; socket.socket(socket.AF_UNIX).connect({os.fspath(place)!r})"
            assert "Permission denied" in as_nobody("/usr/bin/python3", "-c", said).stderr, place
    finally:
        (shared.data / "run").chmod(0o750)


def test_nothing_is_seen_of_a_process_but_its_command_line(shared: Proxied) -> None:
    processes = shared.processes()
    assert len(processes) == 3
    for process in processes:
        for kept in ("environ", "maps", "mem", "fd", "cwd/", "fdinfo"):
            looked = as_nobody("ls" if kept in ("fd", "cwd/", "fdinfo") else "cat", process / kept)
            assert "Permission denied" in looked.stderr, (process, kept)
        words = (process / "cmdline").read_text()
        assert not any(secret in words for secret in (shared.app["api_key"], PASSWORD))


def test_no_process_leaves_a_core(shared: Proxied) -> None:
    """It would have keys, credentials, and content, on a disk."""
    for process in shared.processes("worker", "api", "proxy"):
        (line,) = (one for one in (process / "limits").read_text().splitlines() if "core file" in one)
        assert line.split()[4:6] == ["0", "0"]


def test_a_runs_token_is_in_no_command_line(shared: Proxied, plain_store: Apache) -> None:
    account: Account = shared.add("webdav", url=plain_store.url, username=USER, password=PASSWORD)
    # the program tells its token, and every command line of the machine at that moment
    look = (
        "import os, pathlib; print(os.environ['HTTPS_PROXY'].split(':')[2].split('@')[0])\n"
        "for one in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
        "    try: print(one.read_text().replace('\\0', ' '))\n"
        "    except OSError: pass"
    )
    done = shared.exec(account, sys.executable, "-c", look)
    token, _, lines = done.stdout.partition("\n")
    assert len(token) > 20, done.stderr
    assert " ".join((*ISTHMUS[1:], "exec")) in lines
    assert token not in lines
