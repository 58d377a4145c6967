"""(a), (b), (f): whole files through the gateway, through the tunnel, through SFTP."""

import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from bench import peers
from bench.fleet import Fleet, cpu
from bench.house import House, forwarded
from bench.loads import Target, download, upload
from bench.report import Line, at_least, at_most, ratio_of_rates, shown
from tests.servers.apache import apache
from tests.servers.sshd import sshd

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
    import os

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
        proxy, proxy_processes = peers.nginx_proxy(fleet, store.port)
        down: Contestants = {
            "ours": lambda target=ours.content("big"): download(target, size),  # type: ignore[misc]
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
        with Fleet(folder) as fleet:
            big_file(store.data / "big", size)
            ssh, ssh_processes = peers.ssh_reverse(fleet, server, store.port)
            port, our_processes = forwarded(fleet, store.port)
            for way, run in (("download", download), ("upload", upload)):
                used: dict[str, list[float]] = {"ours": [], "ssh": []}

                def measured(
                    name: str,
                    processes: list[psutil.Process],
                    where: int,
                    run: Callable[[Target, int], float] = run,
                    way: str = way,
                    used: dict[str, list[float]] = used,
                ) -> float:
                    before = cpu(processes)
                    took = run(Target(where, "/big" if way == "download" else f"/{name}"), size)
                    used[name].append(cpu(processes) - before)
                    return took

                took = rounds(
                    {
                        "ours": lambda: measured("ours", our_processes, port),
                        "ssh": lambda: measured("ssh", ssh_processes, ssh),
                    },
                    number,
                )
                lines.append(
                    at_least(
                        f"tunnel as a port, {way}: ssh -R", ratio_of_rates(took["ours"], took["ssh"]), 1.2
                    )
                )
                spent = statistics.median(used["ours"][1:]) / statistics.median(used["ssh"][1:])
                lines.append(at_most("the same, CPU seconds: ssh -R", spent, 0.8))
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
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", f"{server.user}@127.0.0.1",
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
        lines.append(at_least("SFTP upload: OpenSSH sftp", ratio_of_rates(took["ours"], took["sftp"]), 1.0))
        return lines
