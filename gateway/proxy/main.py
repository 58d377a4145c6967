"""The proxy process: mitmproxy as a library with our addons alone, on the standard event loop.

It reads tokens from the database and asks the worker for one authorised head, and for one connection, at a
time; it can't unseal. uvloop is not used: mitmproxy breaks on it with Python 3.13.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options

from connect_agent.memory import keep_freed_memory
from gateway import listening, telemetry
from gateway.operations import Operations
from gateway.operations.dialing import Dialing
from gateway.proxy.access import Access
from gateway.proxy.authority.leaves import Leaves, Signing
from gateway.proxy.counting import reports
from gateway.proxy.counting.metrics import Metrics
from gateway.proxy.entrance.doors import Doors
from gateway.proxy.entrance.given import GivenMode
from gateway.proxy.injection import Injection
from gateway.proxy.observed import Observed
from gateway.proxy.passing.passages import Passages
from gateway.proxy.wire.certificates import Certificates
from gateway.proxy.wire.layers import Layers
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
_SAYS_WHO_AND_WHERE = "mitmproxy"


def main(settings: Settings, number: int = 1, given: Sequence[int] = ()) -> None:
    """Serves until SIGTERM. With separation enforced, refuses to start when it could read the private key.

    Args:
        settings: the gateway's.
        number: which of several proxy processes this is.
        given: descriptors of sockets to listen on, which others may listen on too; none: it makes its own.
    """
    telemetry.start("proxy" if settings.proxy_processes == 1 else f"proxy {number}", settings.log_level)
    logging.getLogger(_SAYS_WHO_AND_WHERE).setLevel(logging.ERROR)
    keep_freed_memory()
    if settings.separation == "enforced" and keyfiles.readable(
        keyfiles.KeyPaths.in_directory(settings.keys).private
    ):
        raise SystemExit("the proxy can read the private key: run it as its own user")
    parent = os.getppid()
    listens_alone = not given
    if listens_alone:
        given = _own(settings)
    try:
        asyncio.run(_run(settings, number, given))
    finally:
        if listens_alone or os.getppid() != parent:  # a supervisor that was killed leaves its file
            settings.proxy_place.unlink(missing_ok=True)


def _own(settings: Settings) -> Sequence[int]:
    """Sockets of this process's own; the file says their port to the command line and the api."""
    try:
        sockets = listening.listening(settings.host, settings.proxy_port or 0)
    except OSError as error:
        raise SystemExit(f"the native proxy can't listen: {error.strerror}") from None
    listening.announce(settings.proxy_place, sockets)
    return [sock.detach() for sock in sockets]


async def _run(settings: Settings, number: int, given: Sequence[int]) -> None:
    database = open_database(settings.database_url)
    operations = Operations(settings.worker_socket, settings.calls_socket)
    try:
        await version.require_current(database)
        await _serve(settings, number, given, database, operations)
    except Outdated as error:
        raise SystemExit(str(error)) from None
    finally:
        await operations.aclose()
        await database.aclose()


async def _serve(
    settings: Settings, number: int, given: Sequence[int], database: Database, operations: Operations
) -> None:
    """The proxy as a list of its parts, until it is told to end."""
    access = Access(database, operations, of=settings.proxy_processes)
    overlap = timedelta(seconds=settings.proxy_ca_overlap)
    certificates = Certificates(Leaves(Signing(settings.keys, overlap)))
    server = Proxyserver()  # type: ignore[no-untyped-call]  # mitmproxy's, as two below
    passages = Passages(settings.proxy_pass, access, operations, server)
    cookies = settings.proxy_cookies == "pass"
    dialing = Dialing(settings.dial_socket)
    injection = Injection(access, operations, dialing, certificates, passages, keeps_cookies=cookies)
    metrics, started = Metrics(), time.time()
    observed = Observed(metrics, logs=settings.proxy_access_log)

    async def report() -> reports.Report:
        about = {"process": number, "started": started, "clients": observed.clients}
        return {**about, "rows": metrics.to_json()}

    master = Master(Options(mode=[f"{GivenMode.type_name}:{','.join(map(str, given))}"]))
    master._legacy_log_events.uninstall()  # noqa: SLF001  each line of ours would be an event that nobody hears
    doors = Doors(settings.proxy_connections, settings.proxy_head_timeout)
    layers = Layers(passages, settings.proxy_head_timeout)
    master.addons.add(  # type: ignore[no-untyped-call]
        *(server, doors, layers, certificates, injection, passages),
        observed,  # behind what decides
    )
    master.options.update(**_OPTIONS)  # type: ignore[no-untyped-call]
    for signalled in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signalled, master.shutdown)
    async with reports.told(settings.proxy_report(number), report), asyncio.TaskGroup() as beside:
        watching = beside.create_task(passages.watch(), name="passages whose token ended")
        await master.run()
        watching.cancel()
