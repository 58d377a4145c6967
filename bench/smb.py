"""One large file over SMB, the connector beside `smbclient`: `python -m bench.smb [--size MIB] [--rounds N]`.

Both talk to the same Samba on this machine, signed and encrypted, in turns; medians. No gateway in between.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from statistics import median

import uvloop

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.interface import CHUNK
from connectors.smb import SmbConnector
from tests.servers.samba import Samba, samba

type Act = Callable[[], None]
type Verb = Callable[[Store, int], Coroutine[None, None, None]]

_MIB = 1024 * 1024


def main() -> None:
    """Prints a line a comparison."""
    parser = argparse.ArgumentParser(prog="python -m bench.smb", description=__doc__)
    parser.add_argument("--size", type=int, default=512, metavar="MIB")
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, samba(Path(folder) / "samba") as server:
        source = Path(folder) / "source"
        source.write_bytes(os.urandom(_MIB) * wanted.size)
        os.link(source, server.data / "file")
        for share, protection in (("share", "sign"), ("encrypted", "encrypt")):
            peer = partial(_smbclient, server, share, protection)
            mine = _store(server, share)
            _compare(
                f"read, {protection}",
                wanted.rounds,
                partial(_run, _read, mine, wanted.size),
                partial(peer, "get file /dev/null"),
            )
            _compare(
                f"write, {protection}",
                wanted.rounds,
                partial(_run, _write, mine, wanted.size),
                partial(peer, f"put {source} theirs"),
            )


def _compare(title: str, rounds: int, ours: Act, theirs: Act) -> None:
    seconds = [(_timed(ours), _timed(theirs)) for _ in range(rounds + 1)][1:]  # the first does not count
    ratio = median(their for _, their in seconds) / median(our for our, _ in seconds)
    print(f"{title}: {ratio:.2f} of smbclient's throughput")


def _timed(act: Act) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def _run(verb: Verb, store: Store, size: int) -> None:
    uvloop.run(verb(store, size))


async def _read(store: Store, size: int) -> None:
    async with store.opened() as connector:
        total = 0
        async for piece in (await connector.read("file")).chunks:
            total += len(piece)
        assert total == size * _MIB


async def _write(store: Store, size: int) -> None:
    block = os.urandom(CHUNK)

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size * _MIB // CHUNK):
            yield block

    async with store.opened() as connector:
        await connector.write("", "ours", source(), size=None, replace=True)


def _store(server: Samba, share: str) -> Store:
    known = {"host": "127.0.0.1", "port": server.port, "share": share, "username": server.user}
    return Store(SmbConnector, {**known, "password": server.password}, Direct())


def _smbclient(server: Samba, share: str, protection: str, command: str) -> None:
    subprocess.run(
        [
            "smbclient",
            *("-p", str(server.port), "-U", f"{server.user}%{server.password}"),
            *(f"--client-protection={protection}", f"//127.0.0.1/{share}", "-c", command),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
