"""The api process: public key only, nothing that opens a store."""

import uvloop

from connect_agent.memory import keep_freed_memory
from gateway import telemetry
from gateway.api.main import build
from gateway.api.server import server
from gateway.operations import Operations
from gateway.settings import Settings
from store import version
from store.engine import open_database
from store.envelope import SealingKey, keyfiles
from store.errors import Outdated


def main(settings: Settings) -> None:
    """Serves until SIGTERM. With separation enforced, refuses to start when it could read the private key."""
    telemetry.start("api", settings.log_level)
    keep_freed_memory()
    paths = keyfiles.KeyPaths.in_directory(settings.keys)
    if settings.separation == "enforced" and keyfiles.readable(paths.private):
        raise SystemExit(
            "the api can read the private key: run it as its own user, see 'isthmus keys protect'"
        )
    uvloop.run(_serve(settings, SealingKey.load(paths.public)))


async def _serve(settings: Settings, sealing_key: SealingKey) -> None:
    database = open_database(settings.database_url)
    operations = Operations(settings.worker_socket, settings.calls_socket)
    try:
        await version.require_current(database)
        await server(build(settings, database, operations, sealing_key), settings).serve()
    except Outdated as error:
        raise SystemExit(str(error)) from None
    finally:
        await operations.aclose()
        await database.aclose()
