"""A real vsftpd on a temporary folder and a free port: LIST, SIZE and MDTM, no MLSD; plain or with TLS.

Anonymous is the only user that vsftpd knows without PAM and the machine's own accounts.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.certificates import certificate
from tests.servers.sshd import free_port, wait_for_port

USER, PASSWORD = "anonymous", "someone@example.org"
PASSIVE_PORTS = "20000-29999"  # below those that the system gives to clients and to `free_port`

_PLAIN = """\
background=NO
listen=YES
listen_address=127.0.0.1
listen_port={port}
run_as_launching_user=YES
anonymous_enable=YES
no_anon_password=YES
anon_root={folder}/data
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_world_readable_only=NO
anon_umask=022
write_enable=YES
allow_writeable_chroot=YES
connect_from_port_20=NO
pasv_min_port=20000
pasv_max_port=29999
secure_chroot_dir={folder}/empty
xferlog_enable=YES
log_ftp_protocol=YES
vsftpd_log_file={folder}/log
seccomp_sandbox=NO
utf8_filesystem=YES
"""
_TLS = """\
ssl_enable=YES
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl=YES
ssl_ciphers=HIGH
require_ssl_reuse=YES
rsa_cert_file={folder}/cert.pem
rsa_private_key_file={folder}/key.pem
"""


@dataclass(frozen=True)
class Vsftpd:
    port: int
    data: Path
    ca: str | None
    log: Path  # a line a command and a reply
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
        if not self.log.exists():  # nobody has connected yet
            return []
        lines = self.log.read_text(errors="replace").splitlines()
        return [line.split('"')[3].split()[0] for line in lines if "FTP command:" in line]


@contextmanager
def vsftpd(folder: Path, *, tls: bool = False, extra: str = "") -> Iterator[Vsftpd]:
    """The server, until the context ends; `extra` is added to its configuration and may override it."""
    for name in ("data", "empty"):
        (folder / name).mkdir(parents=True)
    ca = certificate(folder) if tls else None
    port = free_port()
    config = folder / "vsftpd.conf"
    config.write_text((_PLAIN + (_TLS if tls else "") + extra).format(port=port, folder=folder))
    server = subprocess.Popen(
        ["/usr/sbin/vsftpd", str(config)], start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_port(port)
        yield Vsftpd(port, folder / "data", ca, folder / "log", server.pid)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
