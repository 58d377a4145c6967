"""A real Samba server on a temporary folder and a free port, for the user who runs the tests."""

import getpass
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.open_files import open_files
from tests.servers.sshd import free_port, wait_for_port

PASSWORD = "pä ss:wörd"

_GLOBAL = """\
[global]
server role = standalone server
workgroup = OFFICE
interfaces = lo
bind interfaces only = yes
smb ports = {port}
lock directory = {folder}/lock
state directory = {folder}/state
cache directory = {folder}/cache
pid directory = {folder}/pid
private dir = {folder}/private
ncalrpc dir = {folder}/ncalrpc
log file = {folder}/log/smbd.log
max log size = 0
disable netbios = yes
disable spoolss = yes
load printers = no
printcap name = /dev/null
map to guest = never
server min protocol = SMB2_10
server signing = mandatory
passdb backend = tdbsam:{folder}/private/passdb.tdb
"""

SHARES: dict[str, tuple[str, ...]] = {
    "share": (),
    "encrypted": ("smb encrypt = required",),
    "readonly": ("read only = yes",),
    "closed": ("valid users = somebody-else",),
    "namespace": ("msdfs root = yes",),
    "hidden$": (),
}
"""Every share with what it has of its own; all serve the same folder."""


@dataclass(frozen=True)
class Samba:
    port: int
    user: str
    data: Path
    pid: int
    password: str = field(default=PASSWORD, repr=False)

    def sessions(self) -> list[int]:
        """The processes that serve a connection each."""
        lines = subprocess.run(["pgrep", "-P", str(self.pid), "smbd"], capture_output=True, check=False)
        return [int(pid) for pid in lines.stdout.split() if self._serves(int(pid))]

    def kill_sessions(self, number: int = signal.SIGKILL) -> None:
        """A signal for whoever serves a connection; the server itself goes on."""
        for pid in self.sessions():
            os.kill(pid, number)

    def open_files(self) -> list[str]:
        """What the sessions have open below the shares' folder, deleted files included."""
        return open_files(self.data, self.sessions())

    def _serves(self, pid: int) -> bool:
        """A session is connected to our port; the server's own helpers are not."""
        wanted = f":{self.port:04X}"
        inodes = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[1].endswith(wanted) and words[3] != "0A":
                    inodes.add(f"socket:[{words[9]}]")
        try:
            return any(os.readlink(handle) in inodes for handle in Path(f"/proc/{pid}/fd").iterdir())
        except FileNotFoundError:
            return False


@contextmanager
def samba(
    folder: Path, *, extra: str = "", shares: Mapping[str, tuple[str, ...]] = SHARES
) -> Iterator[Samba]:
    """The server, until the context ends. `extra` is added to its global section."""
    data = folder / "data"
    for name in ("data", "lock", "state", "cache", "pid", "private", "ncalrpc", "log"):
        (folder / name).mkdir(parents=True)
    port, user = free_port(), getpass.getuser()
    config = folder / "smb.conf"
    sections = [_GLOBAL.format(port=port, folder=folder) + extra]
    for name, own in shares.items():
        sections.append("\n".join([f"[{name}]", f"path = {data}", "read only = no", *own]))
    config.write_text("\n".join(sections) + "\n")
    # pdbedit, as smbpasswd wants to be root
    subprocess.run(
        ["pdbedit", "-s", str(config), "-t", "-a", "-u", user],
        input=f"{PASSWORD}\n{PASSWORD}\n".encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    server = subprocess.Popen(
        ["/usr/sbin/smbd", "-F", "--no-process-group", "--debug-stdout", "-s", str(config)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield Samba(port, user, data, server.pid)
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # the sessions outlive a SIGTERM of the parent
        server.wait()
