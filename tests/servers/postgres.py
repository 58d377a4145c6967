"""A real PostgreSQL on a temporary folder, reached by a Unix socket; nothing of it stays.

It keeps nothing safe (fsync is off) and trusts everyone who can reach its socket. PostgreSQL refuses to
run as root: then it runs as `postgres`, or as `nobody` where that user is missing.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OWNER = "isthmus"
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB", "jit=off")
_ENOUGH = ("max_connections=200", "listen_addresses=")


@dataclass(frozen=True)
class Postgres:
    """A running server. `data` is its data directory: what is on its disk."""

    socket: Path
    data: Path

    def url(self, name: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://{OWNER}@/{name}?host={self.socket}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """The server, until the context ends. Raises RuntimeError, which says what to install."""
    initdb, server = binary("initdb"), binary("postgres")
    # not pytest's folder: that is for root alone, and too deep for a socket's path of 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="isthmus-pg-"))
    user = _unprivileged()
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        made = subprocess.run(
            [initdb, "-D", data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            user=user,
            cwd=folder,
            env=_environment(),
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr}")
        with _running(server, folder, data, user):
            yield Postgres(folder, data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def binary(name: str) -> str:
    """The path of one of PostgreSQL's programs: on PATH, or where Debian keeps it, the newest version."""
    if (found := shutil.which(name)) is not None:
        return found
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_version)
    if not kept:
        raise RuntimeError(
            f"PostgreSQL's {name} is missing: run scripts/install-servers, or 'apt-get install postgresql'"
        )
    return str(kept[-1])


@contextmanager
def _running(server: str, folder: Path, data: Path, user: str | None) -> Iterator[None]:
    log = folder / "log"
    settings = [word for setting in (*_FAST, *_ENOUGH) for word in ("-c", setting)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_dies_with_us(), server, "-D", data, "-k", folder, *settings],
            user=user,
            cwd=folder,
            env=_environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, data, log)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # "fast" shutdown: clients are cut off
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_ready(
    process: "subprocess.Popen[bytes]", data: Path, log: Path, within: float = 60.0
) -> None:
    """The last line of postmaster.pid says `ready` once connections are taken."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        pid_file = data / "postmaster.pid"
        if pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"):
            return
        time.sleep(0.02)
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}")


def _unprivileged() -> str | None:
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _dies_with_us() -> list[str]:
    """A killed test run leaves no server behind, where util-linux can arrange that."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "INT"] if setpriv else []


def _environment() -> dict[str, str]:
    """None of the caller's PG* variables, which would redirect it."""
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in path.parts[-3].split(".") if part.isdigit())
