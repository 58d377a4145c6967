"""The api process: public key only, nothing that opens a store."""

import uvicorn
import uvloop

from gateway import telemetry
from gateway.api.main import build
from gateway.operations import Operations
from gateway.settings import Settings
from store.engine import open_database
from store.envelope import keyfiles


def main(settings: Settings) -> None:
    """Serves until SIGTERM. With separation enforced, refuses to start when it could read the private key."""
    telemetry.start("api", settings.log_level)
    private = keyfiles.KeyPaths.in_directory(settings.keys).private
    if settings.separation == "enforced" and keyfiles.readable(private):
        raise SystemExit(
            "the api can read the private key: run it as its own user, see 'isthmus keys protect'"
        )
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    database = open_database(settings.database_url)
    operations = Operations(settings.worker_socket)
    config = uvicorn.Config(
        build(settings, database, operations),
        host=settings.host,
        port=settings.port,
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.drain_timeout),
    )
    try:
        await uvicorn.Server(config).serve()
    finally:
        await operations.aclose()
        await database.aclose()
