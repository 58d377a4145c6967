"""(h), (i), (j): the native proxy beside mitmdump without addons, and beside no proxy at all."""

import subprocess
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench import peers
from bench.content import rounds
from bench.fleet import cpu, resident
from bench.loads import Target, download
from bench.proxied import Scene, Way, asked, latencies, requests_per_second, scene
from bench.report import Line, at_most, ratio_of_rates, shown

if TYPE_CHECKING:
    from bench.content import Contestants

_MOST_CPU = 1.15
_IDLE = 500
_AT_ONCE = 32
_HTTP1, _HTTP2 = ("--http1.1",), ("--http2",)


@dataclass(frozen=True)
class Transfer:
    """One kind of transfer: ours, and what it is compared with."""

    name: str
    url: str
    words: tuple[str | Path, ...]
    ours: Way
    has_target: bool = True


def files(folder: Path, size: int, number: int) -> list[Line]:
    """(h): whole files by curl; CPU seconds are of everything between curl and the store."""
    with scene(folder, size) as here:
        up = ("--upload-file", here.big)
        kinds = (
            Transfer("plain HTTP, download", f"{here.plain}big", _HTTP1, here.ours_plain),
            Transfer("plain HTTP, upload", f"{here.plain}new", (*_HTTP1, *up), here.ours_plain),
            Transfer("TLS both sides, download", f"{here.tls}big", _HTTP1, here.ours),
            Transfer("TLS both sides, upload", f"{here.tls}new", (*_HTTP1, *up), here.ours),
            Transfer("TLS, HTTP/2 from the client, download", f"{here.tls}big", _HTTP2, here.ours),
            Transfer(
                "TLS, through a tunnel (mitmdump: without one)",
                f"{here.tls}big",
                _HTTP1,
                here.tunnelled,
                has_target=False,  # an agent and a tunnel are more than what mitmdump does
            ),
        )
        lines = [line for kind in kinds for line in _compared(here, kind, number)]
        return [*lines, *_against_rclone(here, size, number)]


def _compared(here: Scene, kind: Transfer, number: int) -> list[Line]:
    ways = {"ours": kind.ours, "mitmdump": here.mitmdump, "direct": here.direct}
    used: dict[str, list[float]] = {name: [] for name in ways}

    def one(name: str) -> float:
        before = cpu(ways[name].processes)
        took = ways[name].transfer(kind.url, *kind.words)
        used[name].append(cpu(ways[name].processes) - before)
        return took

    took = rounds({name: partial(one, name) for name in ways}, number)
    ours, theirs = median(used["ours"][1:]), median(used["mitmdump"][1:])
    note = f"{ours:.2f} s against {theirs:.2f} s"
    title = f"{kind.name}, CPU seconds: mitmdump"
    spent = (
        at_most(title, ours / theirs, _MOST_CPU, note)
        if kind.has_target
        else shown(title, ours / theirs, note)
    )
    return [
        spent,
        shown(f"{kind.name}, throughput: mitmdump", ratio_of_rates(took["ours"], took["mitmdump"])),
        shown(f"{kind.name}, throughput: no proxy", ratio_of_rates(took["ours"], took["direct"])),
    ]


def _against_rclone(here: Scene, size: int, number: int) -> list[Line]:
    """rclone as a gateway: it puts the store's password on as well, for plain HTTP."""
    served = peers.rclone_http(here.fleet, here.plain_port)
    if served is None:
        return [Line("plain HTTP, download: rclone serve http", None, note="rclone is not installed")]
    contestants: Contestants = {
        "ours": lambda: here.ours_plain.transfer(f"{here.plain}big"),
        "rclone": lambda: download(Target(served[0], "/big"), size),
    }
    took = rounds(contestants, number)
    ratio = ratio_of_rates(took["ours"], took["rclone"])
    return [shown("plain HTTP, download, throughput: rclone serve http", ratio)]


