"""(c), (g): small requests: through a tunnel that is idle or busy, and as many as the API answers."""

import multiprocessing
import statistics
import time
from pathlib import Path

from bench import peers
from bench.fleet import Fleet
from bench.house import House, forwarded
from bench.loads import Target, download, latencies, percentile, requests_per_second
from bench.report import Line, at_most, shown
from tests.servers.sshd import sshd


def _bulk(target: Target, size: int, stop: float) -> None:
    while time.time() < stop:
        download(target, size)


def tunnel(folder: Path, size: int, number: int) -> list[Line]:
    """(c): 99 of 100 small requests are faster than this, idle and while a file goes through."""
    files = folder / "files"
    files.mkdir()
    (files / "small").write_bytes(b"x" * 1024)
    with (files / "big").open("wb") as file:
        file.truncate(size)
    seconds = 3.0 + number
    found: dict[str, list[float]] = {"idle": [], "bulk": [], "ssh idle": [], "ssh bulk": []}
    with sshd(folder / "sshd") as server, Fleet(folder) as fleet:
        store, _ = peers.nginx_static(fleet, files)
        ssh, _ = peers.ssh_reverse(fleet, server, store)
        ours, _ = forwarded(fleet, store)
        for _round in range(number):
            for prefix, port in (("", ours), ("ssh ", ssh)):
                small = Target(port, "/small")
                found[prefix + "idle"].append(percentile(latencies(small, seconds), 0.99))
                bulk = multiprocessing.Process(
                    target=_bulk, args=(Target(port, "/big"), size, time.time() + seconds + 0.5)
                )
                bulk.start()
                time.sleep(0.5)
                found[prefix + "bulk"].append(percentile(latencies(small, seconds), 0.99))
                bulk.terminate()
                bulk.join()
    median = {name: statistics.median(values) for name, values in found.items()}
    return [
        at_most("small requests, p99 under bulk: idle", median["bulk"] / median["idle"], 10),
        at_most("small requests, p99 under bulk: ssh -R", median["bulk"] / median["ssh bulk"], 1.0),
        shown("small requests, p99 idle: ssh -R", median["idle"] / median["ssh idle"]),
    ]


def requests(folder: Path, size: int, number: int) -> list[Line]:
    """(g): stats and listings a second on `local`, against nginx proxying a static file."""
    files = folder / "files"
    files.mkdir()
    for at in range(20):
        (files / f"file {at}").write_bytes(b"x" * 1000)
    (files / "small").write_bytes(b"x" * 1000)
    with Fleet(folder) as fleet:
        house = House(fleet)
        ours = house.account("local", root=str(files))
        store, _ = peers.nginx_static(fleet, files)
        proxy, _ = peers.nginx_proxy(fleet, store)
        several = House(fleet, "several", api_processes=2).account("local", root=str(files))
        targets = {
            "stat": ours.stat("small"),
            "stat of two": several.stat("small"),
            "listing": ours.listing,
            "nginx": Target(proxy, "/small"),
        }
        rates: dict[str, list[float]] = {name: [] for name in targets}
        delays: dict[str, list[float]] = {name: [] for name in targets}
        for _round in range(number):
            for name, target in targets.items():
                rates[name].append(requests_per_second(target, 4.0))
                delays[name].append(statistics.median(latencies(target, 2.0)))
    median = {name: statistics.median(values) for name, values in rates.items()}
    delay = {name: statistics.median(values) for name, values in delays.items()}
    return [
        Line(
            "stats a second on `local`",
            None,
            ">= 1500 /s",
            median["stat"] >= 1500,
            f"{median['stat']:.0f}/s on this machine: one api process, which fills a core",
        ),
        shown(
            "stats a second of two api processes: of one",
            median["stat of two"] / median["stat"],
            f"{median['stat of two']:.0f}/s; worker and client need their part of the cores as well",
        ),
        shown("stats a second: nginx proxy_pass of a small file", median["stat"] / median["nginx"]),
        shown(
            "listings of 21 entries a second: stats",
            median["listing"] / median["stat"],
            f"{median['listing']:.0f}/s on this machine",
        ),
        shown("latency of one stat: nginx proxy_pass", delay["stat"] / delay["nginx"]),
    ]
