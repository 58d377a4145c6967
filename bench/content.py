"""(a), (b), (f): whole files through the gateway, through the tunnel, through SFTP."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from bench import peers
from bench.fleet import Fleet, cpu, free_port
from bench.house import House, forwarded
from bench.loads import Target, download, upload
from bench.report import Line, at_least, at_most, ratio_of_rates, shown
from tests.servers.apache import apache
from tests.servers.sshd import Sshd, sshd

type Contestants = dict[str, Callable[[], float]]


def rounds(contestants: Contestants, number: int) -> dict[str, list[float]]:
    """Seconds of each contestant, in turn, after one round that does not count."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for at in range(number + 1):
        for name, run in contestants.items():
            took = run()
            if at:
                found[name].append(took)
    return found


def big_file(path: Path, size: int) -> None:
    """Bytes that do not compress, the same megabyte again and again."""
    piece = os.urandom(1024 * 1024)
    with path.open("wb") as file:
        for _ in range(size // len(piece)):
            file.write(piece)


def gateway(folder: Path, size: int, number: int) -> list[Line]:
    """(a): a WebDAV store through api and worker."""
    with apache(folder / "apache", auth="None") as store, Fleet(folder) as fleet:
        big_file(store.data / "big", size)
        house = House(fleet)
        ours = house.account("webdav", url=store.url)
        content = ours.content("big")
        proxy, _ = peers.nginx_proxy(fleet, store.port)
        down: Contestants = {
            "ours": lambda: download(content, size),
            "nginx": lambda: download(Target(proxy, "/big"), size),
        }
        up: Contestants = {
            "ours": lambda: upload(ours.new_file("ours"), size),
            "nginx": lambda: upload(Target(proxy, "/theirs"), size),
        }
        served = peers.rclone_serve(fleet, store.port)
        if served is not None:
            down["rclone"] = lambda: download(Target(served[0], "/big"), size)
            up["rclone"] = lambda: upload(Target(served[0], "/rclone"), size)
        lines = []
        for way, contestants in (("download", down), ("upload", up)):
            took = rounds(contestants, number)
            lines.append(
                at_least(f"WebDAV {way}: nginx proxy_pass", ratio_of_rates(took["ours"], took["nginx"]), 0.45)
            )
            if served is not None:
                ratio = ratio_of_rates(took["ours"], took["rclone"])
                lines.append(shown(f"WebDAV {way}: rclone serve webdav", ratio))
        if served is None:
            lines.append(Line("WebDAV: rclone serve webdav", None, note="rclone is not installed"))
        return lines


def tunnel(folder: Path, size: int, number: int) -> list[Line]:
    """(b): the tunnel as a forwarded port, and the whole path, against ssh -R."""
    lines = []
    with sshd(folder / "sshd") as server, apache(folder / "apache", auth="None") as store:
        big_file(store.data / "big", size)
        with Fleet(folder) as fleet:
            lines += port_alone(fleet, server, store.data, size, number)
        with Fleet(folder) as fleet:
            house = House(fleet)
            house.start_agent(f"127.0.0.1:{store.port}")
            ours = house.account("webdav", network="inside", url=f"http://127.0.0.1:{store.port}/")
            ssh, _ = peers.ssh_reverse(fleet, server, store.port)
            content = ours.content("big")
            took = rounds(
                {
                    "ours": lambda: download(content, size),
                    "ssh": lambda: download(Target(ssh, "/big"), size),
                },
                number,
            )
            ratio = ratio_of_rates(took["ours"], took["ssh"])
            lines.append(at_least("whole path (api, worker, tunnel, WebDAV), download: ssh -R", ratio, 0.8))
            took = rounds(
                {
                    "ours": lambda: upload(ours.new_file("ours"), size),
                    "ssh": lambda: upload(Target(ssh, "/ssh"), size),
                },
                number,
            )
            ratio = ratio_of_rates(took["ours"], took["ssh"])
            lines.append(at_least("whole path, upload: ssh -R", ratio, 0.8))
    return lines


def port_alone(fleet: Fleet, server: Sshd, files: Path, size: int, number: int) -> list[Line]:
    """A forwarded port in front of nginx (downloads) and of a sink that throws uploads away."""
    source, _ = peers.nginx_static(fleet, files)
    sink = free_port()
    fleet.start("sink", sys.executable, "-m", "bench.sink", str(sink), port=sink)
    lines = []
    for way, run, target, path in (
        ("download", download, source, "/big"),
        ("upload", upload, sink, "/new"),
    ):
        ours, our_processes = forwarded(fleet, target)
        ssh, ssh_processes = peers.ssh_reverse(fleet, server, target)
        sides = {"ours": (ours, our_processes), "ssh": (ssh, ssh_processes)}
        used: dict[str, list[float]] = {name: [] for name in sides}

        def one(name: str, sides=sides, used=used, run=run, path=path) -> float:  # type: ignore[no-untyped-def]
            port, processes = sides[name]
            before = cpu(processes)
            took: float = run(Target(port, path), size)
            used[name].append(cpu(processes) - before)
            return took

        took = rounds({name: partial(one, name) for name in sides}, number)
        ratio = ratio_of_rates(took["ours"], took["ssh"])
        lines.append(at_least(f"tunnel as a port, {way}: ssh -R", ratio, 1.2))
        spent = median(used["ours"][1:]) / median(used["ssh"][1:])
        lines.append(at_most("the same, CPU seconds: ssh -R", spent, 0.8))
    return lines


def sftp(folder: Path, size: int, number: int) -> list[Line]:
    """(f): SFTP through the gateway against OpenSSH's own client on the same server."""
    with sshd(folder / "sshd") as server, Fleet(folder) as fleet:
        big_file(server.data / "big", size)
        house = House(fleet)
        key = server.data.parent / "ck"
        ours = house.account(
            "sftp",
            host="127.0.0.1",
            port=str(server.port),
            username=server.user,
            private_key=f"@{key}",
            root=str(server.data),
        )
        local = folder / "local"
        big_file(local, size)
        content = ours.content("big")

        def by_sftp(command: str) -> float:
            words = (
                "sftp", "-F", "none", "-b", "-", "-i", str(key), "-P", str(server.port),
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                f"{server.user}@127.0.0.1",
            )  # fmt: skip
            started = time.perf_counter()
            subprocess.run(words, input=command.encode(), check=True, capture_output=True)
            return time.perf_counter() - started

        took = rounds(
            {
                "ours": lambda: download(content, size),
                "sftp": lambda: by_sftp(f"get {server.data}/big {folder}/got\n"),
            },
            number,
        )
        lines = [at_least("SFTP download: OpenSSH sftp", ratio_of_rates(took["ours"], took["sftp"]), 1.0)]
        took = rounds(
            {
                "ours": lambda: upload(ours.new_file("up"), size),
                "sftp": lambda: by_sftp(f"put {local} {server.data}/put\n"),
            },
            number,
        )
        lines.append(
            at_least(
                "SFTP upload: OpenSSH sftp",
                ratio_of_rates(took["ours"], took["sftp"]),
                1.0,
                "asyncssh builds and seals OpenSSH's packets of 32 KiB one by one in Python; api and worker "
                "share the two cores with it and with sshd",
            )
        )
        return lines
