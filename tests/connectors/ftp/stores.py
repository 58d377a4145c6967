"""What the tests beside this share."""

import secrets
from typing import Any

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.ftp import FtpConnector
from tests.servers import proftpd as pro
from tests.servers import vsftpd as vs
from tests.servers.proftpd import Proftpd
from tests.servers.vsftpd import Vsftpd

MIB = 1024 * 1024


def store(server: Proftpd | Vsftpd, *, idle_timeout: float = 5.0, **changes: Any) -> Store:
    who = pro if isinstance(server, Proftpd) else vs
    known = {"host": "localhost", "port": server.port, "username": who.USER, "password": who.PASSWORD}
    tls = "none" if server.ca is None else "explicit"
    return Store(FtpConnector, {**known, "tls": tls, "ca": server.ca, **changes}, Direct(), idle_timeout)


def folder(server: Proftpd | Vsftpd) -> str:
    name = f"test-{secrets.token_hex(6)}"
    (server.data / name).mkdir()
    return name
