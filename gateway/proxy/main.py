"""The proxy process: mitmproxy as a library with our addons alone, on the standard event loop.

It reads tokens from the database and asks the worker for one authorised head at a time; it can neither unseal
nor reach a store on its own. uvloop is not used: mitmproxy breaks on it with Python 3.13.
"""

import asyncio
import logging
import signal
from datetime import timedelta
from pathlib import Path
from typing import Final

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options

from connect_agent.memory import keep_freed_memory
from gateway import telemetry
from gateway.operations import Operations
from gateway.proxy.access import Access
from gateway.proxy.certificates import Certificates
from gateway.proxy.injection import Injection
from gateway.proxy.layers import Layers
from gateway.proxy.leaves import Leaves, Signing
from gateway.settings import Settings
from store import version
from store.engine import Database, open_database
from store.envelope import keyfiles
from store.errors import Outdated

_OPTIONS: Final = {
    "connection_strategy": "lazy",  # no connection to a store before a request is authorised
    "rawtcp": False,
    "http3": False,
    "upstream_cert": False,
    "validate_inbound_headers": True,
}
_log = logging.getLogger(__name__)
_SAYS_WHO_AND_WHERE = "mitmproxy"


def main(settings: Settings) -> None:
    """Serves until SIGTERM. With separation enforced, refuses to start when it could read the private key."""
    telemetry.start("proxy", settings.log_level)
    logging.getLogger(_SAYS_WHO_AND_WHERE).setLevel(logging.ERROR)
    keep_freed_memory()
    if settings.separation == "enforced" and keyfiles.readable(
        keyfiles.KeyPaths.in_directory(settings.keys).private
    ):
        raise SystemExit("the proxy can read the private key: run it as its own user")
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    database = open_database(settings.database_url)
    operations = Operations(settings.worker_socket)
    try:
        await version.require_current(database)
        master = build(settings, database, operations)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, master.shutdown)
        await master.run()
    except Outdated as error:
        raise SystemExit(str(error)) from None
    finally:
        await operations.aclose()
        await database.aclose()


class Announced:
    """Writes the port that is listened on where the command line looks for it, as long as it is true."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def running(self) -> None:
        """Called when the proxy listens, or could not."""
        listening: Proxyserver = ctx.master.addons.get("proxyserver")  # type: ignore[no-untyped-call]
        if addresses := listening.listen_addrs():
            self._file.write_text(str(addresses[0][1]))
        else:
            _log.error("the native proxy can't listen: is its port taken?")
            ctx.master.shutdown()  # type: ignore[no-untyped-call]

    def done(self) -> None:
        """Called when the proxy ends."""
        self._file.unlink(missing_ok=True)


def build(settings: Settings, database: Database, operations: Operations) -> Master:
    """The proxy as a list of its parts; what it is given stays the caller's to close."""
    master = Master(Options(listen_host=settings.host, listen_port=settings.proxy_port or 0))
    overlap = timedelta(seconds=settings.proxy_ca_overlap)
    certificates = Certificates(Leaves(Signing(settings.keys, overlap)))
    master.addons.add(  # type: ignore[no-untyped-call]  # mitmproxy's, as the two below
        Proxyserver(),  # type: ignore[no-untyped-call]
        Announced(settings.proxy_place),
        Layers(),
        certificates,
        Injection(
            Access(database, operations),
            operations,
            certificates,
            keeps_cookies=settings.proxy_cookies == "pass",
        ),
    )
    master.options.update(**_OPTIONS)  # type: ignore[no-untyped-call]
    return master
