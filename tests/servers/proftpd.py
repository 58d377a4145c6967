"""A real ProFTPD on a temporary folder and a free port: MLSD and MLST; plain, explicit or implicit TLS.

`scripts/install-servers` unpacks it below the checkout, since Debian's packages of FTP servers conflict.
"""

import getpass
import grp
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.servers.certificates import certificate
from tests.servers.sshd import free_port, wait_for_port

USER, PASSWORD = "ftpu", "pä ss:wörd"

_UNPACKED = Path(__file__).parents[2] / "build/servers/proftpd"
_PLAIN = """\
{modules}ServerName test
ServerType standalone
DefaultAddress 127.0.0.1
Port {port}
UseIPv6 off
SocketBindTight on
User {user}
Group {group}
PidFile {folder}/proftpd.pid
ScoreboardFile {folder}/score
ControlsEngine off
DelayEngine off
WtmpLog off
TransferLog none
SystemLog {folder}/log
LogFormat commands "%m"
ExtendedLog {folder}/commands ALL commands
AuthPAM off
AuthOrder mod_auth_file.c
AuthUserFile {folder}/users
RequireValidShell off
RootLogin on
PassivePorts 20000 29999
AllowOverwrite {overwrite}
AllowStoreRestart on
AllowRetrieveRestart on
"""
_TLS = """\
TLSEngine on
TLSProtocol TLSv1.2 TLSv1.3
TLSRSACertificateFile {folder}/cert.pem
TLSRSACertificateKeyFile {folder}/key.pem
TLSRequired on
TLSVerifyClient off
TLSLog {folder}/tls.log
"""


@dataclass(frozen=True)
class Proftpd:
    port: int
    data: Path
    ca: str | None
    log: Path  # a line a command, its word only
    pid: int

    def sessions(self) -> list[int]:
        """The processes that serve a connection each."""
        found = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def kill_sessions(self) -> None:
        """SIGKILL for whoever serves a connection; the server itself goes on."""
        for pid in self.sessions():
            os.kill(pid, signal.SIGKILL)

    def commands(self) -> list[str]:
        """Every command so far, without its argument."""
        return self.log.read_text().split() if self.log.exists() else []  # made with the first command


@contextmanager
def proftpd(
    folder: Path,
    *,
    tls: Literal["none", "explicit", "implicit"] = "none",
    overwrite: bool = True,
    extra: str = "",
) -> Iterator[Proftpd]:
    """The server, until the context ends. `overwrite` False: it renames nothing over a file."""
    (folder / "data").mkdir(parents=True)
    ca = None if tls == "none" else certificate(folder)
    _users(folder)
    port = free_port()
    config = folder / "proftpd.conf"
    config.write_text(
        (_PLAIN + _tls(tls) + extra).format(
            modules=""
            if tls == "none"
            else f"ModulePath {_UNPACKED}/usr/lib/proftpd\nLoadModule mod_tls.c\n",
            port=port,
            user=getpass.getuser(),
            group=grp.getgrgid(os.getgid()).gr_name,
            folder=folder,
            overwrite="on" if overwrite else "off",
        )
    )
    server = subprocess.Popen(
        [str(_UNPACKED / "usr/sbin/proftpd"), "-n", "-q", "-c", str(config)],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield Proftpd(port, folder / "data", ca, folder / "commands", server.pid)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _tls(tls: str) -> str:
    if tls == "none":
        return ""
    return _TLS + ("TLSOptions UseImplicitSSL\n" if tls == "implicit" else "")


def _users(folder: Path) -> None:
    hashed = subprocess.run(
        ["openssl", "passwd", "-5", "-stdin"], input=PASSWORD.encode(), capture_output=True, check=True
    )
    users = folder / "users"
    line = f"{USER}:{hashed.stdout.decode().strip()}:{os.getuid()}:{os.getgid()}::{folder}/data:/bin/false\n"
    users.write_text(line)
    users.chmod(0o600)
