"""What a proxy process counted, told to whoever connects to its Unix socket: one JSON object, then the end.

Who may read it, socket and folder say (mode 0660, as the worker's). There is no token and no path in it.
"""

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

COLLECTED: Final = "proxies.sock"
"""Where the supervisor tells the reports of all processes."""
_SLOW: Final = 2.0
_SLOWEST: Final = 5.0
_NUMBERED: Final = re.compile(r"proxy-([0-9]+)\.sock")

type Report = dict[str, Any]


@asynccontextmanager
async def told(place: Path, report: Callable[[], Awaitable[Report]]) -> AsyncIterator[None]:
    """Inside, whoever connects to the place is told the report."""

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SLOWEST):
                writer.write(orjson.dumps(await report()))
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
    """The reports of all processes, by their number. Raises PermissionError.

    The supervisor's, whose counts go on where a process was followed by another; where none tells anything,
    those of the processes that run.
    """
    if (collected := _asked(folder / COLLECTED)) is not None:
        told: Sequence[Report] = collected["reports"]
        return told
    found = [_asked(place) for _, place in sorted(places(folder).items())]
    return [one for one in found if one is not None]


def places(folder: Path) -> dict[int, Path]:
    """Where processes tell what they count, or did, by their number."""
    found = ((_NUMBERED.fullmatch(place.name), place) for place in folder.glob("proxy-*.sock"))
    return {int(match[1]): place for match, place in found if match}


async def asked(place: Path) -> Report | None:
    """A process's report; None where none tells one, in time."""
    try:
        async with asyncio.timeout(_SLOW):
            reader, writer = await asyncio.open_unix_connection(os.fspath(place))
            try:
                report: Report = orjson.loads(await reader.read())
            finally:
                writer.close()
    except (OSError, ValueError):  # TimeoutError is the former; the latter is of one that was killed halfway
        return None
    return report


def _asked(place: Path) -> Report | None:
    """One report; None where a process was killed and left its socket, or does not tell all of it."""
    received = bytearray()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_SLOWEST)
        try:
            sock.connect(os.fspath(place))
            while piece := sock.recv(65536):
                received += piece
            report: Report = json.loads(received)
        except PermissionError:
            raise
        except (OSError, ValueError):
            return None
    return report
