"""A real OpenSSH server on a temporary folder and a free port."""

import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.open_files import descendants, open_files
from tests.servers.private_network import PrivateNetwork


@dataclass(frozen=True)
class Sshd:
    port: int
    user: str
    private_key: str
    data: Path
    pid: int

    def kill_sessions(self) -> None:
        """SIGKILL for whoever serves a connection; the server itself goes on."""
        self.signal_sessions(signal.SIGKILL)

    def signal_sessions(self, number: signal.Signals) -> None:
        """The signal for whoever serves a connection; the server itself does not get it."""
        subprocess.run(["pkill", f"-{number}", "-P", str(self.pid)], check=False)

    def open_files(self) -> list[str]:
        """What its processes have open in the data folder, removed files included."""
        return open_files(self.data, descendants(self.pid))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def sshd(folder: Path, network: PrivateNetwork | None = None) -> Iterator[Sshd]:
    """On this machine, or inside a private network; on 127.0.0.1 either way."""
    data = folder / "data"
    data.mkdir(parents=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("hk", "ck"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "ak").write_bytes((folder / "ck.pub").read_bytes())
    port = free_port()
    (folder / "conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/hk\nPidFile {folder}/pid\n"
        f"AuthorizedKeysFile {folder}/ak\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nMaxStartups 200:30:400\nSubsystem sftp internal-sftp\n"
    )
    server = subprocess.Popen(
        [*(network.inside if network else ()), "/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "conf")],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        (network.wait_for_port if network else wait_for_port)(port)
        yield Sshd(port, getpass.getuser(), (folder / "ck").read_text(), data, server.pid)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_for_port(port: int, within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port} after {within} s")
