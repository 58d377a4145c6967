"""(d): 64 downloads at once, half of the clients slow: how much memory all processes grow by."""

import selectors
import socket
import time
from pathlib import Path

from bench.fleet import Fleet, resident
from bench.house import House
from bench.loads import Target, download
from bench.report import Line
from tests.servers.apache import apache

_CLIENTS = 64
_SLOW = 1_000_000
_SECONDS = 20.0


def _client(target: Target) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", target.port))
    sock.sendall(target.head("GET"))
    sock.setblocking(False)
    return sock


def _readers(target: Target, seconds: float, sample: list[int], measure: list[float], fleet: House) -> int:
    """Reads with 64 sockets for a while, half of them at 1 MB/s; the bytes that came."""
    selector = selectors.DefaultSelector()
    clients = [_client(target) for _ in range(_CLIENTS)]
    slow = set(clients[::2])
    taken = dict.fromkeys(clients, 0)
    for sock in clients:
        selector.register(sock, selectors.EVENT_READ)
    started = time.perf_counter()
    buffer = bytearray(256 * 1024)
    looked = started
    while (now := time.perf_counter()) - started < seconds:
        for key, _ in selector.select(0.01):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            room = int((now - started) * _SLOW) - taken[sock] if sock in slow else len(buffer)
            if room <= 0:
                continue
            got = sock.recv_into(buffer, min(room, len(buffer)))
            if not got:
                selector.unregister(sock)
            taken[sock] += got
        if now - looked > 0.5:
            looked = now
            sample.append(resident(fleet.processes))
    measure.append(min(taken[sock] for sock in slow) / (seconds * _SLOW))
    for sock in taken:
        sock.close()
    if min(taken.values()) == 0:
        raise ConnectionError("a client got nothing")
    return sum(taken.values())


def downloads(folder: Path, size: int, number: int) -> list[Line]:
    """(d) over WebDAV through a tunnel."""
    with apache(folder / "apache", auth="None") as store, Fleet(folder) as fleet:
        with (store.data / "big").open("wb") as file:
            file.truncate(1024 * 1024 * 1024)
        house = House(fleet)
        house.start_agent(f"127.0.0.1:{store.port}")
        ours = house.account("webdav", network="inside", url=f"http://127.0.0.1:{store.port}/")
        target = ours.content("big")
        download(target, 1024 * 1024 * 1024)  # what any first transfer loads is not what many cost
        before = resident(house.processes)
        sample: list[int] = []
        fed: list[float] = []
        moved = _readers(target, _SECONDS, sample, fed, house)
    grown = (max(sample) - before) / 2**20
    return [
        Line(
            "64 downloads through a tunnel, 32 at 1 MB/s: growth of memory, gateway and agent",
            None,
            "<= 64 MiB",
            grown <= 64,
            f"{grown:.0f} MiB while {moved / 2**20:.0f} MiB moved; the slowest slow client got "
            f"{fed[0]:.0%} of its rate",
        )
    ]
