"""The api process: public key only, nothing that opens a store."""

import socket
from collections.abc import Sequence

import uvicorn
import uvloop

from connect_agent.memory import keep_freed_memory
from connectors import registry
from gateway import telemetry
from gateway.api.entrance import SharedServer
from gateway.api.main import build
from gateway.api.server import configured
from gateway.board import Board
from gateway.operations import Operations
from gateway.settings import Settings
from store import version
from store.engine import open_database
from store.envelope import SealingKey, keyfiles
from store.errors import Outdated


def main(settings: Settings, number: int = 1, given: Sequence[int] = (), board: int | None = None) -> None:
    """Serves until SIGTERM. With separation enforced, refuses to start when it could read the private key.

    Args:
        settings: the gateway's.
        number: which of several api processes this is.
        given: descriptors of sockets to listen on, which others may listen on too; none: it makes its own.
        board: descriptor of the memory that it shares with the others; None: there are none.
    """
    telemetry.start("api" if settings.api_processes == 1 else f"api {number}", settings.log_level)
    keep_freed_memory()
    paths = keyfiles.KeyPaths.in_directory(settings.keys)
    if settings.separation == "enforced" and keyfiles.readable(paths.private):
        raise SystemExit(
            "the api can read the private key: run it as its own user, see 'isthmus keys protect'"
        )
    if settings.api_processes > 1:
        registry.installed()  # it imports them: each would hold up its part of the clients later, by itself
    shared = Board.make() if board is None else Board(board)
    sockets = [socket.socket(fileno=descriptor) for descriptor in given]
    uvloop.run(_serve(settings, SealingKey.load(paths.public), number, sockets, shared))


async def _serve(
    settings: Settings, sealing_key: SealingKey, number: int, sockets: list[socket.socket], board: Board
) -> None:
    database = open_database(settings.database_url)
    operations = Operations(settings.worker_socket, settings.calls_socket)
    try:
        await version.require_current(database)
        config = configured(build(settings, database, operations, sealing_key, board), settings)
        if sockets and settings.api_processes > 1:
            await SharedServer(config, sockets, board, number=number, of=settings.api_processes).serve()
        else:
            await uvicorn.Server(config).serve(sockets=sockets or None)
    except Outdated as error:
        raise SystemExit(str(error)) from None
    finally:
        await operations.aclose()
        await database.aclose()