def requests(folder: Path, size: int, number: int) -> list[Line]:
    """(i): small requests on connections that are kept, and clients that only stay."""
    seconds = 3.0
    with scene(folder, size) as here:
        lines = []
        for name, url, ours in (
            ("plain HTTP", f"{here.plain}small", here.ours_plain),
            ("TLS both sides", f"{here.tls}small", here.ours),
            ("TLS, through a tunnel", f"{here.tls}small", here.tunnelled),
        ):
            ways = {"ours": ours, "mitmdump": here.mitmdump, "direct": here.direct}
            delays: dict[str, list[float]] = {way: [] for way in ways}
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for _round in range(number):
                for who, way in ways.items():
                    delays[who].append(median(latencies(way, url, seconds)))
                    rates[who].append(requests_per_second(way, url, seconds))
            lines += _small(name, delays, rates)
        return [*lines, *_idle(here)]


def _small(name: str, delays: dict[str, list[float]], rates: dict[str, list[float]]) -> list[Line]:
    delay = {who: median(values) * 1000 for who, values in delays.items()}
    rate = {who: median(values) for who, values in rates.items()}
    added, theirs = delay["ours"] - delay["direct"], delay["mitmdump"] - delay["direct"]
    return [
        Line(
            f"{name}, what a small request takes longer at the median than without a proxy",
            None,
            "<= 2 ms",
            added <= 2,
            f"{added:.2f} ms; mitmdump {theirs:.2f} ms; without a proxy it takes {delay['direct']:.2f} ms",
        ),
        shown(
            f"{name}, small requests a second, 16 at a time: mitmdump",
            rate["ours"] / rate["mitmdump"],
            f"{rate['ours']:.0f}/s on this machine; without a proxy {rate['direct']:.0f}/s",
        ),
    ]


def _idle(here: Scene) -> list[Line]:
    """Clients that have opened a connection through TLS, and wait; afterwards each has a request answered."""
    url = f"{here.tls}small"
    grown = {}
    for name, way in (("ours", here.ours), ("mitmdump", here.mitmdump)):
        before = resident(way.processes)
        clients = [way.connected(url) for _ in range(_IDLE)]
        grown[name] = (resident(way.processes) - before) / _IDLE / 1024
        for sock, request in clients:
            asked(sock, request)
        for sock, _ in clients:
            sock.close()
    note = f"{grown['ours']:.0f} KiB a client; each had a request answered afterwards"
    return [shown(f"memory of {_IDLE} clients that wait: mitmdump", grown["ours"] / grown["mitmdump"], note)]


def memory(folder: Path, size: int, number: int) -> list[Line]:
    """(j): how much all processes grow by under 32 transfers at once, TLS on both sides, to one store."""
    lines = []
    with scene(folder, size) as here:
        up = ("--upload-file", here.big)
        for name, url, words in (
            ("downloads", f"{here.tls}big", _HTTP1),
            ("uploads", f"{here.tls}new", (*_HTTP1, *up)),
        ):
            here.ours.transfer(url, *words)  # what any first transfer loads is not what many cost
            before = resident(here.ours.processes)
            most = _most_under_load(here.ours, url, words)
            grown = (most - before) / 2**20
            lines.append(
                Line(
                    f"{_AT_ONCE} {name} at once of {size / 2**20:.0f} MiB: growth of memory, gateway",
                    None,
                    "<= 64 MiB",
                    grown <= 64,
                    f"{grown:.0f} MiB",
                )
            )
    return lines


def _most_under_load(way: Way, url: str, words: tuple[str | Path, ...]) -> int:
    """The most bytes that were resident while the transfers ran. Raises ConnectionError when one failed."""
    running = [subprocess.Popen(way.curl(url, *words)) for _ in range(_AT_ONCE)]
    most = 0
    while any(one.poll() is None for one in running):
        most = max(most, resident(way.processes))
        time.sleep(0.2)
    if any(one.returncode for one in running):
        raise ConnectionError("a transfer failed")
    return most
