"""What a proxy process counted, told to whoever connects to its Unix socket: one JSON object, then the end.

Who may read it, socket and folder say (mode 0660, as the worker's). There is no token and no path in it.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

_SLOWEST: Final = 5.0

type Report = dict[str, Any]


@asynccontextmanager
async def told(place: Path, report: Callable[[], Report]) -> AsyncIterator[None]:
    """Inside, whoever connects to the place is told the report."""

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SLOWEST):
                writer.write(orjson.dumps(report()))
                await writer.drain()
        except OSError:
            pass  # who asked went away, or does not read (TimeoutError)
        finally:
            writer.close()

    with _bound(place) as sock:
        server = await asyncio.start_unix_server(tell, sock=sock)
        try:
            yield
        finally:
            server.close()


@contextmanager
def _bound(place: Path) -> Iterator[socket.socket]:
    """A socket there, instead of one that a killed process left."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    place.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(os.fspath(place))
    place.chmod(0o660)
    try:
        yield sock
    finally:
        place.unlink(missing_ok=True)


def gathered(folder: Path) -> Sequence[Report]:
    """The reports of all processes that run, by their number. Raises PermissionError."""
    found = [_asked(place) for place in folder.glob("proxy-*.sock")]
    return sorted((one for one in found if one is not None), key=lambda one: int(one["process"]))


def _asked(place: Path) -> Report | None:
    """One report; None where a process was killed and left its socket."""
    received = bytearray()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_SLOWEST)
        try:
            sock.connect(os.fspath(place))
            while piece := sock.recv(65536):
                received += piece
        except PermissionError:
            raise
        except OSError:
            return None
    report: Report = json.loads(received)
    return report
