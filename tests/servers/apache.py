"""A real Apache with mod_dav on a temporary folder and a free port: Basic or Digest, plain or TLS."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.certificates import certificate
from tests.servers.issuer import Issuer
from tests.servers.private_network import PrivateNetwork
from tests.servers.sshd import free_port, wait_for_port

USER, PASSWORD, REALM = "davu", "pä ss:wörd", "store"
_MODULES = "/usr/lib/apache2/modules"
_NAMES = "mpm_event authn_core authn_file authz_core authz_user auth_basic auth_digest dav dav_fs mime ssl"


@dataclass(frozen=True)
class Apache:
    url: str
    port: int
    data: Path
    ca: str | None
    log: Path  # a line a request: method, status, and its X-Trace header or -


@contextmanager
def apache(
    folder: Path,
    *,
    auth: str = "Basic",
    tls: bool = False,
    extra: str = "",
    network: PrivateNetwork | None = None,
    name: str = "localhost",
    issuer: Issuer | None = None,
) -> Iterator[Apache]:
    """The server, until the context ends; `auth` is Basic, Digest or None, `network` where it runs.

    `name` is the host's; it is in its certificate, which is by `issuer`, else by itself.
    """
    port = free_port()
    data, lock = folder / "data", folder / "lock"
    for made in (data, lock):
        made.mkdir(parents=True)
        if os.getuid() == 0:
            shutil.chown(made, "www-data", "www-data")
    if os.getuid() == 0:
        _searchable(folder)
    ca = _certificate(folder, name, issuer) if tls else None
    config = folder / "httpd.conf"
    config.write_text(_config(folder, port, auth, tls=tls, extra=extra))
    log = folder / "access.log"
    server = subprocess.Popen(
        [*(network.inside if network else ()), "/usr/sbin/apache2", "-f", str(config), "-DFOREGROUND"],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        (network.wait_for_port if network else wait_for_port)(port)
        scheme = "https" if tls else "http"
        yield Apache(f"{scheme}://{name}:{port}/", port, data, ca, log)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _searchable(folder: Path) -> None:
    """Apache's workers run as another user, and pytest's folders are for root alone."""
    for above in (folder, *folder.parents):
        if above == Path("/tmp"):
            break
        above.chmod(above.stat().st_mode | 0o011)


def _certificate(folder: Path, name: str, issuer: Issuer | None) -> str:
    if issuer is None:
        return certificate(folder, name)
    made = issuer.issue(name)
    (folder / "cert.pem").write_text(made.certificate)
    (folder / "key.pem").write_text(made.key)
    return issuer.certificate


def _password_files(folder: Path) -> None:
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "-stdin"], input=PASSWORD.encode(), capture_output=True, check=True
    )
    (folder / "users").write_text(f"{USER}:{hashed.stdout.decode().strip()}\n")
    from hashlib import md5

    digest = md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest()
    (folder / "digests").write_text(f"{USER}:{REALM}:{digest}\n")


def _config(folder: Path, port: int, auth: str, *, tls: bool, extra: str) -> str:
    _password_files(folder)
    modules = "\n".join(f"LoadModule {name}_module {_MODULES}/mod_{name}.so" for name in _NAMES.split())
    user = "User www-data\nGroup www-data\n" if os.getuid() == 0 else ""
    https = f"SSLEngine on\nSSLCertificateFile {folder}/cert.pem\nSSLCertificateKeyFile {folder}/key.pem\n"
    who = {
        "Basic": f"AuthType Basic\nAuthName {REALM}\nAuthUserFile {folder}/users\nRequire valid-user",
        "Digest": f"AuthType Digest\nAuthName {REALM}\nAuthUserFile {folder}/digests\nRequire valid-user",
        "None": "Require all granted",
    }[auth]
    return f"""ServerRoot {folder}
PidFile {folder}/httpd.pid
Listen 127.0.0.1:{port}
ServerName localhost
{modules}
{user}TypesConfig /etc/mime.types
ErrorLog {folder}/error.log
CustomLog {folder}/access.log "%m %>s %{{X-Trace}}i"
DavLockDB {folder}/lock/DavLock
DocumentRoot {folder}/data
{https if tls else ""}<Directory {folder}/data>
  Dav On
  {who}
</Directory>
{extra}
"""
